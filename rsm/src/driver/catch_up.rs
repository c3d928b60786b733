//! Catching up: what a follower is sent, and what is kept for it.

use logboom::{EntryBatch, Miss, ReadError, snapshot::Lease};

use super::Driver;
use crate::{
    error::{Error, Result},
    machine::StateMachine,
};

/// What brings a follower further.
#[derive(Debug)]
#[non_exhaustive]
pub enum CatchUp {
    /// Entries from the index on that it needs; none if it has all.
    Entries(EntryBatch),
    /// The log does not reach back: a snapshot, and then what lies behind it. While the lease lives the snapshot stays,
    /// whatever replaces it, and so does the log behind it.
    Snapshot(Lease),
    /// The log does not reach back, and there is no snapshot that does, or none that the follower takes: one was
    /// [requested](Driver::request_snapshot_from).
    Later,
}

impl<M: StateMachine> Driver<M> {
    /// Keeps the log from `needs` on for a follower, as long as the policy's cap allows. To be called as it comes
    /// further; a smaller index than before is taken as well.
    pub fn follow(&mut self, follower: u64, needs: u64) {
        self.followers.insert(follower, needs);
    }

    /// Keeps nothing for a follower any more: one that was removed, or of which nothing was heard for long.
    pub fn unfollow(&mut self, follower: u64) {
        self.followers.remove(&follower);
    }

    /// What a follower is sent that needs the entries from `next` on: as many as have no more than `max_bytes` of
    /// payload and context, but at least one, or a snapshot.
    ///
    /// A follower that is being sent a snapshot is best [followed](Driver::follow) from behind it before the lease is
    /// dropped: it finds the entries there then.
    ///
    /// # Errors
    /// [`Error::Read`] with [`ReadError::Unavailable`] when `next` is more than one past the end of the log, or what
    /// is there cannot be read; [`Error::Engine`], [`Error::Halted`].
    pub fn catch_up(&mut self, next: u64, max_bytes: u64) -> Result<CatchUp> {
        self.catch_up_member(next, 0, max_bytes)
    }

    /// [`Driver::catch_up`] of a follower that the entry at `joined` made a member, for a core that takes no snapshot
    /// whose membership it is not part of, as raft-rs': it is sent one of `joined` at least, and waits while there is
    /// none.
    ///
    /// # Errors
    /// As [`Driver::catch_up`].
    pub fn catch_up_member(&mut self, next: u64, joined: u64, max_bytes: u64) -> Result<CatchUp> {
        self.check()?;
        let end = self.shard.next().unwrap_or(next);
        if next > end {
            return Err(Error::Read(ReadError::Unavailable { last: self.shard.last() }));
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
            && !matches!(self.shard.term(lease.manifest().index), Err(Miss::Compacted { .. }))
        {
            return Ok(CatchUp::Snapshot(lease));
        }
        self.request_snapshot_from(least);
        Ok(CatchUp::Later)
    }
}
