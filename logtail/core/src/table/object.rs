//! `Object`: the rows of a table that are in an object.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
};

use parking_lot::RwLock;

use super::{deleted::DeletedRows, key_bounds::KeyBounds};
use crate::{
    block_meta::{BlockMeta, ObjectMeta, TombstoneRange},
    ids::RowsetId,
    mutants::{self, Mutant},
    object_id::ObjectId,
    timestamp::Timestamp,
};

/// Rows of a table that are in an object, with those of their deletes that are in memory and in the log alone. The
/// others are in tombstone objects, which its blocks name.
///
/// The rows never change, and each has its commit timestamp: a flushed object is read at timestamps before its flush as
/// the memtables were. One thread at a time deletes; any number reads.
#[derive(Debug)]
pub struct Object {
    meta: Arc<ObjectMeta>,
    bounds: KeyBounds,
    flushed_at: Timestamp,
    /// When its metadata changed last.
    changed_at: Timestamp,
    deleted: RwLock<DeletedRows>,
    /// The tombstone objects that its blocks name.
    tombstones: Vec<Arc<ObjectMeta>>,
}

/// A block of which tombstones are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Persisted {
    /// Its number in its object.
    pub(crate) block: usize,
    /// Its tombstones: all that it has.
    pub(crate) range: TombstoneRange,
}

impl Object {
    pub(crate) fn new(meta: Arc<ObjectMeta>, flushed_at: Timestamp, deleted: DeletedRows) -> Self {
        let deleted = RwLock::new(deleted);
        let bounds = KeyBounds::of(&meta);
        Self { meta, bounds, flushed_at, changed_at: flushed_at, deleted, tombstones: Vec::new() }
    }

    /// An object of a checkpoint. `None` where a tombstone object that its blocks name is not among `tombstones`.
    pub(crate) fn restored(
        meta: Arc<ObjectMeta>,
        at: Timestamp,
        tombstones: &BTreeMap<ObjectId, Arc<ObjectMeta>>,
    ) -> Option<Self> {
        let named = meta.blocks.iter().filter_map(|block| block.tombstones).map(|range| range.object);
        let named: BTreeSet<ObjectId> = named.collect();
        let tombstones = named.iter().map(|id| tombstones.get(id).cloned()).collect::<Option<_>>()?;
        Some(Self { tombstones, ..Self::new(meta, at, DeletedRows::default()) })
    }

    /// The object when tombstones of these blocks are in `tombstones`, with all deletes up to `through`, inclusive:
    /// those leave memory. `None` where it has no such block.
    pub(crate) fn persisted(
        &self,
        tombstones: &Arc<ObjectMeta>,
        through: Timestamp,
        blocks: &[Persisted],
        at: Timestamp,
    ) -> Option<Self> {
        let mut meta = self.meta.as_ref().clone();
        let mut deleted = self.deleted.read().clone();
        for persisted in blocks {
            let block = meta.blocks.get_mut(persisted.block)?;
            (block.tombstones, block.truncation_point) = (Some(persisted.range), through);
            deleted
                .forget(block.row_range(), if mutants::is_on(Mutant::DeletesLost) { Timestamp::MAX } else { through });
        }
        let is_named =
            |id: ObjectId| meta.blocks.iter().any(|block| block.tombstones.is_some_and(|range| range.object == id));
        let mut objects: Vec<_> = self.tombstones.iter().filter(|object| is_named(object.id)).cloned().collect();
        objects.push(Arc::clone(tombstones));
        let deleted = RwLock::new(deleted);
        let (meta, flushed_at, bounds) = (Arc::new(meta), self.flushed_at, self.bounds.clone());
        Some(Self { meta, bounds, flushed_at, changed_at: at, deleted, tombstones: objects })
    }

    /// The object with newer metadata of a checkpoint, which has the deletes up to its blocks' truncation points.
    pub(crate) fn replaced_by(&self, newer: Self) -> Self {
        let mut deleted = self.deleted.read().clone();
        for block in &newer.meta.blocks {
            deleted.forget(block.row_range(), block.truncation_point);
        }
        Self { deleted: RwLock::new(deleted), ..newer }
    }

    /// When its metadata changed last: its flush, or the last one of its tombstones.
    pub(crate) fn changed_at(&self) -> Timestamp {
        self.changed_at
    }

