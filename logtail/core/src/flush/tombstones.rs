//! `TombstoneJob`: deletes that leave memory, in the order of tombstone objects.

use std::{collections::VecDeque, sync::Arc};

use super::moved::{MovedDeletes, MovedRows};
use crate::{
    block_meta::ObjectMeta,
    ids::TableId,
    mutants::{self, Mutant},
    object_id::ObjectId,
    record::{BlockTombstones, Tombstones},
    table::Object,
    timestamp::Timestamp,
};

/// Collects deletes that are in memory: those of blocks of older objects, and those of the rows that the flush moves.
/// With them go the tombstones that a block has in an object already, so that one range has all of it. Holds locks
/// that commits wait for no longer than it takes to share pages of deletes.
#[derive(Debug)]
pub struct TombstoneJob {
    /// The table.
    pub table: TableId,
    /// The id of the first tombstone object. The next ones have the next numbers.
    first: ObjectId,
    /// Older objects with deletes in memory.
    objects: Vec<Arc<Object>>,
    rows: MovedRows,
    /// The deletes of moved rows that were collected before. Those after them are new: blocks without are left out.
    moved: MovedDeletes,
    through: Timestamp,
    /// [`FlushLimits::object_tombstones`](super::FlushLimits::object_tombstones), at least one.
    limit: usize,
}

/// Blocks with the deletes of a [`TombstoneJob`], in the order of their tombstones.
#[derive(Debug)]
pub struct TombstoneBlocks {
    next: ObjectId,
    blocks: VecDeque<Dirty>,
    moved: MovedDeletes,
    /// Up to when deletes were collected before.
    known: Timestamp,
    through: Timestamp,
    limit: usize,
}

/// What goes to a tombstone object: all but the object.
#[derive(Debug)]
pub struct Collected {
    through: Timestamp,
    blocks: Vec<BlockTombstones>,
}

impl TombstoneJob {
    /// A job for the deletes up to `through`, inclusive, all of which are committed: of `older` objects, and of moved
    /// rows, where `moved` has those that were collected before. From `limit` tombstones on the next ones go to another
    /// object.
    pub(crate) fn new(
        table: TableId,
        first: ObjectId,
        older: impl Iterator<Item = Arc<Object>>,
        rows: MovedRows,
        moved: MovedDeletes,
        through: Timestamp,
        limit: usize,
    ) -> Self {
        let is_dirty = |object: &Arc<Object>| object.oldest_delete().is_some_and(|oldest| oldest <= through);
        let objects = older.filter(is_dirty).collect();
        Self { table, first, objects, rows, moved, through, limit: limit.max(1) }
    }

    /// Whether there is nothing to collect.
    pub(crate) fn is_empty(&self) -> bool {
        self.objects.is_empty() && !self.rows.has_deletes(self.moved.through(), self.through)
    }

    /// The deletes of moved rows that were collected before.
    pub(crate) fn into_moved(self) -> MovedDeletes {
        self.moved
    }

    /// Whether blocks have tombstones already.
    pub fn reads(&self) -> bool {
        self.objects.iter().any(|object| !object.tombstones().is_empty())
    }

    /// Collects: which blocks have deletes, and those of moved rows at their new places. `between` is called behind
    /// each block, and behind each thousand of moved rows.
    pub fn collect(self, between: &mut dyn FnMut()) -> TombstoneBlocks {
        let Self { first, objects, rows, mut moved, through, limit, .. } = self;
        let known = moved.through();
        let older = objects.iter().flat_map(|object| dirty_blocks(object, Timestamp::ZERO, through, between));
        let mut blocks = with_most(older.collect(), limit);
        rows.collect(&mut moved, through, between);
        blocks.extend(moved.objects().flat_map(|object| dirty_blocks(object, known, through, between)));
        blocks.sort_by_key(|dirty| (dirty.object.meta().id, dirty.block));
        TombstoneBlocks { next: first, blocks: blocks.into(), moved, known, through, limit }
    }
}

impl TombstoneBlocks {
    /// The id of the next tombstone object; `None` behind the last.
    pub fn next_id(&self) -> Option<ObjectId> {
        (!self.blocks.is_empty()).then_some(self.next)
    }

