//! Asynchronous reads of entries for a core that can wait.

use std::{fmt, ops::Range};

use logboom::{EntriesFuture, EntryBatch, ReadError, Shard, ShardId};
use raft::GetEntriesContext;

/// A read that the core waits for, passed to a [fetcher](crate::Group::fetching).
///
/// [Run](Fetch::run) it on any thread, or [await](Fetch::run_async) it, and [deliver](Fetched::deliver) the result on
/// the thread that owns the node. Dropping it costs time only: the core asks again when it hears from the follower.
#[must_use = "a follower waits for the entries"]
pub struct Fetch {
    shard: Shard,
    range: Range<u64>,
    max_bytes: u64,
    future: EntriesFuture,
    context: GetEntriesContext,
}

/// The result of a [`Fetch`].
#[must_use = "a follower waits for the entries"]
pub struct Fetched {
    shard: ShardId,
    pub(crate) context: GetEntriesContext,
    pub(crate) outcome: Result<EntryBatch, ReadError>,
}

impl Fetch {
    pub(crate) fn new(
        shard: &Shard,
        range: Range<u64>,
        max_bytes: u64,
        future: EntriesFuture,
        context: GetEntriesContext,
    ) -> Self {
        Self { shard: shard.clone(), range, max_bytes, future, context }
    }

    /// The shard that is read from.
    pub fn shard(&self) -> ShardId {
        self.shard.id()
    }

    /// Reads the entries. Blocks while the disk reads.
    pub fn run(self) -> Fetched {
        let outcome = self.shard.entries(self.range, self.max_bytes);
        Fetched { shard: self.shard.id(), context: self.context, outcome }
    }

    /// Reads the entries without blocking: a future of no particular runtime.
    pub async fn run_async(self) -> Fetched {
        Fetched { shard: self.shard.id(), context: self.context, outcome: self.future.await }
    }
}

impl Fetched {
    /// The shard whose node it is for.
    pub fn shard(&self) -> ShardId {
        self.shard
    }
}

impl fmt::Debug for Fetch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetch").field("shard", &self.shard.id()).field("range", &self.range).finish_non_exhaustive()
    }
}

impl fmt::Debug for Fetched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetched").field("shard", &self.shard).field("outcome", &self.outcome).finish_non_exhaustive()
    }
}
