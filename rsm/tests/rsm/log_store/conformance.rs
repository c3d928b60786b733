//! The suite for logs: those that keep the contract pass, and each that breaks a rule is told which.

use std::{
    collections::BTreeSet,
    ops::Deref,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use logboom::{Config, Engine};
use logboom_rsm::{
    conformance::log_store::{Rule, Subject, Violation, check, check_state},
    log_store::{Appending, ShardLog},
};
use tempfile::TempDir;

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

/// A shard's log, and what it is on.
struct On<P> {
    log: ShardLog,
    engine: Engine,
    place: P,
}

impl<P> Deref for On<P> {
    type Target = ShardLog;

    fn deref(&self) -> &ShardLog {
        &self.log
    }
}

/// Logs on simulated machines, each on its own.
struct Simulated {
    appending: Appending,
    machines: AtomicU64,
}

impl Simulated {
    fn start(&self, world: World) -> On<World> {
        let engine = world.open().unwrap();
        On { log: ShardLog::new(&engine, SHARD, self.appending), engine, place: world }
    }
}

impl Subject for Simulated {
    type Store = On<World>;

    fn store(&self) -> On<World> {
        self.start(World::new(self.machines.fetch_add(1, Ordering::Relaxed)))
    }

    fn crash(&self, store: On<World>) -> On<World> {
        let On { log, engine, place: mut world } = store;
        // Before the engine is let go, which would make all durable.
        world.power_cut();
        drop((log, engine));
        self.start(world)
    }

    fn is_parallel(&self) -> bool {
        self.appending == Appending::Parallel
    }

    fn settle(&self, store: &On<World>) {
        store.place.pass();
        settle(&store.engine);
    }
}

/// Logs in real directories, with threads. What ends them is no crash: what is to survive is tried elsewhere.
struct Real(Appending);

impl Real {
    fn start(&self, dir: TempDir) -> On<TempDir> {
        let mut config = Config::new(dir.path());
        config.segment_bytes = 256 << 10;
        config.reserve_segments = 0;
        config.disk.lock_wait = Duration::from_secs(5);
        let engine = Engine::open(config).unwrap();
        On { log: ShardLog::new(&engine, SHARD, self.0), engine, place: dir }
    }
}

impl Subject for Real {
    type Store = On<TempDir>;

    fn store(&self) -> On<TempDir> {
        self.start(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap())
    }

    fn crash(&self, store: On<TempDir>) -> On<TempDir> {
        let On { log, engine, place } = store;
        drop((log, engine));
        self.start(place)
    }

    fn is_parallel(&self) -> bool {
        self.0 == Appending::Parallel
    }
}

#[test]
fn a_shard_on_the_simulated_disk_keeps_the_contract() {
    for appending in [Appending::Waits, Appending::Parallel] {
        for seed in 0..4 {
            let subject = Simulated { appending, machines: AtomicU64::new(seed * 1000) };
            check(&subject, seed).unwrap();
            check_state(&subject, seed).unwrap();
        }
    }
}

#[test]
fn a_shard_in_a_real_directory_keeps_the_contract() {
    for appending in [Appending::Waits, Appending::Parallel] {
        check(&Real(appending), 1).unwrap();
        check_state(&Real(appending), 1).unwrap();
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
        for seed in 0..4 {
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
