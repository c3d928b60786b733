//! `MemoryBytes`: the memory of a table, by what takes it.

use std::{iter::Sum, ops::Add};

/// The memory that a table takes, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryBytes {
    /// The rows of memtables, with their commit timestamps.
    pub rows: usize,
    /// The keys of those rows, and the indexes of them.
    pub keys: usize,
    /// The deletes of rows in memtables and in objects.
    pub deletes: usize,
    /// What is known of objects and their blocks.
    pub objects: usize,
}

impl MemoryBytes {
    /// All of it.
    pub fn total(&self) -> usize {
        self.rows + self.keys + self.deletes + self.objects
    }
}

impl Add for MemoryBytes {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            rows: self.rows + other.rows,
            keys: self.keys + other.keys,
            deletes: self.deletes + other.deletes,
            objects: self.objects + other.objects,
        }
    }
}

impl Sum for MemoryBytes {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Add::add)
    }
}
