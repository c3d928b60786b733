//! NuRaft's `log_store` as a trait, and a shard of the engine behind it.
//!
//! NuRaft is a raft core in C++ that reaches its log through a class of about twenty methods. A core in Rust that was
//! built after it, or a port of it, finds them here with their names, and with what NuRaft leaves unsaid: what is
//! durable when a call returns, what may run beside what, and which error means what. [`ShardLog`] keeps the contract
//! on a shard; a [suite](crate::conformance::log_store) finds out whether another store does.
//!
//! # The calls of an append
//!
//! | leader | follower |
//! |---|---|
//! | `append` for each entry | `term_at` finds the first entry that is not there yet |
//! | `pre_commit` of the machine | `rollback` of the machine, backwards, down to that entry |
//! | `end_of_append_batch` | `write_at` for the entries that replace others, `append` for those behind |
//! | entries are sent: `log_entries_ext` | `pre_commit` of the machine after each of them |
//! | | `end_of_append_batch`, of the whole request |
//! | answers are counted; its own is `last_durable_index` | what the leader says to be committed is applied |
//! | what is committed is applied in the background | it answers, when what it took is durable |
//!
//! The example `append_entries` makes them in this order, in a leader and a follower without a network, and prints
//! them.
//!
//! # Example
//! ```
//! use logboom::{Config, Engine, ShardId};
//! use logboom_rsm::log_store::{Appending, LogEntry, LogStore, ShardLog};
//!
//! # let dir = tempfile::tempdir()?;
//! # let mut config = Config::new(dir.path().join("log"));
//! # config.segment_bytes = 1 << 20;
//! # let engine = Engine::open(config)?;
//! let store = ShardLog::new(&engine, ShardId(1), Appending::Waits);
//! assert_eq!(store.append(LogEntry::new(1, "set x"))?, 1);
//! assert_eq!(store.append(LogEntry::new(1, "set y"))?, 2);
//! assert_eq!(store.term_at(2)?, 1); // readable at once
//! store.end_of_append_batch(1, 2)?; // and durable now
//! store.write_at(2, LogEntry::new(2, "set z"))?; // another leader's
//! assert_eq!((store.next_slot(), store.last_id()?.term), (3, 2));
//! # store.flush()?;
//! # engine.close()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::{ops::Range, sync::Arc};

use bytes::Bytes;

mod error;
mod pack;
mod shard_log;
mod state;

pub use error::{Error, Result};
pub use shard_log::{Appending, ShardLog};
pub use state::{ServerState, StateStore};

/// An entry of the log. Its index is where it lies. Cloning copies no bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogEntry {
    /// Its term; 0 only in the dummy that stands for no entry.
    pub term: u64,
    /// NuRaft's `log_val_type`, or whatever number distinguishes entries before their payload is looked at.
    pub kind: u8,
    /// A few bytes beside the payload, at most 65,535: a timestamp, say.
    pub context: Bytes,
    /// The payload. One that was read shares memory with what lies around it in the log: bytes that are to be kept for
    /// long are copied.
    pub payload: Bytes,
}

impl LogEntry {
    /// An entry of kind 0 without context.
    pub fn new(term: u64, payload: impl Into<Bytes>) -> Self {
        Self { term, kind: 0, context: Bytes::new(), payload: payload.into() }
    }

    /// The bytes of context and payload: what the hint of [`LogStore::log_entries_ext`] counts.
    pub fn bytes(&self) -> u64 {
        (self.context.len() as u64).saturating_add(self.payload.len() as u64)
    }
}

/// The index and the term of an entry, which may be compacted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId {
    /// Its index; 0 before the first entry.
    pub index: u64,
    /// Its term; 0 before the first entry, and where nobody said it.
    pub term: u64,
}

/// Is told when what was appended has become durable, or never will: NuRaft's `notify_log_append_completion`.
pub type Notice = Arc<dyn Fn(Result<()>) + Send + Sync>;

/// Is called once when a compaction is durable, or refused.
pub type Compacted = Box<dyn FnOnce(Result<()>) + Send>;

/// A raft group's log, called from many threads at once.
///
/// Indexes begin at 1. Each call is atomic beside the others: a reader sees the log as of before a write or after it.
/// What is written can be read at once, durable or not. Appends come from one thread at a time in NuRaft, under the
/// server's lock; a store takes them from several, in some order.
///
/// Durable means: survives the loss of power. What is not durable yet may be lost, the last entries first; never one
/// with a later one left. After [`Error::Failed`] nothing becomes durable any more, and reads go on.
pub trait LogStore: Send + Sync {
    /// One past the last entry, or past what was compacted; 1 when new. Cheap: called many times for each message.
    fn next_slot(&self) -> u64;

    /// The index of the first entry, or [`LogStore::next_slot`] if there is none; 1 when new. Cheap.
    fn start_index(&self) -> u64;

    /// The last entry; the [default](LogEntry::default) with term 0 if there is none.
    ///
    /// Not what a vote is decided by: when the log is compacted to its end there is none, but a last index and a last
    /// term there are. That is [`LogStore::last_id`].
    ///
    /// # Errors
    /// [`Error::Unreadable`].
    fn last_entry(&self) -> Result<LogEntry>;

    /// Index and term of the last entry, compacted or not: what a vote and the check of a message go by.
    ///
    /// The term is 0 for an index up to which [`LogStore::compact`] went past the end: the snapshot knows it then.
    ///
    /// # Errors
    /// [`Error::Unreadable`].
    fn last_id(&self) -> Result<LogId>;

    /// Appends an entry and says its index: what [`LogStore::next_slot`] was. Readable on return, durable when
    /// [`LogStore::end_of_append_batch`] says so.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Failed`]; the log is as it was.
    fn append(&self, entry: LogEntry) -> Result<u64>;

