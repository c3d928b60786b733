//! `Capture`: the state of a time, or what changed since another, as items.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use super::item::Item;
use crate::{
    block_meta::ObjectMeta,
    catalog::is_system,
    ids::RowId,
    object_id::ObjectId,
    rows::{self, EncodeError},
    table::{Memtable, Table},
    timestamp::Timestamp,
};

/// Deletes that one item has at most, so that items are of a size to be handled.
const DELETES_MAX: usize = 1 << 16;

/// Takes the parts of a state that were committed after one timestamp and up to another.
#[derive(Clone, Copy, Debug)]
pub struct Capture {
    /// Exclusive: zero for all of it.
    pub after: Timestamp,
    /// Inclusive.
    pub through: Timestamp,
}

impl Capture {
    /// The items of a table, of which all up to [`Capture::through`] is published.
    pub(crate) fn table(&self, table: &Table, items: &mut Vec<Item>) -> Result<(), EncodeError> {
        let version = table.version();
        let mut deletes = Vec::new();
        let changed = || version.objects().iter().filter(|object| self.takes(object.changed_at()));
        let tombstones: BTreeMap<ObjectId, &Arc<ObjectMeta>> =
            changed().flat_map(|object| object.tombstones()).map(|object| (object.id, object)).collect();
        let metas = tombstones.into_values().chain(changed().map(|object| object.meta()));
        items.extend(metas.map(|meta| Item::Object(Box::new(meta.as_ref().clone()))));
        for object in version.objects() {
            let rowset = object.rowset();
            let is_new = self.takes(object.flushed_at());
            // With a new object came deletes from before it.
            let takes = |at| if is_new { at <= self.through } else { self.takes(at) };
            let in_memory = object.deletes();
            let taken = in_memory.iter().filter(|(_, at)| takes(*at));
            deletes.extend(taken.map(|(row, at)| (RowId { rowset, row }, at)));
        }
        if is_system(table.id()) {
            for memtable in version.memtables() {
                self.rows(table, memtable, items)?;
                let rowset = memtable.id();
                let taken = memtable.deletes();
                deletes.extend(
                    taken.iter().filter(|(_, at)| self.takes(*at)).map(|(row, at)| (RowId { rowset, row }, at)),
                );
            }
        } else {
            let live = version.memtables().iter().find(|memtable| memtable.first_commit() <= self.through);
            items.push(Item::Memtable(table.id(), live.map(|memtable| memtable.id())));
        }
        items.extend(deletes.chunks(DELETES_MAX).map(|deletes| Item::Deletes(table.id(), deletes.to_vec())));
        Ok(())
    }

    fn takes(&self, at: Timestamp) -> bool {
        self.after < at && at <= self.through
    }

    /// The rows of a memtable, an item for each transaction.
    fn rows(&self, table: &Table, memtable: &Arc<Memtable>, items: &mut Vec<Item>) -> Result<(), EncodeError> {
        let all: Vec<_> = (0..memtable.schema().columns().len()).collect();
        let mut next = 0;
        while let Some(piece) = memtable.read(next, self.through, &all) {
            next = piece.first + piece.len;
            let commits = piece.commits.expand(next);
            let mut start = 0;
            for run in commits.chunk_by(|a, b| a == b) {
                let range: Range<usize> = start..start + run.len();
                start = range.end;
                let committed = run.first().and_then(|at| Timestamp::from_i64(*at)).unwrap_or_default();
                if self.takes(committed) {
                    let mut encoded = Vec::new();
                    rows::encode(&piece.columns, range.clone(), &mut encoded)?;
                    // A piece has no more rows than 32 bits count.
                    let number = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
                    let first = RowId { rowset: memtable.id(), row: piece.first + number(range.start) };
                    let (table, schema) = (table.id(), memtable.schema().version());
                    items.push(Item::Rows {
                        table,
                        schema,
                        first,
                        count: number(range.len()),
                        committed,
                        rows: encoded,
                    });
                }
            }
        }
        Ok(())
    }
}
