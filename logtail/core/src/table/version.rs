//! `Version`: where the rows of a table are.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    memory::MemoryBytes,
    memtable::{Found, Memtable},
    object::Object,
};
use crate::{
    ids::{RowId, RowsetId},
    timestamp::Timestamp,
};

/// Where the rows of a table are: an immutable list of rowsets, which grow.
#[derive(Clone, Debug)]
pub struct Version {
    /// The oldest first; rows are added to the last one.
    memtables: Vec<Arc<Memtable>>,
    /// The oldest first.
    objects: Vec<Arc<Object>>,
}

impl Version {
    /// No rows.
    pub(crate) fn empty() -> Self {
        Self { memtables: Vec::new(), objects: Vec::new() }
    }

    /// The memtables, the oldest first.
    pub fn memtables(&self) -> &[Arc<Memtable>] {
        &self.memtables
    }

    /// With a new memtable behind the others.
    pub(crate) fn with(&self, active: Arc<Memtable>) -> Self {
        let mut next = self.clone();
        next.memtables.push(active);
        next
    }

    /// The objects, in the order in which they were published.
    pub fn objects(&self) -> &[Arc<Object>] {
        &self.objects
    }

    /// After a flush of memtables, the rows of which are in these objects.
    pub(crate) fn flushed(&self, memtables: &[RowsetId], objects: &[Arc<Object>]) -> Self {
        let mut next = self.clone();
        next.memtables.retain(|memtable| !memtables.contains(&memtable.id()));
        next.objects.extend(objects.iter().cloned());
        next
    }

    /// With newer states of some of its objects.
    pub(crate) fn replaced(&self, newer: &[Arc<Object>]) -> Self {
        let newer: BTreeMap<RowsetId, &Arc<Object>> = newer.iter().map(|object| (object.rowset(), object)).collect();
        let mut next = self.clone();
        for object in &mut next.objects {
            if let Some(newer) = newer.get(&object.rowset()) {
                *object = Arc::clone(newer);
            }
        }
        next
    }

    /// The newest row of `key` in memory that was committed at `timestamp` or before, deleted or not. One that is not
    /// deleted is newer than all rows of the key in objects; behind a delete, a bulk load may have written to objects.
    pub fn find_in_memory(&self, key: &[u8], timestamp: Timestamp) -> Option<Found> {
        self.memtables.iter().rev().find_map(|memtable| memtable.find(key, timestamp))
    }

    /// The memory that memtables take, in bytes: their rows, with keys and deletes.
    pub fn row_bytes(&self) -> usize {
        self.memtables.iter().map(|memtable| memtable.allocated_bytes()).sum()
    }

    /// The memory that deletes of rows in objects take, in bytes.
    pub fn delete_bytes(&self) -> usize {
        self.objects.iter().map(|object| object.delete_bytes()).sum()
    }

    /// When the oldest row in memory was committed.
    pub fn oldest_row(&self) -> Option<Timestamp> {
        self.memtables.first().map(|memtable| memtable.first_commit())
    }

    /// The timestamp of the oldest delete, in memory, of a row in an object.
    pub fn oldest_delete(&self) -> Option<Timestamp> {
        self.objects.iter().filter_map(|object| object.oldest_delete()).min()
    }

    /// The memory that the rows take, and what is known of objects.
    pub fn memory(&self) -> MemoryBytes {
        let memtables: MemoryBytes = self.memtables.iter().map(|memtable| memtable.memory()).sum();
        let deletes = self.delete_bytes();
        let objects: usize = self.objects.iter().map(|object| object.allocated_bytes()).sum();
        memtables + MemoryBytes { deletes, objects: objects.saturating_sub(deletes), ..MemoryBytes::default() }
    }

    /// A memtable by its number.
    pub(crate) fn memtable(&self, id: RowsetId) -> Option<&Arc<Memtable>> {
        self.memtables.iter().rev().find(|memtable| memtable.id() == id)
    }

    /// A row in memory by its id.
    pub fn get(&self, row: RowId) -> Option<Found> {
        self.memtable(row.rowset)?.get(row.row)
    }
}
