//! Identifiers: where a record stands in the log's order, and where it lies on disk.

use std::fmt;

/// Bits of a [`Sequence`] that number the records of one group.
const ORDINAL_BITS: u32 = 16;

/// The most records that one group can hold, and so one batch.
pub const GROUP_RECORDS_MAX: u32 = 1 << ORDINAL_BITS;

/// Exceeds every number of a group, a segment, an epoch or a checkpoint that a log reaches: they grow by one, or by a
/// few hundred at an opening. Sums with numbers below it do not overflow, and such a group fits a [`Sequence`].
pub(crate) const NUMBER_MAX: u64 = 1 << 47;

/// A record's position in the log's order: the number of its group, and its ordinal in the group.
///
/// Sequences grow and are never reused, not even those of a group that recovery cut. A record keeps its sequence when
/// it moves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(pub u64);

impl Sequence {
    /// Precedes every record; the back link of an owner's first record.
    pub const NONE: Self = Self(0);

    /// The sequence of record `ordinal` of `group`.
    pub(crate) fn new(group: u64, ordinal: u32) -> Self {
        debug_assert!(ordinal < GROUP_RECORDS_MAX);
        Self(group << ORDINAL_BITS | u64::from(ordinal))
    }

    /// The number of the group that the record was first written in.
    pub fn group(self) -> u64 {
        self.0 >> ORDINAL_BITS
    }

    /// The record's position in that group, from 0.
    pub fn ordinal(self) -> u64 {
        self.0 & (u64::from(GROUP_RECORDS_MAX) - 1)
    }

    pub(crate) fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.group(), self.ordinal())
    }
}

/// Names one life of one segment file; never reused. Grows by one with each segment that the log begins. A cold
/// segment, which holds moved records, has an id above all of those.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId(pub u64);

impl SegmentId {
    /// The lowest id that a cold segment can have.
    pub(crate) const COLD: Self = Self(NUMBER_MAX);

    /// The id of the cold segment that is begun when `group` is the next group of the log.
    pub(crate) fn cold(group: u64) -> Self {
        Self(NUMBER_MAX | group)
    }

    /// Whether it is a cold segment: it holds moved records, and is not part of the log's order.
    pub fn is_cold(self) -> bool {
        self >= Self::COLD
    }

    pub(crate) fn next(self) -> Self {
        Self(self.0 + 1)
    }

    pub(crate) fn is_possible(self) -> bool {
        self.0 < 2 * NUMBER_MAX
    }
}

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.checked_sub(NUMBER_MAX) {
            Some(group) => write!(f, "c{group}"),
            None => write!(f, "{}", self.0),
        }
    }
}

/// The place of a record: `len` bytes, header included, from byte `offset` of a segment on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The segment.
    pub segment: SegmentId,
    /// In bytes from the segment's beginning; a multiple of 8.
    pub offset: u32,
    /// In bytes; a multiple of 8.
    pub len: u32,
}

/// `value` rounded up to a multiple of `unit`, a power of two.
pub(crate) fn round_up(value: usize, unit: usize) -> usize {
    debug_assert!(unit.is_power_of_two());
    (value + unit - 1) & !(unit - 1)
}
