//! `LogStore`: NuRaft's `log_store` as a trait, implemented by a shard of the engine.
//!
//! NuRaft is a raft core in C++ that accesses its log through a class of about twenty methods. For a core in Rust that
//! is modelled on it, or a port of it, this trait has the same methods and states what NuRaft leaves open: what is
//! durable when a call returns, which calls may run concurrently, and what each error means. [`ShardLog`] implements
//! the contract on a shard; a [test suite](crate::conformance::log_store) checks other implementations.
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
//! The example `append_entries` makes these calls in this order, in a leader and a follower without a network, and
//! prints them.
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
use logboom::EntryId;

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
    /// NuRaft's `log_val_type`, or another number that tells entries apart before their payload is decoded.
    pub kind: u8,
    /// A few bytes beside the payload, at most 65,535: a timestamp, say.
    pub context: Bytes,
    /// The payload. After a read it shares memory with its neighbours in the log: copy bytes that are kept for long.
    pub payload: Bytes,
}

impl LogEntry {
    /// An entry of kind 0 without context.
    pub fn new(term: u64, payload: impl Into<Bytes>) -> Self {
        Self { term, kind: 0, context: Bytes::new(), payload: payload.into() }
    }

    /// The bytes of context and payload, as counted by the hint of [`LogStore::log_entries_ext`].
    pub fn bytes(&self) -> u64 {
        (self.context.len() as u64).saturating_add(self.payload.len() as u64)
    }
}

/// A callback for appended entries that became durable or failed: NuRaft's `notify_log_append_completion`.
pub type Notice = Arc<dyn Fn(Result<()>) + Send + Sync>;

/// A callback, called once when a compaction is durable or refused.
pub type Compacted = Box<dyn FnOnce(Result<()>) + Send>;

/// A raft group's log, called from many threads at once.
///
/// Indexes begin at 1. Each call is atomic: a concurrent reader sees the log as of before a write or after it. Written
/// entries can be read at once, durable or not. NuRaft appends from one thread at a time, under the server's lock; a
/// store accepts appends from several threads, in some order.
///
/// Durable means: survives the loss of power. Entries that are not durable may be lost, the last ones first, never
/// leaving a gap. After [`Error::Failed`] nothing becomes durable any more; reads still work.
pub trait LogStore: Send + Sync {
    /// One past the last entry, or past what was compacted; 1 when new. Cheap: called many times for each message.
    fn next_slot(&self) -> u64;

    /// The index of the first entry, or [`LogStore::next_slot`] if there is none; 1 when new. Cheap.
    fn start_index(&self) -> u64;

    /// The last entry; the [default](LogEntry::default) with term 0 if there is none.
    ///
    /// Do not decide votes by it: a log that is compacted to its end has no last entry, but still has a last index and
    /// a last term, see [`LogStore::last_id`].
    ///
    /// # Errors
    /// [`Error::Unreadable`].
    fn last_entry(&self) -> Result<LogEntry>;

    /// Index and term of the last entry, compacted or not, for votes and for the check of a message; both are 0 before
    /// the first entry.
    ///
    /// The term is 0 if [`LogStore::compact`] went past the end; the snapshot has it then.
    ///
    /// # Errors
    /// [`Error::Unreadable`].
    fn last_id(&self) -> Result<EntryId>;

