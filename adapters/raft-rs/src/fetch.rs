//! Entries that the core can wait for, read elsewhere.

use std::{fmt, ops::Range};

use logboom::{EntriesFuture, EntryBatch, ReadError, Shard, ShardId};
use raft::GetEntriesContext;

/// A read that the core waits for: what a [fetcher](crate::Group::fetching) is given.
///
/// It is to be [run](Fetch::run) on any thread, or [awaited](Fetch::run_async), and what comes of it to be
/// [delivered](Fetched::deliver) to the node by the thread that owns that. One that is dropped costs time: the core
/// asks again when it hears from the follower.
#[must_use = "a follower waits for the entries"]
pub struct Fetch {
    shard: Shard,
    range: Range<u64>,
    max_bytes: u64,
    future: EntriesFuture,
    context: GetEntriesContext,
}

/// What a [`Fetch`] has read.
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

    /// Reads the entries. Blocks for the disk.
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
