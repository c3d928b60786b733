//! `FlushLimits`: how many deletes a flush has at a time.

/// How many deletes a flush has in its record and in a tombstone object. None of them bounds how many it takes from
/// memory in all: for more of them it writes further objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlushLimits {
    /// The deletes of flushed rows that the record has, those that were committed since tombstones were collected: they
    /// are found while commits wait. For more of them, tombstones are collected once more first. Default: as many as
    /// take up to 1 MiB.
    pub record_deletes_max: usize,
    /// From so many tombstones on the next blocks go to another object, and those of older objects stay in memory until
    /// the next flush: what a flush holds in memory, and what leaves it in one step. 0 counts as 1. Default: 262,144.
    pub object_tombstones: usize,
}

/// The most that a delete takes in the record, or a block with tombstones, or a memtable's id.
pub(crate) const PLACE_BYTES_MAX: usize = 25;

/// The most that a block with tombstones takes in the record, with its part of the metadata of their object: that has
/// no more blocks than it has tombstones of, and no keys.
pub(crate) const TOMBSTONES_BYTES_MAX: usize = PLACE_BYTES_MAX + 256;

impl Default for FlushLimits {
    fn default() -> Self {
        Self { record_deletes_max: (1 << 20) / PLACE_BYTES_MAX, object_tombstones: 1 << 18 }
    }
}