    /// Replaces the entry at `index` and drops all behind it; at [`LogStore::next_slot`] it appends. Readable and
    /// durable as [`LogStore::append`] has it: a crash leaves the entries that were dropped, or this one, and never
    /// this one with an old one behind it.
    ///
    /// The machine has rolled back what it was shown from `index` on.
    ///
    /// # Errors
    /// [`Error::Compacted`] below [`LogStore::start_index`], [`Error::Gap`] above [`LogStore::next_slot`];
    /// [`Error::Refused`], [`Error::Failed`]. The log is as it was.
    fn write_at(&self, index: u64, entry: LogEntry) -> Result<()>;

    /// Ends a batch of appends: on return all that was appended and written before is durable, or, if the store
    /// [works in parallel](LogStore::on_append_completion), will be without another call.
    ///
    /// `start` and `count` are those of the whole request. A follower that had some of its entries skipped them, so
    /// `start` may lie below the first new one, and nothing new may be there at all: they say nothing about what is to
    /// be made durable.
    ///
    /// # Errors
    /// [`Error::Failed`]: a leader resigns, a follower does not answer.
    fn end_of_append_batch(&self, start: u64, count: u64) -> Result<()>;

    /// The last index that is durable, compacted entries included; 0 if there is none. Falls when durable entries are
    /// replaced, until those that replace them are durable.
    ///
    /// A leader counts no more than this of its own log.
    fn last_durable_index(&self) -> u64;

    /// Has `notice` called, from now on, once for each [`LogStore::end_of_append_batch`] that returned without waiting:
    /// in the order of these calls, on a thread of the store's, with [`LogStore::last_durable_index`] moved already.
    /// Replaces the one before. A store that waits never calls it.
    ///
    /// After an error a leader resigns; a follower that waits for an answer's durability stops to wait, and does not
    /// answer.
    fn on_append_completion(&self, notice: Notice);

    /// Makes all durable that was written before. Called behind each entry that changes the configuration.
    ///
    /// # Errors
    /// [`Error::Failed`]: the process should end.
    fn flush(&self) -> Result<()>;

    /// The entries of `range`, half-open; `None` if one of them is not there. A range that ends before it begins is
    /// empty.
    ///
    /// # Errors
    /// [`Error::Unreadable`].
    fn log_entries(&self, range: Range<u64>) -> Result<Option<Vec<LogEntry>>> {
        self.log_entries_ext(range, 0)
    }

    /// [`LogStore::log_entries`] for a receiver that wants about `hint_bytes` bytes: at least one entry, and then no
    /// more than the one with which that is exceeded. 0 is no limit, and a negative number an answer without entries,
    /// whatever the range.
    ///
    /// # Errors
    /// [`Error::Unreadable`].
    fn log_entries_ext(&self, range: Range<u64>, hint_bytes: i64) -> Result<Option<Vec<LogEntry>>>;

    /// The entry at `index`; `None` if it is not there.
    ///
    /// # Errors
    /// [`Error::Unreadable`].
    fn entry_at(&self, index: u64) -> Result<Option<LogEntry>>;

    /// The term of the entry at `index`, and of the last one that was compacted, if it is known; 0 below and above.
    /// Cheap, and without a look at the disk.
    ///
    /// # Errors
    /// [`Error::Unreadable`] for an entry that is lost: 0 would say that there never was one.
    fn term_at(&self, index: u64) -> Result<u64>;

    /// The entries from `index` on, for a peer that joins: `count` of them, or fewer, but one, if they are large. What
    /// they are packed as is between stores of the same kind. `None` if one of them is not there.
    ///
    /// # Errors
    /// [`Error::Unreadable`].
    fn pack(&self, index: u64, count: u64) -> Result<Option<Bytes>>;

    /// Takes what a peer has [packed](LogStore::pack) for `index`: replaces what is there from `index` on; a log that
    /// never had an entry begins there. Durable on return.
    ///
    /// The bytes came over a network: nothing of a pack that is not whole, or not for this index, is taken.
    ///
    /// # Errors
    /// [`Error::Pack`]; [`Error::Compacted`] and [`Error::Gap`] as [`LogStore::write_at`]; [`Error::Refused`],
    /// [`Error::Failed`], after which a first part of the entries may be there.
    fn apply_pack(&self, index: u64, pack: &[u8]) -> Result<()>;

    /// Drops the entries up to and including `index`; past the end it drops them all, and the log goes on behind
    /// `index`. Nothing happens below [`LogStore::start_index`]. [`LogStore::start_index`] has moved on return; a crash
    /// may take it back.
    ///
    /// What stands for the entries, a snapshot, is durable before this is called. Who goes past the end knows the term
    /// of the entry, and better calls [`LogStore::install`].
    ///
    /// # Errors
    /// [`Error::Refused`] above what the application has applied, if the store was told so; [`Error::Failed`].
    fn compact(&self, index: u64) -> Result<()>;

    /// [`LogStore::compact`], and has `done` called once when it is durable, or refused: on any thread, this one
    /// included. [`LogStore::start_index`] has moved on return.
    fn compact_async(&self, index: u64, done: Compacted);

    /// Makes room for a snapshot of everything up to and including `at`: what the log has behind that entry stays if it
    /// has the entry, with this term; otherwise the log is emptied, and [`LogStore::last_id`] is `at`. Nothing happens
    /// where more than that is compacted. Durable on return.
    ///
    /// A crash between this and the machine's taking the snapshot leaves a log that nobody has the beginning of:
    /// [`ServerState::receiving_snapshot`] is saved before.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Failed`]; the log is as it was.
    fn install(&self, at: LogId) -> Result<()>;
}
