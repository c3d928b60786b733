//! What the layer above will list of a segment in its footer, for which room is kept from the first record on.

use crate::types::ids::Sequence;

/// What a footer has to list, at most.
#[derive(Clone, Copy, Debug, Default)]
pub struct Listed {
    /// Records, one of which counts as often as it holds parts that are listed apart.
    pub records: usize,
    /// Stretches of one owner's numbers without a gap.
    pub stretches: usize,
}

impl Listed {
    pub(crate) fn with(self, more: Self) -> Self {
        Self { records: self.records + more.records, stretches: self.stretches + more.stretches }
    }
}

/// How many stretches of one owner's numbers without a gap a segment's footer has to list, at most, for a batch.
///
/// The most that a batch can ask for are as many as it has records; to know better is to waste less room.
#[derive(Clone, Copy, Debug)]
pub struct Stretches {
    /// In a segment that holds nothing else.
    pub all: u32,
    /// Besides those of the records before it, in the segment whose first record has this sequence or a higher one:
    /// [`Wal::active_since`](crate::Wal::active_since). If that is not the one that is written any more, `all` counts.
    pub since: Sequence,
    /// See `since`.
    pub more: u32,
}

impl Stretches {
    /// Whatever the records are.
    pub(crate) fn any(records: u32) -> Self {
        Self { all: records, since: Sequence::NONE, more: records }
    }

    /// What a batch adds to a segment that begins with group `first`.
    pub(crate) fn added_to(&self, first: u64) -> usize {
        let added = if self.since.group() == first { self.more } else { self.all };
        added as usize
    }
}
