//! `Captured`: the state of a time, or what changed since another, as items.

use std::{collections::BTreeMap, sync::Arc};

use super::item::{Item, Run};
use crate::{
    block_meta::ObjectMeta,
    catalog::is_system,
    ids::{RowId, TableId},
    mutants::{self, Mutant},
    object_id::ObjectId,
    rows::{self, EncodeError},
    table::{Memtable, Version},
    timestamp::Timestamp,
};

/// Deletes that one item has at most, so that items are of a size to be handled.
const DELETES_MAX: usize = 1 << 16;
/// Bytes of rows from which on the next ones are another item.
const ROWS_BYTES: usize = 64 << 10;

/// Which part of a state is taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Capture {
    /// What the checkpoint before has: exclusive, and zero for none.
    pub(crate) after: Timestamp,
    /// Inclusive.
    pub(crate) through: Timestamp,
    /// The rows in memory of tables with some from up to this timestamp are taken.
    pub(crate) pinned: Timestamp,
}

/// A state to be written to a checkpoint: what is in it does not change any more.
#[derive(Debug)]
pub struct Captured {
    capture: Capture,
    clients: Vec<(u128, Timestamp)>,
    tables: Vec<(TableId, Arc<Version>)>,
}

impl Captured {
    /// All of `tables` up to the timestamp of `capture` is published.
    pub(crate) fn new(capture: Capture, clients: Vec<(u128, Timestamp)>, tables: Vec<(TableId, Arc<Version>)>) -> Self {
        Self { capture, clients, tables }
    }

    /// The memtables of users' tables whose rows are taken.
    pub(crate) fn copied(&self) -> impl Iterator<Item = &Arc<Memtable>> {
        let user = self.tables.iter().filter(|(table, _)| !is_system(*table));
        let copied = user.filter(|(_, version)| self.is_copied(version));
        copied.flat_map(|(_, version)| self.live(version))
    }

    /// When the oldest rows were committed that are in the log alone.
    pub(crate) fn oldest_in_log(&self) -> Option<Timestamp> {
        let user = self.tables.iter().filter(|(table, _)| !is_system(*table));
        let in_log = user.filter(|(_, version)| !self.is_copied(version));
        in_log.filter_map(|(_, version)| version.memtables().iter().map(|memtable| memtable.first_commit()).min()).min()
    }

    /// The items, in the order in which they are put back. Takes CPU, and no locks that commits wait for.
    ///
    /// # Errors
    /// [`EncodeError`] for rows that cannot be encoded, which the log could.
    pub fn items(&self) -> Result<Vec<Item>, EncodeError> {
        let mut items = vec![Item::Clients(self.clients.clone())];
        self.tables.iter().try_for_each(|(table, version)| self.table(*table, version, &mut items))?;
        Ok(items)
    }

    fn table(&self, table: TableId, version: &Version, items: &mut Vec<Item>) -> Result<(), EncodeError> {
        let mut deletes = Vec::new();
        self.objects(version, items, &mut deletes);
        let copied = is_system(table) || self.is_copied(version);
        if !is_system(table) {
            let oldest = self.live(version).next().map(|memtable| memtable.id());
            items.push(Item::Memtables { table, oldest, copied });
        }
        for memtable in self.live(version).filter(|_| copied) {
            // What the checkpoint before has; a memtable that it has not is taken as a whole.
            let in_part = is_system(table) || mutants::is_on(Mutant::CopiedInPart);
            let after = if in_part { self.capture.after } else { memtable.copied().min(self.capture.after) };
            self.rows(table, memtable, after, items)?;
            let (rowset, all) = (memtable.id(), memtable.deletes());
            let taken = all.iter().filter(|(_, at)| after < *at && *at <= self.capture.through);
            deletes.extend(taken.map(|(row, at)| (RowId { rowset, row }, at)));
        }
        items.extend(deletes.chunks(DELETES_MAX).map(|deletes| Item::Deletes(table, deletes.to_vec())));
        Ok(())
    }

