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
/// With them go the tombstones that a block has in an object already, so that one range has all of it. Takes no locks
/// that commits wait for.
#[derive(Debug)]
pub struct TombstoneJob {
    /// The table.
    pub table: TableId,
    /// The id of the first tombstone object. The next ones have the next numbers.
    first: ObjectId,
    /// Older objects with deletes in memory.
    objects: Vec<Arc<Object>>,
    moved: MovedRows,
    /// Deletes of moved rows after this timestamp are new: blocks without are left out.
    known: Timestamp,
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
    /// rows after `known`. `None` without any. From `limit` tombstones on the next ones go to another object.
    pub(crate) fn new(
        table: TableId,
        first: ObjectId,
        older: impl Iterator<Item = Arc<Object>>,
        moved: MovedRows,
        known: Timestamp,
        through: Timestamp,
        limit: usize,
    ) -> Option<Self> {
        let is_dirty = |object: &Arc<Object>| object.oldest_delete().is_some_and(|oldest| oldest <= through);
        let objects: Vec<_> = older.filter(is_dirty).collect();
        let has_some = !objects.is_empty() || moved.has_deletes(known, through);
        has_some.then_some(Self { table, first, objects, moved, known, through, limit: limit.max(1) })
    }

    /// Whether blocks have tombstones already.
    pub fn reads(&self) -> bool {
        self.objects.iter().any(|object| !object.tombstones().is_empty())
    }

    /// Collects.
    pub fn collect(self) -> TombstoneBlocks {
        let Self { known, through, limit, .. } = self;
        let older = self.objects.iter().flat_map(|object| dirty_blocks(object, through)).collect();
        let mut blocks = with_most(older, limit);
        let moved = self.moved.deletes_through(through);
        let is_new = |dirty: &Dirty| dirty.deletes.iter().any(|(_, at)| *at > known);
        let moved_blocks = moved.0.iter().flat_map(|object| dirty_blocks(object, through)).filter(is_new);
        blocks.extend(moved_blocks.map(|dirty| dirty.without(known)));
        blocks.sort_by_key(|dirty| (dirty.object.meta().id, dirty.block));
        TombstoneBlocks { next: self.first, blocks: blocks.into(), moved, through, limit }
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
            && let Some(Dirty { object, block, deletes, .. }) = self.blocks.pop_front()
        {
            let older = match object.tombstones_of(block) {
                Some(_) if !mutants::is_on(Mutant::TombstonesDropped) => read(&object, block)?,
                _ => Vec::new(),
            };
            let deletes = merged(deletes, older);
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

    /// The deletes of moved rows, which all have tombstones behind the last object.
    pub fn into_moved(self) -> MovedDeletes {
        self.moved
    }
}

/// A block with deletes to be taken from memory.
#[derive(Debug)]
struct Dirty {
    object: Arc<Object>,
    block: usize,
    deletes: Vec<(u32, Timestamp)>,
    /// How many tombstones it has.
    older: usize,
}

impl Dirty {
    /// With the mutant, a second round of tombstones has none of the round before.
    fn without(mut self, known: Timestamp) -> Self {
        if mutants::is_on(Mutant::RoundBeforeDropped) {
            self.deletes.retain(|(_, at)| *at > known);
        }
        self
    }
}

/// The blocks of an object with deletes in memory up to `through`, inclusive.
fn dirty_blocks(object: &Arc<Object>, through: Timestamp) -> impl Iterator<Item = Dirty> + '_ {
    let all = object.deletes();
    object.dirty_blocks().into_iter().filter_map(move |number| {
        let block = object.meta().blocks.get(number)?;
        let deletes = all.of_range(block.row_range()).filter(|(_, deleted)| *deleted <= through);
        let deletes: Vec<_> = deletes.collect();
        let older = block.tombstones.map_or(0, |range| range.count as usize);
        (!deletes.is_empty()).then(|| Dirty { object: Arc::clone(object), block: number, deletes, older })
    })
}

/// Those with the most deletes in memory, which have about `limit` of them: so each flush frees what it can.
fn with_most(mut blocks: Vec<Dirty>, limit: usize) -> Vec<Dirty> {
    blocks.sort_by_key(|dirty| std::cmp::Reverse(dirty.deletes.len()));
    let mut total = 0;
    blocks.retain(|dirty| {
        let has_room = total < limit;
        total += dirty.deletes.len() + dirty.older;
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
