//! `Placed`: a table to which transactions are placed.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use super::error::ApplyError;
use crate::{
    block_meta::ObjectMeta,
    catalog::TableSchema,
    ids::{RowId, RowsetId},
    mutants::{self, Mutant},
    record::{BlockTombstones, Flushed, Loaded, Section},
    table::{DeletedRows, Memtable, Object, Persisted, Table, TableError, Transfer, Version},
    timestamp::Timestamp,
};

/// A table to which transactions are placed, with what is placed and not published yet.
#[derive(Debug)]
pub(crate) struct Placed {
    table: Arc<Table>,
    /// The memtable that takes rows; `None` until the next rows begin one.
    active: Option<Arc<Memtable>>,
    /// All rowsets that rows are deleted from, by number.
    memtables: BTreeMap<RowsetId, Arc<Memtable>>,
    objects: BTreeMap<RowsetId, Arc<Object>>,
    /// Flushes and loads that are placed and not published.
    flushes: VecDeque<PlacedFlush>,
    /// Memtables that were flushed, and are kept for the transactions that began before.
    retired: Vec<Retired>,
    /// Objects as they were before deletes left memory, likewise.
    retired_objects: BTreeMap<RowsetId, Vec<RetiredObject>>,
    /// What was written before this flush is in objects alone.
    forgotten: Timestamp,
    /// The last load into the table, if it has a key: its rows are in objects alone.
    loaded: Timestamp,
    /// No transaction may write the table now.
    is_sealed: bool,
    /// After a restart from a checkpoint: the oldest memtable whose rows were not in objects then.
    oldest_live: Option<RowsetId>,
}

#[derive(Debug)]
struct PlacedFlush {
    horizon: Timestamp,
    memtables: Vec<RowsetId>,
    objects: Vec<Arc<Object>>,
    /// Objects of which deletes are in tombstones.
    persisted: Vec<Arc<Object>>,
}

#[derive(Debug)]
struct Retired {
    /// When the flush was published.
    at: Timestamp,
    memtable: Arc<Memtable>,
    /// Where its rows are now. What the log says is enough for a reader: only a writer has it.
    transfer: Option<Arc<Transfer>>,
}

/// An object with deletes that have left memory since.
#[derive(Debug)]
struct RetiredObject {
    /// When the flush was published that took them.
    at: Timestamp,
    object: Arc<Object>,
}

impl Placed {
    pub(super) fn new(table: Arc<Table>) -> Self {
        let (memtables, objects) = (BTreeMap::new(), BTreeMap::new());
        Self {
            table,
            active: None,
            memtables,
            objects,
            flushes: VecDeque::new(),
            retired: Vec::new(),
            retired_objects: BTreeMap::new(),
            forgotten: Timestamp::ZERO,
            loaded: Timestamp::ZERO,
            is_sealed: false,
            oldest_live: None,
        }
    }

    /// Where readers find the rows.
    pub(crate) fn version(&self) -> Arc<Version> {
        self.table.version()
    }

    /// Where the next rows of this version of the schema go. A memtable that is put back behind a checkpoint can be of
    /// an older one: the change that froze it is in the checkpoint.
    pub(super) fn next_row(&self, version: i32) -> Option<RowId> {
        let active = self.active.as_ref().filter(|active| active.schema().version() == version)?;
        Some(RowId { rowset: active.id(), row: active.len() })
    }

    /// Rows that follow go to another memtable.
    pub(super) fn freeze(&mut self) {
        self.active = None;
    }

    /// The memtables that no flush has moved, the oldest first, each with rows.
    pub(crate) fn memtables(&self) -> impl Iterator<Item = &Arc<Memtable>> {
        let moved = |id: &RowsetId| self.flushes.iter().any(|flush| flush.memtables.contains(id));
        self.memtables.iter().filter(move |(id, _)| !moved(id)).map(|(_, memtable)| memtable)
    }

    /// The objects, by number, as rows are deleted from them.
    pub(crate) fn objects(&self) -> impl Iterator<Item = &Arc<Object>> {
        self.objects.values()
    }

    /// The oldest snapshot since which it is known what was written.
    pub(crate) fn known_since(&self) -> Timestamp {
        if mutants::is_on(Mutant::LoadForgotten) { self.forgotten } else { self.forgotten.max(self.loaded) }
    }

