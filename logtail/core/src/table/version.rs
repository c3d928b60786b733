//! `Version`: where the rows of a table are.

use std::sync::Arc;

use super::memtable::{Found, Memtable};
use crate::{
    ids::{RowId, RowsetId},
    timestamp::Timestamp,
};

/// Where the rows of a table are: an immutable list of rowsets, which grow.
#[derive(Clone, Debug)]
pub struct Version {
    /// The oldest first; rows are added to the last one.
    memtables: Vec<Arc<Memtable>>,
}

impl Version {
    /// No rows.
    pub(crate) fn empty() -> Self {
        Self { memtables: Vec::new() }
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

    /// The newest row of `key` in memory that was committed at `timestamp` or before, deleted or not. Rows in memory
    /// are newer than those of the same key in objects.
    pub fn find_in_memory(&self, key: &[u8], timestamp: Timestamp) -> Option<Found> {
        self.memtables.iter().rev().find_map(|memtable| memtable.find(key, timestamp))
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
