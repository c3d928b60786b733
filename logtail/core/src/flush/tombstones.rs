//! `TombstoneJob`: deletes that leave memory, in the order of a tombstone object.

use std::sync::Arc;

use crate::{
    block_meta::ObjectMeta,
    mutants::{self, Mutant},
    object_id::ObjectId,
    record::{BlockTombstones, Tombstones},
    table::Object,
    timestamp::Timestamp,
};

/// The tombstones that a job writes at most, but for those of one block: what a flush holds in memory, and what leaves
/// it in one step. The rest is left to the next flush.
const TOMBSTONES_MAX: usize = 1 << 18;

/// Collects the deletes of blocks that have some in memory: those, and the tombstones that they have in objects
/// already, so that one range has all of a block. Takes no locks that commits wait for.
#[derive(Debug)]
pub struct TombstoneJob {
    /// The id of the tombstone object.
    pub id: ObjectId,
    objects: Vec<Arc<Object>>,
    through: Timestamp,
}

/// What a [`TombstoneJob`] came to: all but the object.
#[derive(Debug, Default)]
pub struct Collected {
    through: Timestamp,
    blocks: Vec<BlockTombstones>,
}

impl TombstoneJob {
    /// A job for the deletes of `objects` up to `through`, inclusive, all of which are committed. `None` without any.
    pub(crate) fn new(id: ObjectId, objects: impl Iterator<Item = Arc<Object>>, through: Timestamp) -> Option<Self> {
        let is_dirty = |object: &Arc<Object>| object.oldest_delete().is_some_and(|oldest| oldest <= through);
        let mut objects: Vec<_> = objects.filter(is_dirty).collect();
        // The order of tombstones in their object.
        objects.sort_by_key(|object| object.meta().id);
        (!objects.is_empty()).then_some(Self { id, objects, through })
    }

    /// Whether blocks have tombstones already.
    pub fn reads(&self) -> bool {
        self.objects.iter().any(|object| !object.tombstones().is_empty())
    }

    /// The most blocks that it writes tombstones of.
    pub(crate) fn blocks_max(&self) -> usize {
        self.objects.iter().map(|object| object.meta().blocks.len()).sum::<usize>().min(TOMBSTONES_MAX)
    }

    /// Calls `write` with the tombstones of each block, in order: positions in the object with the timestamps of the
    /// deletes. `read` gives the tombstones that a block of an object has in objects already.
    ///
    /// # Errors
    /// Those of `read` and `write`.
    pub fn run<E>(
        self,
        mut read: impl FnMut(&Object, usize) -> Result<Vec<(u32, Timestamp)>, E>,
        mut write: impl FnMut(ObjectId, &[(u32, Timestamp)]) -> Result<(), E>,
    ) -> Result<Collected, E> {
        let mut collected = Collected { through: self.through, blocks: Vec::new() };
        for dirty in self.blocks() {
            let object = &self.objects[dirty.object];
            let older = match object.tombstones_of(dirty.block) {
                Some(_) if !mutants::is_on(Mutant::TombstonesDropped) => read(object, dirty.block)?,
                _ => Vec::new(),
            };
            let deletes = merged(dirty.deletes, older);
            write(object.meta().id, &deletes)?;
            // A block has no more rows than 32 bits count.
            let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
            let (block, count) = (number(dirty.block), number(deletes.len()));
            collected.blocks.push(BlockTombstones { rowset: object.rowset(), block, count });
        }
        Ok(collected)
    }

    /// The blocks to take, in the order of their tombstones: those with the most deletes in memory, so that each flush
    /// frees what it can.
    fn blocks(&self) -> Vec<Dirty> {
        let mut blocks = Vec::new();
        for (at, object) in self.objects.iter().enumerate() {
            let all = object.deletes();
            for number in object.dirty_blocks() {
                let Some(block) = object.meta().blocks.get(number) else { continue };
                let deletes = all.of_range(block.row_range()).filter(|(_, deleted)| *deleted <= self.through);
                let deletes: Vec<_> = deletes.collect();
                if !deletes.is_empty() {
                    let older = block.tombstones.map_or(0, |range| range.count as usize);
                    blocks.push(Dirty { object: at, block: number, deletes, older });
                }
            }
        }
        blocks.sort_by_key(|dirty| std::cmp::Reverse(dirty.deletes.len()));
        let mut total = 0;
        blocks.retain(|dirty| {
            let has_room = total < TOMBSTONES_MAX;
            total += dirty.deletes.len() + dirty.older;
            has_room
        });
        blocks.sort_by_key(|dirty| (dirty.object, dirty.block));
        blocks
    }
}

/// A block with deletes to be taken from memory.
struct Dirty {
    /// Its object among those of the job.
    object: usize,
    block: usize,
    deletes: Vec<(u32, Timestamp)>,
    /// How many tombstones it has.
    older: usize,
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
    /// Whether there are no tombstones, and so no object.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// With the object that has them.
    pub fn tombstones(self, object: ObjectMeta) -> Tombstones {
        Tombstones { object, through: self.through, blocks: self.blocks }
    }
}