    /// The timestamp of the last load, placed or published; zero for a table without a key.
    pub(crate) fn loaded(&self) -> Timestamp {
        self.loaded
    }

    /// Whether no transaction may write the table now.
    pub(crate) fn is_sealed(&self) -> bool {
        self.is_sealed
    }

    pub(crate) fn set_sealed(&mut self, is_sealed: bool) {
        self.is_sealed = is_sealed;
    }

    /// All memtables in which a transaction that began at `snapshot` may find what others wrote since.
    pub(crate) fn memtables_since(&self, snapshot: Timestamp) -> impl Iterator<Item = &Arc<Memtable>> {
        let retired = self.retired.iter().filter(move |retired| retired.at > snapshot);
        self.memtables.values().chain(retired.map(|retired| &retired.memtable))
    }

    /// A flush is about to be placed: a transaction that saw a row at its old place finds the new one by `transfer`,
    /// and in `moved`, which are the flush's objects, the deletes that will not be in memory.
    pub(crate) fn retire<'o>(&mut self, transfer: &Arc<Transfer>, moved: impl Iterator<Item = &'o Arc<Object>>) {
        for object in moved.filter(|_| !mutants::is_on(Mutant::MovedDeletesForgotten)) {
            let retired = RetiredObject { at: Timestamp::MAX, object: Arc::clone(object) };
            self.retired_objects.entry(object.rowset()).or_default().push(retired);
        }
        for id in transfer.memtables() {
            if let Some(memtable) = self.memtables.get(&id) {
                let (memtable, transfer) = (Arc::clone(memtable), Some(Arc::clone(transfer)));
                self.retired.push(Retired { at: Timestamp::MAX, memtable, transfer });
            }
        }
    }

    /// Where a row is now that somebody saw at this place; `None` where a flush dropped it.
    pub(crate) fn current(&self, row: RowId) -> Option<RowId> {
        let retired = self.retired.iter().find(|retired| retired.memtable.id() == row.rowset);
        match retired.and_then(|retired| retired.transfer.as_ref()) {
            Some(transfer) => transfer.get(row),
            None => Some(row),
        }
    }

    /// When a row was deleted, as far as is in memory, which has all deletes since a snapshot that is
    /// [known](Self::known_since); `None` where there is no such row at `snapshot`.
    pub(crate) fn deleted(&self, row: RowId, snapshot: Timestamp) -> Option<Option<Timestamp>> {
        if let Some(memtable) = self.memtables.get(&row.rowset) {
            return memtable.get(row.row).filter(|found| found.is_live(snapshot)).map(|found| found.deleted);
        }
        let object = self.objects.get(&row.rowset)?;
        let block = object.meta().blocks.get(object.block_of(row.row)?)?;
        let retired = self.retired_objects.get(&row.rowset).map_or_else(Default::default, Vec::as_slice);
        let deleted = object.deleted_at(row.row);
        let deleted = deleted.or_else(|| retired.iter().find_map(|retired| retired.object.deleted_at(row.row)));
        (block.low_commit <= snapshot && deleted.is_none_or(|at| at > snapshot)).then_some(deleted)
    }

    pub(super) fn insert(
        &mut self,
        section: &Section<'_>,
        schema: &Arc<TableSchema>,
        at: Timestamp,
    ) -> Result<(), ApplyError> {
        let (table, first) = (section.table, section.first);
        let failed = |source| ApplyError::Rows { table, source };
        let active = match &self.active {
            Some(active) if active.id() == first.rowset => Arc::clone(active),
            _ => self.begin(first.rowset, schema).map_err(failed)?,
        };
        let rows = active.append(section.rows, at).map_err(failed)?;
        if rows.start != first.row || rows.len() != section.inserted as usize {
            return Err(ApplyError::Place { table, row: first });
        }
        Ok(())
    }

    fn begin(&mut self, id: RowsetId, schema: &Arc<TableSchema>) -> Result<Arc<Memtable>, TableError> {
        let active = Arc::new(Memtable::new(id, Arc::clone(schema))?);
        self.table.publish(self.table.version().with(Arc::clone(&active)));
        self.memtables.insert(id, Arc::clone(&active));
        self.active = Some(Arc::clone(&active));
        Ok(active)
    }

    /// Puts back an object of a checkpoint, or its newer metadata.
    pub(super) fn restore_object(&mut self, restored: Object) {
        let version = self.table.version();
        let (object, version) = match self.objects.get(&restored.rowset()) {
            Some(older) => {
                let object = Arc::new(older.replaced_by(restored));
                let version = version.replaced(&[Arc::clone(&object)]);
                (object, version)
            }
            None => {
                let object = Arc::new(restored);
                let version = version.flushed(&[], &[Arc::clone(&object)]);
                (object, version)
            }
        };
        self.table.publish(version);
        self.objects.insert(object.rowset(), object);
    }

    /// Rows of memtables before `oldest` are in the objects of the checkpoint, and so are deletes up to `through`.
    /// Those of the others are in its items if they are `copied`, and in the log otherwise.
    pub(super) fn restore_memtables(&mut self, oldest: Option<RowsetId>, copied: bool, through: Timestamp) {
        let flushed: Vec<RowsetId> =
            self.memtables.keys().copied().filter(|id| oldest.is_none_or(|oldest| *id < oldest)).collect();
        flushed.iter().for_each(|id| drop(self.memtables.remove(id)));
        if self.active.as_ref().is_some_and(|active| flushed.contains(&active.id())) {
            self.active = None;
        }
        self.table.publish(self.table.version().flushed(&flushed, &[]));
        self.oldest_live = oldest.filter(|_| !copied);
        self.forgotten = through;
    }

    /// The checkpoint of this timestamp has the rows that are in memory.
    pub(super) fn restored(&self, at: Timestamp) {
        self.memtables.values().for_each(|memtable| memtable.set_copied(at));
    }

    /// Places what a transaction did that is in the checkpoint, but for the rows that were in memory then.
    pub(super) fn place_old(
        &mut self,
        section: &Section<'_>,
        schema: &Arc<TableSchema>,
        at: Timestamp,
    ) -> Result<(), ApplyError> {
        if section.inserted > 0 && self.oldest_live.is_some_and(|oldest| oldest <= section.first.rowset) {
            self.insert(section, schema, at)?;
        }
        for row in section.deleted.iter() {
            if let Some(memtable) = self.memtables.get(&row.rowset) {
                memtable.delete(row.row, at);
            }
        }
        Ok(())
    }

    pub(super) fn delete(&self, row: RowId, timestamp: Timestamp) -> bool {
        match (self.memtables.get(&row.rowset), self.objects.get(&row.rowset)) {
            (Some(memtable), _) => memtable.delete(row.row, timestamp),
            (None, Some(object)) => object.delete(row.row, timestamp),
            (None, None) => false,
        }
    }

    /// Places a flush: rows are deleted from its objects from now on, and read from its memtables until it is
    /// published.
    pub(super) fn flushed(&mut self, flushed: &Flushed) -> Result<(), ApplyError> {
        let table = flushed.table;
        for id in &flushed.memtables {
            let memtable = self.memtables.remove(id).ok_or(ApplyError::NoMemtable { table, memtable: *id })?;
            if self.active.as_ref().is_some_and(|active| Arc::ptr_eq(active, &memtable)) {
                self.active = None;
            }
        }
        let mut deletes: BTreeMap<RowsetId, DeletedRows> = BTreeMap::new();
        for (row, deleted) in &flushed.deletes {
            if !deletes.entry(row.rowset).or_default().insert(row.row, *deleted) {
                return Err(ApplyError::NoRow { table, row: *row });
            }
        }
        let mut objects = Vec::with_capacity(flushed.objects.len());
        for meta in &flushed.objects {
            let deletes = deletes.remove(&RowsetId(meta.id.number)).unwrap_or_default();
            let object = Arc::new(Object::new(Arc::new(meta.clone()), flushed.timestamp, deletes));
            self.objects.insert(object.rowset(), Arc::clone(&object));
            objects.push(object);
        }
        if let Some((rowset, _)) = deletes.pop_first() {
            return Err(ApplyError::NoRow { table, row: RowId { rowset, row: 0 } });
        }
        let persisted = self.persist(flushed, &objects)?;
        let (horizon, memtables) = (flushed.horizon, flushed.memtables.clone());
        self.flushes.push_back(PlacedFlush { horizon, memtables, objects, persisted });
        Ok(())
    }

    /// Places a load: rows are deleted from its objects from now on, and read once it is published.
    pub(super) fn place_loaded(&mut self, loaded: &Loaded, is_keyed: bool) {
        let object =
            |meta: &ObjectMeta| Arc::new(Object::new(Arc::new(meta.clone()), loaded.timestamp, DeletedRows::default()));
        let objects: Vec<_> = loaded.objects.iter().map(object).collect();
        self.objects.extend(objects.iter().map(|object| (object.rowset(), Arc::clone(object))));
        self.flushes.push_back(PlacedFlush {
            horizon: Timestamp::ZERO,
            memtables: Vec::new(),
            objects,
            persisted: Vec::new(),
        });
        if is_keyed {
            self.loaded = loaded.timestamp;
        }
    }

    /// Deletes leave memory: rows are deleted from the objects without them from now on. Readers go on to read older
    /// objects with them, which also transactions that began before need; `new` ones never had them.
    fn persist(&mut self, flushed: &Flushed, new: &[Arc<Object>]) -> Result<Vec<Arc<Object>>, ApplyError> {
        let mut persisted: BTreeMap<RowsetId, Arc<Object>> = BTreeMap::new();
        for tombstones in &flushed.tombstones {
            let mut by_object: BTreeMap<RowsetId, Vec<Persisted>> = BTreeMap::new();
            for (BlockTombstones { rowset, block, .. }, range) in tombstones.ranges() {
                by_object.entry(rowset).or_default().push(Persisted { block: block as usize, range });
            }
            let object = Arc::new(tombstones.object.clone());
            for (rowset, blocks) in by_object {
                let missing = ApplyError::NoRow { table: flushed.table, row: RowId { rowset, row: 0 } };
                let before = persisted.get(&rowset).or_else(|| self.objects.get(&rowset));
                let before = before.ok_or_else(|| missing.clone())?;
                let now = before.persisted(&object, tombstones.through, &blocks, flushed.timestamp);
                persisted.insert(rowset, Arc::new(now.ok_or(missing)?));
            }
        }
        for (rowset, now) in &persisted {
            let Some(object) = self.objects.insert(*rowset, Arc::clone(now)) else { continue };
            if !new.iter().any(|new| Arc::ptr_eq(new, &object)) {
                let retired = RetiredObject { at: Timestamp::MAX, object };
                self.retired_objects.entry(*rowset).or_default().push(retired);
            }
        }
        Ok(persisted.into_values().collect())
    }

    /// Publishes the oldest flush or load, which is of timestamp `at`. Returns the horizon.
    pub(super) fn publish(&mut self, at: Timestamp) -> Option<Timestamp> {
        let flush = self.flushes.pop_front()?;
        let version = self.table.version().flushed(&flush.memtables, &flush.objects);
        self.table.publish(version.replaced(&flush.persisted));
        for object in &flush.persisted {
            let retired = self.retired_objects.get_mut(&object.rowset());
            // Those of a flush that is placed behind this one are not published yet.
            if let Some(retired) = retired.and_then(|all| all.iter_mut().find(|retired| retired.at == Timestamp::MAX)) {
                retired.at = at;
            }
        }
        let mut known = 0;
        for retired in &mut self.retired {
            if flush.memtables.contains(&retired.memtable.id()) {
                retired.at = at;
                known += 1;
            }
        }
        if known < flush.memtables.len() {
            self.forgotten = at;
        }
        Some(flush.horizon)
    }

    /// Lets go of memtables and deletes that were flushed before all snapshots from `oldest` on. Returns whether some
    /// are left.
    pub(super) fn forget(&mut self, oldest: Timestamp) -> bool {
        for retired in self.retired.extract_if(.., |retired| retired.at <= oldest) {
            self.forgotten = self.forgotten.max(retired.at);
        }
        self.retired_objects.retain(|_, objects| {
            for retired in objects.extract_if(.., |retired| retired.at <= oldest) {
                self.forgotten = self.forgotten.max(retired.at);
            }
            !objects.is_empty()
        });
        !self.retired.is_empty() || !self.retired_objects.is_empty()
    }
}
