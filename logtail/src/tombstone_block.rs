//! `TombstoneBlock`: tombstones that were read.

use std::{ops::Range, sync::Arc};

use logboom_logtail_blocks::Tombstone;
use logboom_logtail_core::{
    Timestamp,
    block_meta::{BlockMeta, ObjectMeta, TombstoneRange},
};

/// A block of a tombstone object.
#[derive(Debug)]
pub(crate) struct TombstoneBlock {
    /// The position of the first one in its object.
    first: u32,
    rows: Vec<u32>,
    deleted: Vec<Timestamp>,
}

impl TombstoneBlock {
    pub(crate) fn new(block: &BlockMeta, tombstones: &[Tombstone]) -> Self {
        Self {
            first: block.first_row,
            rows: tombstones.iter().map(|tombstone| tombstone.row).collect(),
            deleted: tombstones.iter().map(|tombstone| tombstone.deleted).collect(),
        }
    }

    /// The memory that it takes, in bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.rows.len() * (size_of::<u32>() + size_of::<Timestamp>()) + size_of::<Self>()
    }

    /// Those of its tombstones that are in `range`, as positions in it.
    fn overlap(&self, range: &Range<u32>) -> Range<usize> {
        let at = |position: u32| position.saturating_sub(self.first) as usize;
        at(range.start).min(self.rows.len())..at(range.end).min(self.rows.len())
    }
}

/// The blocks of a tombstone object that a range is in.
pub(crate) fn blocks_of(meta: &ObjectMeta, range: TombstoneRange) -> Range<usize> {
    let end = range.first.saturating_add(range.count);
    let first = meta.blocks.partition_point(|block| block.row_range().end <= range.first);
    first..meta.blocks.partition_point(|block| block.first_row < end)
}

/// The tombstones of a range, from the blocks that it is in, and perhaps others.
pub(crate) fn slices(
    blocks: &[Arc<TombstoneBlock>],
    range: TombstoneRange,
) -> impl Iterator<Item = (u32, Timestamp)> + '_ {
    let wanted = range.first..range.first.saturating_add(range.count);
    let first = blocks.partition_point(|block| block.overlap(&wanted).is_empty() && block.first < wanted.start);
    let touched = blocks[first..].iter().map(move |block| (block, block.overlap(&wanted)));
    let touched = touched.take_while(|(_, overlap)| !overlap.is_empty());
    touched.flat_map(|(block, overlap)| {
        block.rows[overlap.clone()].iter().copied().zip(block.deleted[overlap].iter().copied())
    })
}
