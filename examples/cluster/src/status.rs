//! `Status`: the counters of a node, for the parent to wait on and for the report.

use bytes::{Buf, BufMut, TryGetError};

/// The counters of a node since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Status {
    /// The number of shards whose leader it knows.
    pub(crate) known: u64,
    /// The number of shards that it leads.
    pub(crate) led: u64,
    /// The number of shards that it leads and whose followers lack at most a few entries.
    pub(crate) settled: u64,
    /// The number of elections that it has won.
    pub(crate) elections: u64,
    /// The numbers of snapshots that it has saved, sent, and installed.
    pub(crate) saved: u64,
    pub(crate) sent: u64,
    pub(crate) installed: u64,
    /// The number of entries that it has applied.
    pub(crate) applied: u64,
    /// The number of batches written to the log, each for all shards that had changes.
    pub(crate) batches: u64,
    /// The numbers of messages sent to other nodes, and of frames that held them.
    pub(crate) messages: u64,
    pub(crate) frames: u64,
}

impl Status {
    fn fields(&mut self) -> [&mut u64; 11] {
        let Self { known, led, settled, elections, saved, sent, installed, applied, batches, messages, frames } = self;
        [known, led, settled, elections, saved, sent, installed, applied, batches, messages, frames]
    }

    /// Adds the counters of another node or run. Sums of the momentary ones (`known`, `led`, `settled`) mean nothing.
    pub(crate) fn add(&mut self, mut other: Self) {
        for (mine, others) in self.fields().into_iter().zip(other.fields()) {
            *mine += *others;
        }
    }

    pub(crate) fn put(&self, to: &mut Vec<u8>) {
        let mut copy = *self;
        copy.fields().iter().for_each(|field| to.put_u64_le(**field));
    }

    pub(crate) fn take(from: &mut &[u8]) -> Result<Self, TryGetError> {
        let mut status = Self::default();
        for field in status.fields() {
            *field = from.try_get_u64_le()?;
        }
        Ok(status)
    }
}
