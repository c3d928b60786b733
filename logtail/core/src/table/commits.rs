//! `Commits`: when rows that stand in the order of their commits were committed.

use std::ops::Range;

use crate::timestamp::Timestamp;

/// The commit timestamps of rows in the order of their commits, once for each transaction.
#[derive(Clone, Debug, Default)]
pub(crate) struct Commits {
    /// The first row of each run of rows of one timestamp.
    firsts: Vec<u32>,
    timestamps: Vec<Timestamp>,
}

impl Commits {
    /// Rows from `first` on, up to those of the next call, are of `timestamp`, which is not below the last one.
    pub(super) fn push(&mut self, first: u32, timestamp: Timestamp) {
        debug_assert!(self.timestamps.last().is_none_or(|last| *last <= timestamp));
        if self.timestamps.last() != Some(&timestamp) {
            self.firsts.push(first);
            self.timestamps.push(timestamp);
        }
    }

    /// How many of the first `len` rows are committed at `timestamp`, inclusive: these are the first ones.
    pub(super) fn visible(&self, len: u32, timestamp: Timestamp) -> u32 {
        let runs = self.timestamps.partition_point(|commit| *commit <= timestamp);
        self.firsts.get(runs).copied().unwrap_or(len)
    }

    /// When `row` was committed; `None` before the first one.
    pub(super) fn of(&self, row: u32) -> Option<Timestamp> {
        let run = self.firsts.partition_point(|first| *first <= row).checked_sub(1)?;
        self.timestamps.get(run).copied()
    }

    /// Those of the rows of `range`.
    pub(super) fn of_range(&self, range: Range<u32>) -> Self {
        let start = self.firsts.partition_point(|first| *first <= range.start).saturating_sub(1);
        let end = self.firsts.partition_point(|first| *first < range.end);
        let firsts = self.firsts[start..end].iter().map(|first| *first.max(&range.start)).collect();
        Self { firsts, timestamps: self.timestamps[start..end].to_vec() }
    }

    /// One for each row below `end`, from the first one on.
    pub(crate) fn expand(&self, end: u32) -> Vec<i64> {
        let mut all = Vec::with_capacity(self.firsts.first().map_or(0, |first| end.saturating_sub(*first)) as usize);
        let ends = self.firsts.iter().skip(1).chain([&end]);
        for ((first, end), timestamp) in self.firsts.iter().zip(ends).zip(&self.timestamps) {
            all.extend(std::iter::repeat_n(timestamp.to_i64(), end.saturating_sub(*first) as usize));
        }
        all
    }

    pub(super) fn shrink(&mut self) {
        self.firsts.shrink_to_fit();
        self.timestamps.shrink_to_fit();
    }

    pub(super) fn allocated_bytes(&self) -> usize {
        self.firsts.capacity() * size_of::<u32>() + self.timestamps.capacity() * size_of::<Timestamp>()
    }
}
