//! Which rows of objects are deleted: deletes in memory, and tombstones from the cache or the store.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use logboom_logtail_blocks::{ReadError, Scan, Step, Tombstone};
use logboom_logtail_core::{
    ObjectId, Timestamp,
    block_meta::{BlockMeta, ObjectMeta},
    mutants::{self, Mutant},
    table::Object,
};

use crate::{
    error::{Error, Result},
    store::Store,
    tombstone_block::{TombstoneBlock, are_of, blocks_of, slices},
};

/// The tombstones that blocks of an object have, read.
#[derive(Debug)]
pub(crate) struct Deletes<'o> {
    object: &'o Object,
    /// The blocks with deletes in memory.
    dirty: Vec<usize>,
    tombstones: Tombstones,
}

/// By tombstone object, its blocks from the one with the lowest number that is needed, without gaps.
type Tombstones = BTreeMap<ObjectId, Vec<Arc<TombstoneBlock>>>;

impl Store {
    /// Which rows of these blocks of an object are deleted.
    ///
    /// # Errors
    /// [`Error::Store`]; [`Error::Object`] of a tombstone object, and of a block whose tombstones are others' there.
    pub(crate) fn deletes<'o>(&self, object: &'o Object, blocks: impl Iterator<Item = usize>) -> Result<Deletes<'o>> {
        let blocks = blocks.filter(|_| !mutants::is_on(Mutant::TombstonesUnread));
        Ok(Deletes { object, dirty: object.dirty_blocks(), tombstones: self.read_tombstones(object, blocks)? })
    }

    /// The tombstones of these blocks of an object: see [`Deletes::tombstones`].
    fn read_tombstones(&self, object: &Object, blocks: impl Iterator<Item = usize>) -> Result<Tombstones> {
        let mut needed: BTreeMap<ObjectId, (&Arc<ObjectMeta>, Range<usize>)> = BTreeMap::new();
        let mut named = Vec::new();
        for block in blocks {
            let Some((tombstones, range)) = object.tombstones_of(block) else { continue };
            let own = blocks_of(tombstones, range);
            let (_, all) = needed.entry(tombstones.id).or_insert((tombstones, own.clone()));
            *all = all.start.min(own.start)..all.end.max(own.end);
            named.push((block, range));
        }
        let read = |(id, (meta, blocks))| Ok((id, self.tombstone_blocks(meta, blocks)?));
        let read: Tombstones = needed.into_iter().map(read).collect::<Result<_>>()?;
        for (block, range) in named {
            let rows = object.meta().blocks.get(block).map_or(0..0, BlockMeta::row_range);
            let tombstones = read.get(&range.object).map_or(&[][..], Vec::as_slice);
            if !are_of(tombstones, range, object.meta().id, &rows) {
                let (object, tombstones) = (object.meta().id, range.object);
                return Err(ReadError::Tombstones { object, block, tombstones }.into());
            }
        }
        Ok(read)
    }

    /// Those of `rows`, which are rising, of an object that are deleted at `timestamp`. The tombstones of a block are
    /// looked at once.
    ///
    /// # Errors
    /// As [`Store::deletes`].
    pub(crate) fn deleted_among(&self, object: &Object, rows: &[u32], timestamp: Timestamp) -> Result<Vec<u32>> {
        let has_tombstones = |block: &usize| object.tombstones_of(*block).is_some();
        let block_of = |row: &u32| object.block_of(*row).filter(has_tombstones);
        let by_block = || rows.chunk_by(|one, next| block_of(one) == block_of(next));
        let blocks: Vec<usize> = by_block().filter_map(|rows| block_of(rows.first()?)).collect();
        let read = if blocks.is_empty() { None } else { Some(self.deletes(object, blocks.into_iter())?) };
        let in_memory = |row: &u32| object.deleted_at(*row).is_some_and(|deleted| deleted <= timestamp);
        let mut deleted = Vec::new();
        for rows in by_block() {
            let block = read.as_ref().zip(rows.first().and_then(block_of));
            let tombstones = block.into_iter().flat_map(|(read, block)| read.tombstones_of(block));
            let tombstones: Vec<u32> = tombstones.filter(|(_, at)| *at <= timestamp).map(|(row, _)| row).collect();
            let is_deleted = |row: &&u32| tombstones.binary_search(row).is_ok() || in_memory(row);
            deleted.extend(rows.iter().filter(is_deleted).copied());
        }
        Ok(deleted)
    }

    /// The tombstones of a block of an object, in the order of their rows.
    ///
    /// # Errors
    /// As [`Store::deletes`].
    pub(crate) fn tombstones(&self, object: &Object, block: usize) -> Result<Vec<(u32, Timestamp)>> {
        let read = self.read_tombstones(object, std::iter::once(block))?;
        Ok(tombstones_of(object, block, &read).collect())
    }

    /// Caches the tombstones of an object that is about to be put: they leave memory, and are often asked for then.
    pub(crate) fn cache_tombstones(&self, meta: &ObjectMeta, written: &[Tombstone]) {
        for (number, block) in meta.blocks.iter().enumerate() {
            let rows = block.row_range();
            let own = written.get(rows.start as usize..rows.end as usize).unwrap_or_default();
            self.tombstones.insert((meta.id, number), Arc::new(TombstoneBlock::new(block, own)));
        }
    }

    fn tombstone_blocks(&self, meta: &Arc<ObjectMeta>, blocks: Range<usize>) -> Result<Vec<Arc<TombstoneBlock>>> {
        let cached = blocks.clone().map(|block| self.tombstones.get(&(meta.id, block)));
        let mut found: Vec<Option<Arc<TombstoneBlock>>> = cached.collect();
        let missing: Vec<usize> =
            blocks.clone().zip(&found).filter(|(_, found)| found.is_none()).map(|(at, _)| at).collect();
        if missing.is_empty() {
            return Ok(found.into_iter().flatten().collect());
        }
        let footer = self.footer(meta)?;
        let mut scan = Scan::new(&footer, meta, Tombstone::scan(missing.iter().copied()))?;
        let mut all = Vec::new();
        while let Step::Batch(batch) = self.step(&footer, meta, &mut scan)? {
            all.extend(Tombstone::of(&batch).ok_or_else(|| wrong(meta))?);
        }
        let mut rest = all.as_slice();
        for number in missing {
            let block = meta.blocks.get(number).ok_or_else(|| wrong(meta))?;
            let (own, others) = rest.split_at_checked(block.rows as usize).ok_or_else(|| wrong(meta))?;
            rest = others;
            let read = Arc::new(TombstoneBlock::new(block, own));
            self.tombstones.insert((meta.id, number), Arc::clone(&read));
            found[number - blocks.start] = Some(read);
        }
        Ok(found.into_iter().flatten().collect())
    }
}

