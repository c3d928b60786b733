//! `DeletedRows`: which rows of a rowset are deleted, and since when.

use std::{collections::BTreeMap, ops::Range};

use crate::timestamp::Timestamp;

/// Deleted rows of a rowset with the timestamps of their deletes: those that are in memory alone.
///
/// A row is deleted once: another delete of it is a conflict.
#[derive(Clone, Debug, Default)]
pub struct DeletedRows {
    rows: BTreeMap<u32, Timestamp>,
}

impl DeletedRows {
    /// Deletes `row` at `timestamp`. Returns whether it was there: a second delete changes nothing.
    pub(crate) fn insert(&mut self, row: u32, timestamp: Timestamp) -> bool {
        match self.rows.entry(row) {
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(timestamp);
                true
            }
            std::collections::btree_map::Entry::Occupied(_) => false,
        }
    }

    /// When `row` was deleted.
    pub fn of(&self, row: u32) -> Option<Timestamp> {
        self.rows.get(&row).copied()
    }

    /// The rows of `range` that are deleted at `timestamp`, inclusive, in their order.
    pub fn at(&self, range: Range<u32>, timestamp: Timestamp) -> impl Iterator<Item = u32> + '_ {
        self.rows.range(range).filter(move |(_, deleted)| **deleted <= timestamp).map(|(row, _)| *row)
    }

    /// The first one at position `from` or behind it.
    pub(super) fn first_from(&self, from: u32) -> Option<u32> {
        self.rows.range(from..).next().map(|(row, _)| *row)
    }

    /// All of them in their order.
    pub fn iter(&self) -> impl Iterator<Item = (u32, Timestamp)> + '_ {
        self.rows.iter().map(|(row, deleted)| (*row, *deleted))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The memory they take, as far as it can be told: 12 bytes each in nodes that are two thirds full.
    pub(super) fn allocated_bytes(&self) -> usize {
        self.rows.len() * 18
    }
}