    /// The tombstone objects that its blocks name.
    pub fn tombstones(&self) -> &[Arc<ObjectMeta>] {
        &self.tombstones
    }

    /// The tombstones of a block that are in an object, and that object.
    pub fn tombstones_of(&self, block: usize) -> Option<(&Arc<ObjectMeta>, TombstoneRange)> {
        let range = self.meta.blocks.get(block)?.tombstones?;
        Some((self.tombstones.iter().find(|object| object.id == range.object)?, range))
    }

    /// When its rows were published there: the timestamp of the flush or load that wrote it, or of the checkpoint that
    /// it was restored from.
    pub fn flushed_at(&self) -> Timestamp {
        self.flushed_at
    }

    /// All deletes that are in memory.
    pub(crate) fn deletes(&self) -> DeletedRows {
        self.deleted.read().clone()
    }

    /// Deletes that are in memory, those of a block's rows among them.
    pub(crate) fn deletes_near(&self, block: &BlockMeta) -> DeletedRows {
        self.deleted.read().pages_of(block.row_range())
    }

    /// The timestamp of the oldest delete that is in memory.
    pub fn oldest_delete(&self) -> Option<Timestamp> {
        self.deleted.read().oldest()
    }

    /// The memory that its deletes take, in bytes.
    pub fn delete_bytes(&self) -> usize {
        let deleted = self.deleted.read();
        if deleted.is_empty() { 0 } else { deleted.allocated_bytes() }
    }

    /// What the log knows of it.
    pub fn meta(&self) -> &Arc<ObjectMeta> {
        &self.meta
    }

    /// The number by which its rows are named.
    pub fn rowset(&self) -> RowsetId {
        RowsetId(self.meta.id.number)
    }

    /// The rows of `range` whose deletes are in memory and visible at `timestamp`, in their order.
    pub fn deleted(&self, range: Range<u32>, timestamp: Timestamp) -> Vec<u32> {
        self.deleted.read().at(range, timestamp).collect()
    }

    /// When a row was deleted, if that is in memory.
    pub fn deleted_at(&self, row: u32) -> Option<Timestamp> {
        self.deleted.read().of(row)
    }

    /// The blocks with deletes in memory, by their numbers: only these are to be asked for [`Object::deleted`].
    pub fn dirty_blocks(&self) -> Vec<usize> {
        let deleted = self.deleted.read();
        let mut dirty = Vec::new();
        let mut next = 0;
        while let Some(row) = deleted.first_from(next) {
            let Some(block) = self.block_of(row) else { break };
            dirty.push(block);
            next = self.meta.blocks[block].row_range().end;
        }
        dirty
    }

    /// The number of the block of a row.
    pub fn block_of(&self, row: u32) -> Option<usize> {
        let block = self.meta.blocks.partition_point(|block| block.first_row <= row).checked_sub(1)?;
        self.meta.blocks.get(block)?.row_range().contains(&row).then_some(block)
    }

    /// The blocks that may have a row with this key that was committed at `timestamp` or before, by their numbers.
    pub fn blocks_of_key(&self, key: &[u8], timestamp: Timestamp) -> impl Iterator<Item = usize> {
        let blocks = &self.meta.blocks;
        let is_old = move |number: &usize| blocks.get(*number).is_some_and(|block| block.low_commit <= timestamp);
        self.bounds.blocks_of(&self.meta, key).filter(is_old)
    }

    /// Deletes a row. Returns whether there is such a row, and it was not deleted before as far as is in memory.
    pub(crate) fn delete(&self, row: u32, timestamp: Timestamp) -> bool {
        row < self.meta.rows() && self.deleted.write().insert(row, timestamp)
    }

    /// The memory that its deletes and metadata take, in bytes.
    pub fn allocated_bytes(&self) -> usize {
        let keys = |block: &BlockMeta| {
            let key = |key: &Option<Vec<u8>>| key.as_ref().map_or(0, Vec::capacity);
            key(&block.low_key) + key(&block.high_key)
        };
        let blocks: usize = self.meta.blocks.iter().map(|block| size_of::<BlockMeta>() + keys(block)).sum();
        self.deleted.read().allocated_bytes() + blocks + self.bounds.allocated_bytes()
    }
}
