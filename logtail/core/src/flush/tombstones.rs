//! `TombstoneJob`: deletes that leave memory, in the order of a tombstone object.

use std::sync::Arc;

use crate::{
    block_meta::{BlockMeta, ObjectMeta, TombstoneRange},
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

    /// Calls `write` with the tombstones of each block, in order: positions in the object with the timestamps of the
    /// deletes. `read` gives those of a range of a tombstone object.
    ///
    /// # Errors
    /// Those of `read` and `write`.
    pub fn run<E>(
        self,
        mut read: impl FnMut(&Arc<ObjectMeta>, TombstoneRange) -> Result<Vec<(u32, Timestamp)>, E>,
        mut write: impl FnMut(ObjectId, &[(u32, Timestamp)]) -> Result<(), E>,
    ) -> Result<Collected, E> {
        let mut collected = Collected { through: self.through, blocks: Vec::new() };
        let mut total = 0;
        for object in &self.objects {
            for number in object.dirty_blocks() {
                let Some(block) = object.meta().blocks.get(number) else { continue };
                if total >= TOMBSTONES_MAX {
                    return Ok(collected);
                }
                let older = match object.tombstones_of(number) {
                    Some((tombstones, range)) if !mutants::is_on(Mutant::TombstonesDropped) => read(tombstones, range)?,
                    _ => Vec::new(),
                };
                let deletes = self.merged(object, block, older);
                let Some(count) = u32::try_from(deletes.len()).ok().filter(|count| *count > 0) else { continue };
                write(object.meta().id, &deletes)?;
                total += deletes.len();
                let block = u32::try_from(number).unwrap_or(u32::MAX);
                collected.blocks.push(BlockTombstones { rowset: object.rowset(), block, count });
            }
        }
        Ok(collected)
    }

    /// The deletes of a block that are in memory, and the tombstones that it has, in the order of the rows. Nothing
    /// where memory has none.
    fn merged(&self, object: &Object, block: &BlockMeta, older: Vec<(u32, Timestamp)>) -> Vec<(u32, Timestamp)> {
        let mut deletes: Vec<_> = object.deletes().of_range(block.row_range()).collect();
        deletes.retain(|(_, at)| *at <= self.through);
        if deletes.is_empty() {
            return deletes;
        }
        deletes.extend(older);
        deletes.sort_unstable();
        // A row is deleted once, by its first delete.
        deletes.dedup_by_key(|(row, _)| *row);
        deletes
    }
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
