//! Upper bounds of what the layer above lists in a footer: the log keeps space for it from the first record on.

use crate::types::ids::Sequence;

/// An upper bound of what a footer lists.
#[derive(Clone, Copy, Debug, Default)]
pub struct FooterBound {
    /// The number of records; a record counts once for each of its parts that is listed by itself.
    pub records: usize,
    /// The number of ranges without a gap of one owner's numbers.
    pub ranges: usize,
}

impl FooterBound {
    pub(crate) fn plus(self, more: Self) -> Self {
        Self { records: self.records + more.records, ranges: self.ranges + more.ranges }
    }
}

/// The number of ranges without a gap of one owner's numbers that a batch adds to a segment's footer, at most.
///
/// A batch adds at most as many as it has records. A tighter bound wastes less space.
#[derive(Clone, Copy, Debug)]
pub struct RangeCounts {
    /// In a segment without other records.
    pub all: u32,
    /// Beyond the ranges of earlier records, in the segment whose first record has this sequence or a higher one:
    /// [`Wal::active_since`](crate::Wal::active_since). `all` counts instead if that segment is no longer active.
    pub since: Sequence,
    /// See `since`.
    pub more: u32,
}

impl RangeCounts {
    /// The bound for any records.
    pub(crate) fn any(records: u32) -> Self {
        Self { all: records, since: Sequence::NONE, more: records }
    }

    /// The number of ranges that the batch adds to the footer of a segment that begins with group `first`.
    pub(crate) fn added_to(&self, first: u64) -> usize {
        let added = if self.since.group() == first { self.more } else { self.all };
        added as usize
    }
}
