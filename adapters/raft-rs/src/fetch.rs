//! Entries that the core can wait for, read elsewhere.

use std::{fmt, ops::Range};

use logboom::{EntriesFuture, EntryBatch, ReadError, ShardId};
use raft::{GetEntriesContext, RawNode};

use crate::{
    error::{Error, Result},
    group::Group,
};

/// A read that the core waits for: what a [fetcher](Group::fetching) is given.
///
/// It is to be [run](Fetch::run) on any thread, or [awaited](Fetch::run_async), and what comes of it to be
/// [delivered](Fetched::deliver) to the node by the thread that owns that. One that is dropped costs time: the core
/// asks again when it hears from the follower.
#[must_use = "a follower waits for the entries"]
pub struct Fetch {
    group: Group,
    range: Range<u64>,
    max_bytes: u64,
    future: EntriesFuture,
    context: GetEntriesContext,
}

/// What a [`Fetch`] has read.
#[must_use = "a follower waits for the entries"]
pub struct Fetched {
    shard: ShardId,
    context: GetEntriesContext,
    outcome: Result<EntryBatch, ReadError>,
}

impl Fetch {
    pub(crate) fn new(
        group: &Group,
        range: Range<u64>,
        max_bytes: u64,
        future: EntriesFuture,
        context: GetEntriesContext,
    ) -> Self {
        Self { group: group.clone(), range, max_bytes, future, context }
    }

    /// The shard that is read from.
    pub fn shard(&self) -> ShardId {
        self.group.id()
    }

    /// Reads the entries. Blocks for the disk.
    pub fn run(self) -> Fetched {
        let outcome = self.group.shard.entries(self.range, self.max_bytes);
        Fetched { shard: self.group.id(), context: self.context, outcome }
    }

    /// Reads the entries without blocking: a future of no particular runtime.
    pub async fn run_async(self) -> Fetched {
        Fetched { shard: self.group.id(), context: self.context, outcome: self.future.await }
    }
}

impl Fetched {
    /// The shard whose node it is for.
    pub fn shard(&self) -> ShardId {
        self.shard
    }

    /// Has the node send what was read.
    ///
    /// # Errors
    /// [`Error::Read`] when it could not be read: the node was told nothing, and the failure is the
    /// [group's](Group::failure).
    pub fn deliver(self, node: &mut RawNode<Group>) -> Result<()> {
        let held = match self.outcome {
            Ok(batch) => Some(batch),
            // The log has moved meanwhile. The core sees that when it asks again.
            Err(ReadError::Compacted { .. } | ReadError::Unavailable { .. }) => None,
            Err(error) => return Err(node.store().fail(Error::Read { shard: self.shard, error })),
        };
        node.store().held.lock().fetched = held;
        node.on_entries_fetched(self.context);
        node.store().held.lock().fetched = None;
        Ok(())
    }
}

impl fmt::Debug for Fetch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetch").field("shard", &self.group.id()).field("range", &self.range).finish_non_exhaustive()
    }
}

impl fmt::Debug for Fetched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetched").field("shard", &self.shard).field("outcome", &self.outcome).finish_non_exhaustive()
    }
}