impl Deletes<'_> {
    /// The rows of a block that are deleted at `timestamp`, in their order.
    pub(crate) fn rows(&self, block: usize, timestamp: Timestamp) -> Vec<u32> {
        let visible = self.tombstones_of(block).filter(|(_, deleted)| *deleted <= timestamp);
        let mut rows: Vec<u32> = visible.map(|(row, _)| row).collect();
        if self.dirty.binary_search(&block).is_ok()
            && let Some(meta) = self.object.meta().blocks.get(block)
        {
            let tombstones = rows.len();
            rows.extend(self.object.deleted(meta.row_range(), timestamp));
            if tombstones > 0 {
                rows.sort_unstable();
                rows.dedup();
            }
        }
        rows
    }

    fn tombstones_of(&self, block: usize) -> impl Iterator<Item = (u32, Timestamp)> + '_ {
        tombstones_of(self.object, block, &self.tombstones)
    }
}

/// Those of a block, of what was read.
fn tombstones_of<'a>(
    object: &Object,
    block: usize,
    read: &'a Tombstones,
) -> impl Iterator<Item = (u32, Timestamp)> + use<'a> {
    let range = object.tombstones_of(block).map(|(_, range)| range);
    let read = range.and_then(|range| Some((read.get(&range.object)?, range)));
    read.into_iter().flat_map(|(blocks, range)| slices(blocks, range))
}

fn wrong(meta: &ObjectMeta) -> Error {
    Error::Bug(format!("object {} has other tombstones than its metadata say", meta.id))
}
