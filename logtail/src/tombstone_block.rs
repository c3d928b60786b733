//! `TombstoneBlock`: tombstones that were read.

use std::{ops::Range, sync::Arc};

use logboom_logtail_blocks::Tombstone;
use logboom_logtail_core::{
    ObjectId, Timestamp,
    block_meta::{BlockMeta, ObjectMeta, TombstoneRange},
};

/// A block of a tombstone object.
#[derive(Debug)]
pub(crate) struct TombstoneBlock {
    /// The position of the first one in its object.
    first: u32,
    /// The objects whose rows are deleted, each with how many tombstones there are before its own.
    objects: Vec<(usize, ObjectId)>,
    rows: Vec<u32>,
    deleted: Vec<Timestamp>,
}

impl TombstoneBlock {
    pub(crate) fn new(block: &BlockMeta, tombstones: &[Tombstone]) -> Self {
        let mut objects: Vec<_> = tombstones.iter().map(|tombstone| tombstone.object).enumerate().collect();
        objects.dedup_by_key(|(_, object)| *object);
        Self {
            first: block.first_row,
            objects,
            rows: tombstones.iter().map(|tombstone| tombstone.row).collect(),
            deleted: tombstones.iter().map(|tombstone| tombstone.deleted).collect(),
        }
    }

    /// The memory that it takes, in bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        let rows = self.rows.len() * (size_of::<u32>() + size_of::<Timestamp>());
        rows + self.objects.len() * size_of::<(usize, ObjectId)>() + size_of::<Self>()
    }

    /// Those of its tombstones that are in `range`, as positions in it.
    fn overlap(&self, range: &Range<u32>) -> Range<usize> {
        let at = |position: u32| position.saturating_sub(self.first) as usize;
        at(range.start).min(self.rows.len())..at(range.end).min(self.rows.len())
    }

    /// Whether some of its tombstones are of rows of an object that are in `rows`.
    fn are_of(&self, tombstones: &Range<usize>, object: ObjectId, rows: &Range<u32>) -> bool {
        let before = self.objects.partition_point(|(first, _)| *first <= tombstones.start).saturating_sub(1);
        let own = self.objects.iter().skip(before).take_while(|(first, _)| *first < tombstones.end);
        let positions = self.rows.get(tombstones.clone()).unwrap_or_default();
        own.into_iter().all(|(_, own)| *own == object) && positions.iter().all(|row| rows.contains(row))
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
    overlaps(blocks, range).flat_map(|(block, overlap)| {
        block.rows[overlap.clone()].iter().copied().zip(block.deleted[overlap].iter().copied())
    })
}

/// Whether all tombstones of a range are there, and are of rows of an object that are in `rows`.
pub(crate) fn are_of(
    blocks: &[Arc<TombstoneBlock>],
    range: TombstoneRange,
    object: ObjectId,
    rows: &Range<u32>,
) -> bool {
    let count: usize = overlaps(blocks, range).map(|(_, overlap)| overlap.len()).sum();
    count == range.count as usize
        && overlaps(blocks, range).all(|(block, overlap)| block.are_of(&overlap, object, rows))
}

/// The blocks that a range is in, with which of their tombstones are.
fn overlaps(
    blocks: &[Arc<TombstoneBlock>],
    range: TombstoneRange,
) -> impl Iterator<Item = (&TombstoneBlock, Range<usize>)> {
    let wanted = range.first..range.first.saturating_add(range.count);
    let first = blocks.partition_point(|block| block.overlap(&wanted).is_empty() && block.first < wanted.start);
    let touched = blocks[first..].iter().map(move |block| (block.as_ref(), block.overlap(&wanted)));
    touched.take_while(|(_, overlap)| !overlap.is_empty())
}
