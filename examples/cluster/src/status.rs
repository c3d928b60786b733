//! How a node is: what the parent waits for, and what the report adds up.

use bytes::{Buf, BufMut, TryGetError};

/// Numbers of one life of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Status {
    /// Shards of which it knows the leader.
    pub(crate) known: u64,
    /// Shards that it leads.
    pub(crate) led: u64,
    /// Shards that it leads and whose other replicas have everything but the last few entries.
    pub(crate) settled: u64,
    /// Elections that it has won.
    pub(crate) elections: u64,
    /// Snapshots that it has saved, sent, and installed.
    pub(crate) saved: u64,
    pub(crate) sent: u64,
    pub(crate) installed: u64,
    /// Entries that it has applied.
    pub(crate) applied: u64,
    /// Writes to the log, each of one batch for all shards that had something to write.
    pub(crate) batches: u64,
    /// Messages to other nodes, and the frames that they went in.
    pub(crate) messages: u64,
    pub(crate) frames: u64,
}

impl Status {
    fn fields(&mut self) -> [&mut u64; 11] {
        let Self { known, led, settled, elections, saved, sent, installed, applied, batches, messages, frames } = self;
        [known, led, settled, elections, saved, sent, installed, applied, batches, messages, frames]
    }

    /// Adds up the numbers of several lives; what only stands for a moment is of no use then.
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
