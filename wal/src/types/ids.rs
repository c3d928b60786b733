//! The log's numbers: where a record stands in its order, and where it lies.

use std::fmt;

/// Bits of a [`Sequence`] that number the records of one group.
const ORDINAL_BITS: u32 = 16;

/// The most records that one group can hold, and so one batch.
pub const GROUP_RECORDS_MAX: u32 = 1 << ORDINAL_BITS;

/// Above every number of a group, a segment, an epoch or a checkpoint that a log comes to: they grow by one, or by a
/// few hundred with an opening. Below it they can be added to, and a group's fits a [`Sequence`].
pub(crate) const NUMBER_MAX: u64 = 1 << 47;

/// A record's place in the one order of the log: its group's sequence and its ordinal in the group.
///
/// Sequences grow, are never reused, not even for a group that a crash cut away, and stay with a record when it moves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(pub u64);

impl Sequence {
    /// Before every record; the back-link of an owner's first one.
    pub const NONE: Self = Self(0);

    /// The sequence of record `ordinal` of `group`.
    pub(crate) fn new(group: u64, ordinal: u32) -> Self {
        debug_assert!(ordinal < GROUP_RECORDS_MAX);
        Self(group << ORDINAL_BITS | u64::from(ordinal))
    }

    /// The sequence of the group that the record was first written in.
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

/// One life of one segment file, never reused. Grows by one with every segment of the log that is begun; a cold
/// segment, to which records were moved, has an id above all of those.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId(pub u64);

impl SegmentId {
    /// The lowest id that a cold segment can have.
    pub(crate) const COLD: Self = Self(NUMBER_MAX);

    /// The cold segment that is begun when `group` is the next group of the log.
    pub(crate) fn cold(group: u64) -> Self {
        Self(NUMBER_MAX | group)
    }

    /// Whether it holds records that were moved, and no part of the log's order.
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

/// Where a record lies: `len` bytes, header included, at `offset` of a segment.
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
