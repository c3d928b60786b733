//! `Object`: the rows of a table that are in an object.

use std::{ops::Range, sync::Arc};

use parking_lot::RwLock;

use super::deleted::DeletedRows;
use crate::{
    block_meta::{BlockMeta, ObjectMeta},
    ids::RowsetId,
    timestamp::Timestamp,
};

/// Rows of a table that are in an object, with those of their deletes that are in memory and in the log alone.
///
/// The rows never change, and each has its commit timestamp: a flushed object is read at timestamps before its flush as
/// the memtables were. One thread at a time deletes; any number reads.
#[derive(Debug)]
pub struct Object {
    meta: Arc<ObjectMeta>,
    flushed_at: Timestamp,
    deleted: RwLock<DeletedRows>,
}

impl Object {
    pub(crate) fn new(meta: Arc<ObjectMeta>, flushed_at: Timestamp, deleted: DeletedRows) -> Self {
        Self { meta, flushed_at, deleted: RwLock::new(deleted) }
    }

    /// The timestamp of the flush that wrote it.
    pub fn flushed_at(&self) -> Timestamp {
        self.flushed_at
    }

    /// All deletes that are in memory.
    pub(crate) fn deletes(&self) -> Vec<(u32, Timestamp)> {
        self.deleted.read().iter().collect()
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
        self.meta.blocks_of_key(key).filter(is_old)
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
        self.deleted.read().allocated_bytes() + blocks
    }
}