    fn objects(&self, version: &Version, items: &mut Vec<Item>, deletes: &mut Vec<(RowId, Timestamp)>) {
        let changed = || version.objects().iter().filter(|object| self.takes(object.changed_at()));
        let tombstones: BTreeMap<ObjectId, &Arc<ObjectMeta>> =
            changed().flat_map(|object| object.tombstones()).map(|object| (object.id, object)).collect();
        let metas = tombstones.into_values().chain(changed().map(|object| object.meta()));
        items.extend(metas.map(|meta| Item::Object(Box::new(meta.as_ref().clone()))));
        for object in version.objects() {
            let rowset = object.rowset();
            let is_new = self.takes(object.flushed_at());
            // With a new object came deletes from before it.
            let takes = |at| if is_new { at <= self.capture.through } else { self.takes(at) };
            let in_memory = object.deletes();
            let taken = in_memory.iter().filter(|(_, at)| takes(*at));
            deletes.extend(taken.map(|(row, at)| (RowId { rowset, row }, at)));
        }
    }

    /// The memtables with rows of the time.
    fn live<'v>(&self, version: &'v Version) -> impl Iterator<Item = &'v Arc<Memtable>> {
        let through = self.capture.through;
        version.memtables().iter().filter(move |memtable| memtable.first_commit() <= through)
    }

    /// Whether the rows in memory are taken: as some are old, or a checkpoint has taken some, behind which the log does
    /// not have them any more.
    fn is_copied(&self, version: &Version) -> bool {
        let is_old = |memtable: &Arc<Memtable>| memtable.first_commit() <= self.capture.pinned;
        self.live(version).any(|memtable| is_old(memtable) || memtable.copied() > Timestamp::ZERO)
    }

    fn takes(&self, at: Timestamp) -> bool {
        self.capture.after < at && at <= self.capture.through
    }

    /// The rows of a memtable that were committed after a timestamp.
    fn rows(
        &self,
        table: TableId,
        memtable: &Memtable,
        after: Timestamp,
        items: &mut Vec<Item>,
    ) -> Result<(), EncodeError> {
        let all: Vec<_> = (0..memtable.schema().columns().len()).collect();
        let mut batch = RowsItem { table, memtable, first: 0, next: 0, runs: Vec::new(), bytes: 0 };
        let mut next = 0;
        while let Some(piece) = memtable.read(next, self.capture.through, &all) {
            next = piece.first + piece.len;
            let commits = piece.commits.expand(next);
            let (mut start, mut first) = (0, piece.first);
            for run in commits.chunk_by(|a, b| a == b) {
                let committed = run.first().and_then(|at| Timestamp::from_i64(*at)).unwrap_or_default();
                // A piece has no more rows than 32 bits count.
                let count = u32::try_from(run.len()).unwrap_or(u32::MAX);
                if after < committed {
                    let mut encoded = Vec::new();
                    rows::encode(&piece.columns, start..start + run.len(), &mut encoded)?;
                    batch.add(first, Run { committed, count, rows: encoded }, items);
                }
                start += run.len();
                first = first.saturating_add(count);
            }
        }
        batch.end(items);
        Ok(())
    }
}

/// Rows that become an item.
struct RowsItem<'m> {
    table: TableId,
    memtable: &'m Memtable,
    first: u32,
    /// The position behind the last row.
    next: u32,
    runs: Vec<Run>,
    bytes: usize,
}

impl RowsItem<'_> {
    fn add(&mut self, first: u32, run: Run, items: &mut Vec<Item>) {
        if self.bytes >= ROWS_BYTES || first != self.next {
            self.end(items);
        }
        if self.runs.is_empty() {
            self.first = first;
        }
        self.next = first.saturating_add(run.count);
        self.bytes += run.rows.len();
        self.runs.push(run);
    }

    fn end(&mut self, items: &mut Vec<Item>) {
        let runs = std::mem::take(&mut self.runs);
        self.bytes = 0;
        if !runs.is_empty() {
            let first = RowId { rowset: self.memtable.id(), row: self.first };
            let schema = self.memtable.schema().version();
            items.push(Item::Rows { table: self.table, schema, first, runs });
        }
    }
}
