//! How much a batch adds to and frees in which segment.

use logboom_wal::SegmentId;

use crate::types::ids::ShardId;

/// Entries, and the bytes of the records that hold them; a record of which a part is live counts in proportion.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Amount {
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
}

/// The changes of one batch to the segment usage table, collected so that the table is locked once.
#[derive(Debug, Default)]
pub(crate) struct Delta {
    pub(crate) appended: Amount,
    pub(crate) touched: Vec<ShardId>,
    pub(crate) freed: Vec<(SegmentId, Amount)>,
}

impl Amount {
    pub(crate) fn new(entries: u64, bytes: u32) -> Self {
        Self { entries, bytes: bytes.into() }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.entries = self.entries.saturating_add(other.entries);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }

    pub(crate) fn subtract(&mut self, other: Self) {
        self.entries = self.entries.saturating_sub(other.entries);
        self.bytes = self.bytes.saturating_sub(other.bytes);
    }
}

impl Delta {
    pub(crate) fn append(&mut self, amount: Amount) {
        self.appended.add(amount);
    }

    /// Adds a shard that has new places in the active segment.
    pub(crate) fn touch(&mut self, shard: ShardId) {
        self.touched.push(shard);
    }

    pub(crate) fn free(&mut self, segment: SegmentId, amount: Amount) {
        match self.freed.last_mut() {
            _ if amount.entries == 0 => {}
            Some(last) if last.0 == segment => last.1.add(amount),
            _ => self.freed.push((segment, amount)),
        }
    }

    pub(crate) fn capacity_bytes(&self) -> usize {
        bytes_of(&self.touched) + bytes_of(&self.freed)
    }

    pub(crate) fn clear(&mut self) {
        self.appended = Amount::default();
        self.touched.clear();
        self.freed.clear();
    }
}

/// The bytes that a list has allocated.
pub(crate) fn bytes_of<T>(list: &Vec<T>) -> usize {
    list.capacity() * size_of::<T>()
}
