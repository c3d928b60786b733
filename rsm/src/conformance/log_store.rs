//! A test suite for implementations of [`LogStore`], to be run in their own tests.
//!
//! A table of rules, each with a check that makes new stores, calls them, and ends them as a power cut does. A seed
//! repeats what is chosen by chance.
//!
//! # Example
//! ```
//! use std::sync::atomic::{AtomicU64, Ordering};
//!
//! use logboom::{Config, Engine, ShardId};
//! use logboom_rsm::{conformance::log_store, log_store::{Appending, ShardLog}};
//!
//! /// The logs of shards of one engine. Nothing is lost when one of them is let go.
//! struct Shards(Engine, AtomicU64);
//!
//! impl log_store::Subject for Shards {
//!     type Store = Box<ShardLog>;
//!
//!     fn store(&self) -> Box<ShardLog> {
//!         let shard = ShardId(self.1.fetch_add(1, Ordering::Relaxed));
//!         Box::new(ShardLog::new(&self.0, shard, Appending::Waits))
//!     }
//!
//!     fn crash(&self, store: Box<ShardLog>) -> Box<ShardLog> {
//!         Box::new(ShardLog::new(&self.0, store.shard().id(), Appending::Waits))
//!     }
//! }
//!
//! # let dir = tempfile::tempdir()?;
//! # let mut config = Config::new(dir.path().join("log"));
//! # config.segment_bytes = 4 << 20;
//! let subject = Shards(Engine::open(config)?, AtomicU64::new(0));
//! log_store::check(&subject, 7)?;
//! log_store::check_state(&subject, 7)?;
//! # subject.0.close()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::{ops::Deref, time::Duration};

use crate::log_store::{LogStore, StateStore};

mod bench;
mod compaction;
mod durability;
mod packs;
mod reads;
mod state;
mod threads;
mod writes;

use bench::Bench;

/// The implementation under test: makes logs and crashes them.
pub trait Subject {
    /// The log, with everything that it needs to stay open.
    type Store: Deref<Target: LogStore> + Send + Sync + 'static;

    /// A new, empty log, independent of all others.
    fn store(&self) -> Self::Store;

    /// Ends a log as a power cut does, and opens what is left.
    fn crash(&self, store: Self::Store) -> Self::Store;

    /// Whether [`LogStore::end_of_append_batch`] returns without waiting.
    fn is_parallel(&self) -> bool {
        false
    }

    /// Runs deferred work of a log that has no threads.
    fn settle(&self, store: &Self::Store) {
        let _: &Self::Store = store;
    }

    /// How long to wait for an expected event, such as a notice.
    fn patience(&self) -> Duration {
        Duration::from_secs(20)
    }
}

/// A rule of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// A new log begins at 1, and its last entry is the dummy.
    NewIsEmpty,
    /// An append says the index that the next slot was.
    AppendTakesTheSlot,
    /// What was appended can be read before its batch ends.
    ReadableAtOnce,
    /// An entry comes back with all that it had: an empty payload, a large one, its kind, its context.
    EntriesComeBackWhole,
    /// Writing at an index drops what lies behind it.
    WriteAtTruncates,
    /// Writing at the next slot appends.
    WriteAtTheEndAppends,
    /// Nothing is written behind a gap.
    WriteAtRefusesGaps,
    /// A compaction takes the entry that it names.
    CompactIsInclusive,
    /// Nothing is written where the log is compacted.
    WriteAtRefusesCompacted,
    /// A compaction may go past the end, and the log goes on behind it.
    CompactPastTheEnd,
    /// A compaction of what is compacted does nothing.
    CompactBelowIsNothing,
    /// A log that is compacted to its end still knows its last index and term.
    LastIdSurvivesCompaction,
    /// An asynchronous compaction moves the start at once, and calls back once.
    CompactAsyncMovesAtOnce,
    /// A snapshot of an entry that the log has leaves what lies behind it.
    InstallKeepsWhatGoesOn,
    /// A snapshot of an entry that the log has not, or with another term, leaves nothing, and is the last entry.
    InstallReplacesOthers,
    /// A range ends before its end.
    RangesAreHalfOpen,
    /// An answer has all that was asked for, or is none.
    MissingIsNone,
    /// A hint is kept to, but for the entry with which it is exceeded.
    HintIsATarget,
    /// A hint of 0 is no limit.
    HintZeroIsNoLimit,
    /// For a negative hint nothing is sent, and that is no miss.
    NegativeHintSendsNone,
    /// The term of what is not there is 0.
    TermOutsideIsZero,
    /// What is packed is what a peer has then; a log without entries begins there.
    PacksArriveWhole,
    /// A pack replaces what is there from its index on.
    PackReplaces,
    /// Of a pack that is damaged, or of another index, nothing is taken.
    PackRefusesDamage,
    /// Nothing of a pack is written behind a gap, or where the log is compacted.
    PackRefusesGaps,
    /// What was appended before a batch ended survives.
    BatchIsDurable,
    /// A batch that says less than was appended, since its request began with duplicates, or nothing, makes all
    /// durable.
    BatchCountsNothing,
    /// What was appended before a flush survives.
    FlushIsDurable,
    /// What came as a pack survives.
    PackIsDurable,
    /// That a snapshot was made room for survives.
    InstallIsDurable,
    /// What a crash leaves has no gaps, and nothing that was not written.
    CrashLeavesAPrefix,
    /// What was replaced durably does not come back.
    ReplacedStaysReplaced,
    /// What is said to be durable survives, replaced entries included.
    DurableIndexIsTrue,
    /// One notice for each batch of a log that does not wait, when it is durable; none of one that does.
    NoticeForEachBatch,
    /// Readers beside a writer see the log as of before a write or after it.
    ManyThreads,
    /// What a server saved last comes back, after a crash too.
    StateSurvives,
    /// A state that survives leaves nothing behind that was appended before it.
    StateIsBehindTheLog,
}

/// A rule was broken.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{rule:?}: {what} (seed {seed})")]
#[non_exhaustive]
pub struct Violation {
    /// The rule.
    pub rule: Rule,
    /// The observation that breaks it.
    pub what: String,
    /// The seed that repeats it.
    pub seed: u64,
}

/// A rule, and what finds it broken.
type Row<'s, S> = (Rule, fn(&mut Bench<'s, S>) -> Result<(), Violation>);

/// Checks a log.
///
/// # Errors
/// The first rule that was found broken.
pub fn check<S: Subject>(subject: &S, seed: u64) -> Result<(), Violation> {
    let tables: [&[Row<'_, S>]; 6] = [
        &writes::rows(),
        &compaction::rows(),
        &reads::rows(),
        &packs::rows(),
        &durability::rows(),
        &[(Rule::ManyThreads, threads::check)],
    ];
    tables.iter().try_for_each(|rows| run(subject, seed, rows))
}

/// Checks the state that a server keeps beside its log. Run it in addition to [`check`].
///
/// # Errors
/// The first rule that was found broken.
pub fn check_state<S: Subject<Store: Deref<Target: StateStore>>>(subject: &S, seed: u64) -> Result<(), Violation> {
    run(subject, seed, &state::rows())
}

fn run<'s, S: Subject>(subject: &'s S, seed: u64, rows: &[Row<'s, S>]) -> Result<(), Violation> {
    rows.iter().try_for_each(|(rule, check)| check(&mut Bench::new(subject, *rule, seed)))
}
