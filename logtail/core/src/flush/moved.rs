//! `MovedRows`: the rows that a flush moves, and their deletes.

use std::{collections::BTreeMap, sync::Arc};

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
pub struct MovedDeletes(pub(crate) Vec<Arc<Object>>);

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

    /// All deletes up to `through`, inclusive.
    pub(crate) fn deletes_through(&self, through: Timestamp) -> MovedDeletes {
        let mut deletes: BTreeMap<RowsetId, DeletedRows> = BTreeMap::new();
        for (row, at) in self.deletes_after(Timestamp::ZERO, usize::MAX).into_iter().filter(|(_, at)| *at <= through) {
            deletes.entry(row.rowset).or_default().insert(row.row, at);
        }
        let object = |meta: &Arc<ObjectMeta>| {
            let deletes = deletes.remove(&RowsetId(meta.id.number))?;
            Some(Arc::new(Object::new(Arc::clone(meta), Timestamp::ZERO, deletes)))
        };
        MovedDeletes(self.objects.iter().filter_map(object).collect())
    }
}