    /// Appends an entry and returns its index, the former [`LogStore::next_slot`]. Readable on return, durable after
    /// [`LogStore::end_of_append_batch`].
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Failed`]; the log is as it was.
    fn append(&self, entry: LogEntry) -> Result<u64>;

    /// Replaces the entry at `index` and drops all behind it; at [`LogStore::next_slot`] it appends. Readable and
    /// durable as after [`LogStore::append`]: a crash leaves either the dropped entries or this one, never this one
    /// with an old one behind it.
    ///
    /// Call it after the machine has rolled back the entries from `index` on.
    ///
    /// # Errors
    /// [`Error::Compacted`] below [`LogStore::start_index`], [`Error::Gap`] above [`LogStore::next_slot`];
    /// [`Error::Refused`], [`Error::Failed`]. The log is as it was.
    fn write_at(&self, index: u64, entry: LogEntry) -> Result<()>;

    /// Ends a batch of appends: on return everything appended and written before is durable, or, if the store [works in
    /// parallel](LogStore::on_append_completion), becomes durable without another call.
    ///
    /// `start` and `count` are those of the whole request. A follower skips entries that it has, so `start` may lie
    /// below the first new entry, and there may be no new entry at all: do not derive from them what has to be made
    /// durable.
    ///
    /// # Errors
    /// [`Error::Failed`]: a leader resigns, a follower does not answer.
    fn end_of_append_batch(&self, start: u64, count: u64) -> Result<()>;

    /// The last durable index, compacted entries included; 0 if there is none. Decreases when durable entries are
    /// replaced, until the new ones are durable.
    ///
    /// A leader counts its own log up to this index only.
    fn last_durable_index(&self) -> u64;

    /// Sets the callback for each [`LogStore::end_of_append_batch`] that returned without waiting: called once each, in
    /// the order of these calls, on a thread of the store, after [`LogStore::last_durable_index`] has moved. Replaces
    /// the previous callback. A store that waits never calls it.
    ///
    /// After an error a leader resigns; a follower that waits to answer stops waiting and does not answer.
    fn on_append_completion(&self, notice: Notice);

    /// Makes everything written before durable. Called after each entry that changes the configuration.
    ///
    /// # Errors
    /// [`Error::Failed`]: the process should end.
    fn flush(&self) -> Result<()>;

    /// The entries of `range`, half-open; `None` if one of them is missing. A range that ends before it begins is
    /// empty.
    ///
    /// # Errors
    /// [`Error::Unreadable`].
    fn log_entries(&self, range: Range<u64>) -> Result<Option<Vec<LogEntry>>> {
        self.log_entries_ext(range, 0)
    }

    /// [`LogStore::log_entries`], limited to about `hint_bytes` bytes: at least one entry, and none behind the one that
    /// exceeds the limit. 0 means no limit; a negative number returns no entries, whatever the range.
    ///
    /// # Errors
    /// [`Error::Unreadable`].
    fn log_entries_ext(&self, range: Range<u64>, hint_bytes: i64) -> Result<Option<Vec<LogEntry>>>;

    /// The entry at `index`; `None` if it is missing.
    ///
    /// # Errors
    /// [`Error::Unreadable`].
    fn entry_at(&self, index: u64) -> Result<Option<LogEntry>>;

    /// The term of the entry at `index`, or of the last compacted entry if it is known; 0 below and above. Cheap,
    /// without disk access.
    ///
    /// # Errors
    /// [`Error::Unreadable`] for a lost entry: 0 would mean that it never existed.
    fn term_at(&self, index: u64) -> Result<u64>;

    /// Packs the entries from `index` on, for a peer that joins: `count` of them, or fewer (at least one) if they are
    /// large. The encoding is private to the kind of store. `None` if one of them is missing.
    ///
    /// # Errors
    /// [`Error::Unreadable`].
    fn pack(&self, index: u64, count: u64) -> Result<Option<Bytes>>;

    /// Applies a [pack](LogStore::pack) of a peer for `index`: replaces the entries from `index` on; a log that never
    /// had an entry begins there. Durable on return.
    ///
    /// The bytes came over a network: a pack that is incomplete or for another index changes nothing.
    ///
    /// # Errors
    /// [`Error::Pack`]; [`Error::Compacted`] and [`Error::Gap`] as [`LogStore::write_at`]; [`Error::Refused`],
    /// [`Error::Failed`], after which a first part of the entries may be there.
    fn apply_pack(&self, index: u64, pack: &[u8]) -> Result<()>;

    /// Drops the entries up to and including `index`; past the end it drops them all, and the log continues behind
    /// `index`. Does nothing below [`LogStore::start_index`]. On return [`LogStore::start_index`] has moved; a crash
    /// may undo that.
    ///
    /// Call it after the snapshot that covers the entries is durable. To go past the end, prefer [`LogStore::install`],
    /// which takes the term of the entry too.
    ///
    /// # Errors
    /// [`Error::Refused`] above the applied index, if the store knows it; [`Error::Failed`].
    fn compact(&self, index: u64) -> Result<()>;

    /// [`LogStore::compact`] that calls `done` once when it is durable or refused: on any thread, this one included. On
    /// return [`LogStore::start_index`] has moved.
    fn compact_async(&self, index: u64, done: Compacted);

    /// Prepares the log for a snapshot of everything up to and including `at`: keeps the entries behind `at` if the log
    /// has that entry with this term; otherwise empties the log, and [`LogStore::last_id`] is `at`. Does nothing if the
    /// log is compacted further. Durable on return.
    ///
    /// A crash between this call and the machine's recovery from the snapshot leaves a log without its beginning: save
    /// [`ServerState::receiving_snapshot`] first.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Failed`]; the log is as it was.
    fn install(&self, at: EntryId) -> Result<()>;
}