    /// Calls `write` with the tombstones of each block of the next object, in order: positions in the block's object
    /// with the timestamps of the deletes. `read` gives the tombstones that a block has in objects already.
    ///
    /// # Errors
    /// Those of `read` and `write`.
    pub fn next_object<E>(
        &mut self,
        mut read: impl FnMut(&Object, usize) -> Result<Vec<(u32, Timestamp)>, E>,
        mut write: impl FnMut(ObjectId, &[(u32, Timestamp)]) -> Result<(), E>,
    ) -> Result<Collected, E> {
        let mut collected = Collected { through: self.through, blocks: Vec::new() };
        let mut total = 0;
        while total < self.limit
            && let Some(Dirty { object, block, .. }) = self.blocks.pop_front()
        {
            let older = match object.tombstones_of(block) {
                Some(_) if !mutants::is_on(Mutant::TombstonesDropped) => read(&object, block)?,
                _ => Vec::new(),
            };
            let deletes = merged(self.deletes(&object, block), older);
            write(object.meta().id, &deletes)?;
            total += deletes.len();
            // A block has no more rows than 32 bits count.
            let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
            let (block, count) = (number(block), number(deletes.len()));
            collected.blocks.push(BlockTombstones { rowset: object.rowset(), block, count });
        }
        self.next.number = self.next.number.saturating_add(1);
        Ok(collected)
    }

    /// The deletes of a block that were collected.
    fn deletes(&self, object: &Object, block: usize) -> Vec<(u32, Timestamp)> {
        let Some(block) = object.meta().blocks.get(block) else { return Vec::new() };
        let after = if mutants::is_on(Mutant::RoundBeforeDropped) { self.known } else { Timestamp::ZERO };
        let is_collected = |(_, at): &(u32, Timestamp)| *at > after && *at <= self.through;
        object.deletes_near(block).of_range(block.row_range()).filter(is_collected).collect()
    }

    /// The deletes of moved rows, which all have tombstones behind the last object.
    pub fn into_moved(self) -> MovedDeletes {
        self.moved
    }
}

/// A block with deletes to be taken from memory. They are read when it is written: until then no more is held than is
/// in memory anyway.
#[derive(Debug)]
struct Dirty {
    object: Arc<Object>,
    block: usize,
    /// How many deletes it has in memory.
    deletes: usize,
    /// How many tombstones it has.
    older: usize,
}

/// The blocks of an object with deletes in memory after `known` and up to `through`, inclusive.
fn dirty_blocks(object: &Arc<Object>, known: Timestamp, through: Timestamp, between: &mut dyn FnMut()) -> Vec<Dirty> {
    let dirty = |number: usize| {
        let block = object.meta().blocks.get(number)?;
        let (mut deletes, mut is_new) = (0, false);
        for (_, at) in object.deletes_near(block).of_range(block.row_range()).filter(|(_, at)| *at <= through) {
            (deletes, is_new) = (deletes + 1, is_new || at > known);
        }
        between();
        let older = block.tombstones.map_or(0, |range| range.count as usize);
        is_new.then(|| Dirty { object: Arc::clone(object), block: number, deletes, older })
    };
    object.dirty_blocks().into_iter().filter_map(dirty).collect()
}

/// Those with the most deletes in memory, which have about `limit` of them: so each flush frees what it can.
fn with_most(mut blocks: Vec<Dirty>, limit: usize) -> Vec<Dirty> {
    blocks.sort_by_key(|dirty| std::cmp::Reverse(dirty.deletes));
    let mut total = 0;
    blocks.retain(|dirty| {
        let has_room = total < limit;
        total += dirty.deletes + dirty.older;
        has_room
    });
    blocks
}

/// The deletes of a block that were in memory, and its tombstones, in the order of the rows.
fn merged(mut deletes: Vec<(u32, Timestamp)>, older: Vec<(u32, Timestamp)>) -> Vec<(u32, Timestamp)> {
    if !older.is_empty() {
        deletes.extend(older);
        deletes.sort_unstable();
        // A row is deleted once, by its first delete.
        deletes.dedup_by_key(|(row, _)| *row);
    }
    deletes
}

impl Collected {
    /// With the object that has them.
    pub fn tombstones(self, object: ObjectMeta) -> Tombstones {
        Tombstones { object, through: self.through, blocks: self.blocks }
    }
}
