//! Catching up followers: entries or a snapshot to send, and log to keep for them.

use logboom::{EntryBatch, ReadError, snapshot::Lease};

use super::Driver;
use crate::{
    error::{Error, Result},
    machine::StateMachine,
};

/// Entries or a snapshot for a follower.
#[derive(Debug)]
#[non_exhaustive]
pub enum CatchUp {
    /// Entries from the index on that it needs; none if it has all.
    Entries(EntryBatch),
    /// The log is compacted: send this snapshot, then the entries behind it. While the lease lives the snapshot and the
    /// log behind it stay.
    Snapshot(Lease),
    /// The log is compacted, and no snapshot suits the follower: one was [requested](Driver::request_snapshot_from).
    Later,
}

impl<M: StateMachine> Driver<M> {
    /// Keeps the log from `needs` on (inclusive) for a follower, as far as the policy's cap allows. Call it as the
    /// follower advances; the index may also be smaller than before.
    pub fn follow(&mut self, follower: u64, needs: u64) {
        self.followers.insert(follower, needs);
    }

    /// Stops keeping log for a follower that was removed or has not responded for long.
    pub fn unfollow(&mut self, follower: u64) {
        self.followers.remove(&follower);
    }

    /// The entries to send to a follower that needs those from `next` on: at most `max_bytes` of payload and context,
    /// but at least one entry; or a snapshot.
    ///
    /// Call [`Driver::follow`] with the index behind the snapshot before the lease is dropped, so that the follower
    /// finds the entries there.
    ///
    /// # Errors
    /// [`Error::Read`] with [`ReadError::Unavailable`] when `next` is more than one past the end of the log, or what
    /// is there cannot be read; [`Error::Engine`], [`Error::Halted`].
    pub fn catch_up(&mut self, next: u64, max_bytes: u64) -> Result<CatchUp> {
        self.catch_up_member(next, 0, max_bytes)
    }

    /// [`Driver::catch_up`] for a follower that the entry at `joined` made a member: sends only a snapshot of at least
    /// `joined`, and waits while there is none. For cores that reject a snapshot whose membership lacks them, as
    /// raft-rs does.
    ///
    /// # Errors
    /// As [`Driver::catch_up`].
    pub fn catch_up_member(&mut self, next: u64, joined: u64, max_bytes: u64) -> Result<CatchUp> {
        self.check()?;
        let end = self.shard.next().unwrap_or(next);
        if next > end {
            let (shard, last) = (self.shard.id(), self.shard.last());
            return Err(Error::Read(ReadError::Unavailable { shard, index: next, last }));
        }
        if next >= self.first() {
            match self.shard.entries(next..end, max_bytes) {
                Ok(entries) => return Ok(CatchUp::Entries(entries)),
                Err(ReadError::Compacted { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.snapshot_from_which_the_log_goes_on(joined)
    }

    fn snapshot_from_which_the_log_goes_on(&mut self, least: u64) -> Result<CatchUp> {
        if let Some(lease) = self.engine.snapshots().newest(self.shard.id())?
            && lease.manifest().index >= least
            && !matches!(self.shard.term(lease.manifest().index), Err(ReadError::Compacted { .. }))
        {
            return Ok(CatchUp::Snapshot(lease));
        }
        self.request_snapshot_from(least);
        Ok(CatchUp::Later)
    }
}
