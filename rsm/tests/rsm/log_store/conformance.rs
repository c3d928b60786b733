//! The suite for logs: those that keep the contract pass, and each that breaks a rule is told which.

use std::{
    collections::BTreeSet,
    ops::Deref,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use logboom::{Config, Engine, EntryId, ShardId};
use logboom_rsm::{
    conformance::log_store::{Rule, Subject, Violation, check, check_state},
    log_store::{Appending, LogEntry, LogStore, ShardLog},
};

use super::memory::{Fault, Memory};
use crate::world::{SHARD, World, settle};

struct MemorySubject {
    fault: Option<Fault>,
    parallel: bool,
    crashes: AtomicU64,
}

impl Subject for MemorySubject {
    type Store = Box<Memory>;

    fn store(&self) -> Box<Memory> {
        Box::new(Memory::new(self.fault, self.parallel))
    }

    fn crash(&self, store: Box<Memory>) -> Box<Memory> {
        Box::new(store.crash(self.crashes.fetch_add(0x9E37_79B9, Ordering::Relaxed) >> 7))
    }

    fn is_parallel(&self) -> bool {
        self.parallel
    }

    fn settle(&self, store: &Box<Memory>) {
        store.settle();
    }

    fn patience(&self) -> Duration {
        Duration::from_millis(30)
    }
}

/// A shard's log, and the machine that it is on.
struct Simulated {
    log: ShardLog,
    engine: Engine,
    world: World,
}

impl Deref for Simulated {
    type Target = ShardLog;

    fn deref(&self) -> &ShardLog {
        &self.log
    }
}

/// Logs on simulated machines, each on its own.
struct Machines {
    appending: Appending,
    started: AtomicU64,
}

impl Machines {
    fn start(&self, world: World) -> Simulated {
        let engine = world.open().unwrap();
        Simulated { log: ShardLog::new(&engine, SHARD, self.appending), engine, world }
    }
}

impl Subject for Machines {
    type Store = Simulated;

    fn store(&self) -> Simulated {
        self.start(World::new(self.started.fetch_add(1, Ordering::Relaxed)))
    }

    fn crash(&self, store: Simulated) -> Simulated {
        let Simulated { log, engine, mut world } = store;
        // Before the engine is let go, which would make all durable.
        world.power_cut();
        drop((log, engine));
        self.start(world)
    }

    fn is_parallel(&self) -> bool {
        self.appending == Appending::Parallel
    }

    fn settle(&self, store: &Simulated) {
        store.world.pass();
        settle(&store.engine);
    }
}

/// Logs of one engine with threads, in a real directory. None is ever ended: what a crash leaves is tried elsewhere.
struct Real {
    engine: Engine,
    appending: Appending,
    shards: AtomicU64,
}

impl Subject for Real {
    type Store = Box<ShardLog>;

    fn store(&self) -> Box<ShardLog> {
        let shard = ShardId(self.shards.fetch_add(1, Ordering::Relaxed));
        Box::new(ShardLog::new(&self.engine, shard, self.appending))
    }

    fn crash(&self, store: Box<ShardLog>) -> Box<ShardLog> {
        Box::new(ShardLog::new(&self.engine, store.shard().id(), self.appending))
    }

    fn is_parallel(&self) -> bool {
        self.appending == Appending::Parallel
    }
}

/// What each of the logs holds.
fn contents(engine: &Engine) -> Vec<(u64, EntryId, Vec<LogEntry>)> {
    let content = |shard| {
        let log = ShardLog::new(engine, shard, Appending::Waits);
        let entries = log.log_entries(log.start_index()..log.next_slot()).unwrap().unwrap();
        (log.start_index(), log.last_id().unwrap(), entries)
    };
    engine.shards().into_iter().map(content).collect()
}

#[test]
fn a_shard_on_the_simulated_disk_keeps_the_contract() {
    for appending in [Appending::Waits, Appending::Parallel] {
        for seed in 0..4 {
            let subject = Machines { appending, started: AtomicU64::new(seed * 1000) };
            check(&subject, seed).unwrap();
            check_state(&subject, seed).unwrap();
        }
    }
}

#[test]
fn shards_in_a_real_directory_keep_the_contract_and_their_entries() {
    for appending in [Appending::Waits, Appending::Parallel] {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let mut config = Config::new(dir.path());
        config.segment_bytes = 1 << 20;
        config.disk.lock_wait = Duration::from_secs(5);
        let engine = Engine::open(config.clone()).unwrap();
        let subject = Real { engine, appending, shards: AtomicU64::new(1) };
        check(&subject, 1).unwrap();
        check_state(&subject, 1).unwrap();
        let before = contents(&subject.engine);
        assert!(before.len() > 40, "{} logs", before.len());
        subject.engine.close().unwrap();
        assert!(contents(&Engine::open(config).unwrap()) == before, "{appending:?}: a log is another one now");
    }
}

#[test]
fn the_log_in_memory_keeps_the_contract() {
    for seed in 0..8 {
        memory(None, seed % 2 == 1, seed).unwrap();
    }
}

#[test]
#[rustfmt::skip]
fn each_rule_is_found_broken() {
    use Fault as F;
    use Rule as R;
    let table = [
        (F::StartsAtZero, R::NewIsEmpty),
        (F::AppendSaysNext, R::AppendTakesTheSlot),
        (F::ReadsOnlyDurable, R::ReadableAtOnce),
        (F::LosesContext, R::EntriesComeBackWhole),
        (F::KeepsTheTail, R::WriteAtTruncates),
        (F::RefusesTheEnd, R::WriteAtTheEndAppends),
        (F::LeavesHoles, R::WriteAtRefusesGaps),
        (F::WritesBelowTheStart, R::WriteAtRefusesCompacted),
        (F::CompactsExclusively, R::CompactIsInclusive),
        (F::StopsAtTheEnd, R::CompactPastTheEnd),
        (F::MovesTheStartBack, R::CompactBelowIsNothing),
        (F::ForgetsTheBoundary, R::LastIdSurvivesCompaction),
        (F::CompactsLater, R::CompactAsyncMovesAtOnce),
        (F::NeverCallsBack, R::CompactAsyncMovesAtOnce),
        (F::InstallEmpties, R::InstallKeepsWhatGoesOn),
        (F::InstallKeepsConflicts, R::InstallReplacesOthers),
        (F::ClosedRanges, R::RangesAreHalfOpen),
        (F::ShortAnswers, R::MissingIsNone),
        (F::IgnoresHints, R::HintIsATarget),
        (F::StopsAtHintZero, R::HintZeroIsNoLimit),
        (F::NegativeIsNoLimit, R::NegativeHintSendsNone),
        (F::TermOfTheNearest, R::TermOutsideIsZero),
        (F::PackForgetsTheStart, R::PacksArriveWhole),
        (F::PackKeepsTheTail, R::PackReplaces),
        (F::TrustsPacks, R::PackRefusesDamage),
        (F::ChecksPacksLate, R::PackRefusesDamage),
        (F::PacksLeaveHoles, R::PackRefusesGaps),
        (F::DoesNotSync, R::BatchIsDurable),
        (F::SyncsTheRequest, R::BatchCountsNothing),
        (F::FlushDoesNothing, R::FlushIsDurable),
        (F::PackUnsynced, R::PackIsDurable),
        (F::InstallUnsynced, R::InstallIsDurable),
        (F::LosesTheMiddle, R::CrashLeavesAPrefix),
        (F::TailComesBack, R::ReplacedStaysReplaced),
        (F::DurableIsLast, R::DurableIndexIsTrue),
        (F::DurableDoesNotFall, R::DurableIndexIsTrue),
        (F::NotifiesThoughItWaits, R::NoticeForEachBatch),
        (F::NeverNotifies, R::NoticeForEachBatch),
        (F::NotifiesEarly, R::NoticeForEachBatch),
        (F::FillsInLater, R::ManyThreads),
        (F::ForgetsState, R::StateSurvives),
        (F::StateOvertakesTheLog, R::StateIsBehindTheLog),
    ];
    for (fault, rule) in table {
        let parallel = matches!(fault, F::NeverNotifies | F::NotifiesEarly);
        for seed in 0..2 {
            match memory(Some(fault), parallel, seed) {
                Err(violation) => assert_eq!(violation.rule, rule, "{fault:?}: {violation}"),
                Ok(()) => panic!("{fault:?} was not found with seed {seed}"),
            }
        }
    }
    let rules: BTreeSet<Rule> = table.into_iter().map(|(_, rule)| rule).collect();
    assert_eq!(rules.last(), Some(&R::StateIsBehindTheLog));
    assert_eq!(rules.len(), R::StateIsBehindTheLog as usize + 1, "a rule that nothing breaks finds nothing");
}

fn memory(fault: Option<Fault>, parallel: bool, seed: u64) -> Result<(), Violation> {
    let subject = MemorySubject { fault, parallel, crashes: AtomicU64::new(seed << 20) };
    check(&subject, seed)?;
    check_state(&subject, seed)
}
