//! `MovedRows`: the rows that a flush moves, and their deletes.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
};

use crate::{
    block_meta::ObjectMeta,
    ids::{RowId, RowsetId},
    mutants::{self, Mutant},
    table::{DeletedRows, Memtable, Object, Transfer},
    timestamp::Timestamp,
};

/// The rows that a flush moves. They are deleted in their memtables until the flush is placed.
#[derive(Clone, Debug)]
pub(crate) struct MovedRows {
    pub(crate) memtables: Vec<Arc<Memtable>>,
    /// Where the rows are now.
    pub(crate) transfer: Arc<Transfer>,
    /// The objects that have them.
    pub(crate) objects: Vec<Arc<ObjectMeta>>,
}

/// Deletes of the rows that a flush moves, at their new places: what a transaction that began before the flush is
/// compared with. They are those of the objects, which are not of the table yet.
#[derive(Debug, Default)]
pub struct MovedDeletes {
    /// The objects with deletes.
    objects: BTreeMap<RowsetId, Arc<Object>>,
    /// All deletes up to this timestamp, inclusive, are there.
    through: Timestamp,
}

/// So many deletes are moved between two pauses.
const PIECE: usize = 1024;

impl MovedRows {
    /// Whether rows were deleted after `known` and up to `through`, inclusive.
    pub(crate) fn has_deletes(&self, known: Timestamp, through: Timestamp) -> bool {
        self.memtables.iter().any(|memtable| memtable.deletes().after(known).any(|(_, at)| at <= through))
    }

    /// The deletes after `known`, at the rows' new places, or `most` of them. Rows that were left out have none.
    pub(crate) fn deletes_after(&self, known: Timestamp, most: usize) -> Vec<(RowId, Timestamp)> {
        let mut deletes = Vec::new();
        for memtable in self.memtables.iter().filter(|_| !mutants::is_on(Mutant::DeletesNotMoved)) {
            let new = |row| self.transfer.get(RowId { rowset: memtable.id(), row });
            let room = most - deletes.len();
            let own = memtable.deletes();
            deletes.extend(own.after(known).filter_map(|(row, at)| Some((new(row)?, at))).take(room));
        }
        deletes
    }

    /// Adds the deletes up to `through`, inclusive, to those of earlier rounds. `between` is called behind each piece.
    pub(super) fn collect(&self, moved: &mut MovedDeletes, through: Timestamp, between: &mut dyn FnMut()) {
        for memtable in self.memtables.iter().filter(|_| !mutants::is_on(Mutant::DeletesNotMoved)) {
            let own = memtable.deletes();
            for (count, (row, at)) in (1..).zip(own.after(moved.through).filter(|(_, at)| *at <= through)) {
                if let Some(row) = self.transfer.get(RowId { rowset: memtable.id(), row }) {
                    moved.insert(row, at, &self.objects);
                }
                if count % PIECE == 0 {
                    between();
                }
            }
            between();
        }
        moved.through = through;
    }
}

impl MovedDeletes {
    /// The objects of the flush that have deletes, by number.
    pub(crate) fn objects(&self) -> impl Iterator<Item = &Arc<Object>> {
        self.objects.values()
    }

    /// All deletes up to this timestamp, inclusive, are there.
    pub(super) fn through(&self) -> Timestamp {
        self.through
    }

    fn insert(&mut self, row: RowId, at: Timestamp, metas: &[Arc<ObjectMeta>]) {
        let object = match self.objects.entry(row.rowset) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let Some(meta) = metas.iter().find(|meta| meta.id.number == row.rowset.0) else { return };
                let object = Object::new(Arc::clone(meta), Timestamp::ZERO, DeletedRows::default());
                entry.insert(Arc::new(object))
            }
        };
        object.delete(row.row, at);
    }
}
