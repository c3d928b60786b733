//! `LoadCheck`: the rows that must not have a key of a load.

use std::{collections::BTreeSet, sync::Arc};

use crate::{
    block_meta::ObjectMeta,
    catalog::TableSchema,
    ids::RowsetId,
    table::{Memtable, Object, Version},
    timestamp::Timestamp,
};

/// The rows that must not have a key of a load: to be looked for by any thread, beside commits.
#[derive(Clone, Debug)]
pub struct LoadCheck {
    /// The table.
    pub schema: Arc<TableSchema>,
    /// The objects of the load, each sorted by the key. Of a first check, no two may have a key in common either.
    pub objects: Vec<Arc<ObjectMeta>>,
    /// `None` of a first check: it is of all rows that are visible at [`LoadCheck::through`]. Others are of what was
    /// written after this timestamp, and may be deleted again.
    pub after: Option<Timestamp>,
    /// Inclusive.
    pub through: Timestamp,
    /// Where rows are now.
    pub version: Arc<Version>,
    /// Where they were at the check before.
    pub before: Arc<Version>,
    /// Whether transactions that write the table wait for this check. It is of [few rows](LoadCheck::rows_max), all in
    /// memory.
    pub is_sealed: bool,
}

impl LoadCheck {
    /// The memtables that may have such rows, each once, and rows that commit later.
    pub fn memtables(&self) -> impl Iterator<Item = &Arc<Memtable>> {
        let is_new = |memtable: &&Arc<Memtable>| self.before.memtable(memtable.id()).is_none();
        self.before.memtables().iter().chain(self.version.memtables().iter().filter(is_new))
    }

    /// The objects that may have such rows: all, or those to which memtables were flushed that no check has seen.
    pub fn others(&self) -> impl Iterator<Item = &Arc<Object>> {
        let known = if self.after.is_none() { &[][..] } else { self.before.objects() };
        let known: BTreeSet<RowsetId> = known.iter().map(|object| object.rowset()).collect();
        self.version.objects().iter().filter(move |object| !known.contains(&object.rowset()))
    }

    /// How many rows such a check looks at, if all of them are in memory.
    pub fn rows_max(&self) -> Option<u32> {
        let first = |memtable: &Memtable| self.after.map_or(0, |after| memtable.committed_rows(after));
        let rows = |memtable: &Arc<Memtable>| memtable.len().saturating_sub(first(memtable));
        let in_memory = self.others().next().is_none();
        in_memory.then(|| self.memtables().map(rows).fold(0, u32::saturating_add))
    }

    /// Whether a row that was committed and perhaps deleted at these timestamps is such a row.
    pub fn concerns(&self, committed: Timestamp, deleted: Option<Timestamp>) -> bool {
        match self.after {
            None => committed <= self.through && deleted.is_none_or(|deleted| self.through < deleted),
            Some(after) => after < committed && committed <= self.through,
        }
    }
}
