//! The read side: raft-rs' `Storage` of a group.

use std::ops::Range;

use logboom::{EntryBatch, ReadError, TryRead};
use raft::{
    GetEntriesContext, RaftState, RawNode, Storage, StorageError,
    eraftpb::{Entry, Snapshot},
    util::NO_LIMIT,
};

use crate::{
    entry,
    error::Result,
    fetch::{Fetch, Fetched},
    group::Group,
};

impl Storage for Group {
    /// What [`Group::open`] has checked, as of now.
    fn initial_state(&self) -> raft::Result<RaftState> {
        Ok(self.recovered()?)
    }

    /// Entries that share the memory of the log's recent tail, or of the read.
    ///
    /// Entries that are not in memory are read in the calling thread, unless the core can wait for them and the group
    /// has a [fetcher](Group::fetching).
    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        context: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        let max_bytes = max_size.into().unwrap_or(NO_LIMIT);
        let can_wait = context.can_async();
        let outcome = match self.shard.try_entries(low..high, max_bytes) {
            TryRead::Ready(batch) => Ok(batch),
            TryRead::Failed(error @ (ReadError::Compacted { .. } | ReadError::Unavailable { .. })) => Err(error),
            TryRead::Failed(_) => self.shard.entries(low..high, max_bytes),
            TryRead::WouldBlock(future) => match (self.fetched(low), &self.fetcher) {
                (Some(batch), _) => Ok(batch),
                (None, Some(fetcher)) if can_wait => {
                    fetcher(Fetch::new(&self.shard, low..high, max_bytes, future, context));
                    return Err(StorageError::LogTemporarilyUnavailable.into());
                }
                _ => self.shard.entries(low..high, max_bytes),
            },
        };
        self.rebuilt(outcome, &(low..high), max_bytes).map_err(|error| self.told(error, can_wait))
    }

    /// The term of an entry, or of the boundary, from memory; of a lost entry too. Where that is lost as well, the core
    /// is told that it is compacted: it sends a snapshot then, while it panics for any other error.
    fn term(&self, index: u64) -> raft::Result<u64> {
        self.term_of(index).map_err(|error| match error {
            ReadError::Compacted { .. } => StorageError::Compacted.into(),
            ReadError::Unavailable { .. } => StorageError::Unavailable.into(),
            _ => {
                self.fail(logboom::Error::Quarantined { shard: self.id() }.into());
                StorageError::Compacted.into()
            }
        })
    }

    /// The first index of the log; one past the boundary when it is empty.
    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.range().start)
    }

    /// The last index of the log; the boundary's when it is empty.
    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.range().end - 1)
    }

    /// The newest registered snapshot, leased for the follower `to`: see [`Group::sending`]. Where `to` is no member in
    /// it the core has to wait: see [`Group::snapshot_wanted`].
    fn snapshot(&self, request_index: u64, to: u64) -> raft::Result<Snapshot> {
        match self.newest_for(request_index, to) {
            Ok(Some(snapshot)) => Ok(snapshot),
            Ok(None) => Err(StorageError::SnapshotTemporarilyUnavailable.into()),
            Err(error) => {
                self.fail(error);
                Err(StorageError::SnapshotTemporarilyUnavailable.into())
            }
        }
    }
}

impl Group {
    /// Entries that were fetched for the core, if these are the ones that it asks for.
    fn fetched(&self, low: u64) -> Option<EntryBatch> {
        self.shared.lock().fetched.clone().filter(|batch| batch.get(low).is_some())
    }

    fn rebuilt(
        &self,
        outcome: Result<EntryBatch, ReadError>,
        range: &Range<u64>,
        max_bytes: u64,
    ) -> Result<Vec<Entry>, ReadError> {
        let batch = outcome?;
        entry::from_engine(&batch, range, max_bytes).map_err(|kind| ReadError::Corrupted {
            shard: self.id(),
            range: range.clone(),
            what: format!("kind {kind} is no entry type of raft-rs").into(),
        })
    }

    /// The answer to the core for a failed read. A core that can wait is told to: it asks again instead of ending the
    /// process.
    fn told(&self, error: ReadError, can_wait: bool) -> raft::Error {
        match error {
            ReadError::Compacted { .. } => StorageError::Compacted.into(),
            ReadError::Unavailable { .. } => StorageError::Unavailable.into(),
            error => {
                let failure = self.fail(error.into());
                if can_wait { StorageError::LogTemporarilyUnavailable.into() } else { failure.into() }
            }
        }
    }
}

impl Fetched {
    /// Delivers the entries to the node, which sends them.
    ///
    /// # Errors
    /// [`Error::Read`](crate::Error::Read) when the read failed: the node gets no answer, and the
    /// [group](Group::failure) keeps the failure.
    pub fn deliver(self, node: &mut RawNode<Group>) -> Result<()> {
        let fetched = match self.outcome {
            Ok(batch) => Some(batch),
            // The log has moved meanwhile. The core sees that when it asks again.
            Err(ReadError::Compacted { .. } | ReadError::Unavailable { .. }) => None,
            Err(error) => return Err(node.store().fail(error.into())),
        };
        node.store().shared.lock().fetched = fetched;
        node.on_entries_fetched(self.context);
        node.store().shared.lock().fetched = None;
        Ok(())
    }
}
