//! `Applier`: makes the state from transactions.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, atomic::Ordering},
};

use arrow_schema::FieldRef;

use super::{State, error::ApplyError, placed::Placed};
use crate::{
    catalog::{Catalog, Edit, TableSchema, system},
    ids::{RowId, TableId},
    record::{Commit, Flushed, Loaded, Section},
    rows::RowChunk,
    table::{Table, TableError, Version},
    timestamp::Timestamp,
};

/// Makes a [`State`] from the records of the log: in two steps, so that rows can be placed while their record is
/// becoming durable.
///
/// A transaction is [placed](Applier::place) in the order of the log: its rows are where they will be, with a timestamp
/// above the watermark, so that nobody sees them. When its record is committed, [`Applier::publish`] raises the
/// watermark over it.
#[derive(Debug)]
pub struct Applier {
    pub(super) state: Arc<State>,
    /// With all changes that are placed.
    pub(super) catalog: Arc<Catalog>,
    /// Catalogs that are placed and not published.
    catalogs: VecDeque<(Timestamp, Arc<Catalog>)>,
    /// Flushes and loads that are placed and not published.
    flushes: VecDeque<(Timestamp, TableId)>,
    /// Tables with memtables that are flushed and kept for open snapshots.
    retiring: BTreeSet<TableId>,
    pub(super) tables: BTreeMap<TableId, Placed>,
    /// Catalogs and tables from before this horizon are gone.
    pruned: Timestamp,
    pub(super) last: Timestamp,
    /// What was committed up to this timestamp is in the checkpoint that the state was restored from.
    pub(super) restored: Timestamp,
    pub(super) next_number: u64,
}

impl Applier {
    /// The state of a new log.
    pub fn new() -> Self {
        let catalog = Arc::new(Catalog::new());
        let mut applier = Self {
            state: Arc::new(State::new(Arc::clone(&catalog))),
            catalog: Arc::clone(&catalog),
            catalogs: VecDeque::new(),
            flushes: VecDeque::new(),
            retiring: BTreeSet::new(),
            tables: BTreeMap::new(),
            pruned: Timestamp::ZERO,
            last: Timestamp::ZERO,
            restored: Timestamp::ZERO,
            next_number: system::FIRST_FREE_NUMBER,
        };
        catalog.tables().for_each(|schema| applier.make(schema, Timestamp::ZERO));
        applier
    }

    /// What readers see.
    pub fn state(&self) -> &Arc<State> {
        &self.state
    }

    /// The catalog with all changes that are placed.
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// The timestamp of the last transaction that is placed.
    pub fn last(&self) -> Timestamp {
        self.last
    }

    /// A number that no database, table, memtable or object has, nor the next ones.
    pub fn next_number(&self) -> u64 {
        self.next_number
    }

    /// Where the next rows of a table go, if no memtable is begun for them: behind those of the active memtable, or to
    /// a new one.
    pub fn next_row(&self, table: TableId) -> Option<RowId> {
        let schema = self.catalog.table(table)?;
        self.tables.get(&table)?.next_row(schema.version())
    }

    /// The next rows of a table go to a new memtable.
    pub fn freeze(&mut self, table: TableId) {
        if let Some(placed) = self.tables.get_mut(&table) {
            placed.freeze();
        }
    }

    /// A table.
    pub(crate) fn table(&self, table: TableId) -> Option<&Placed> {
        self.tables.get(&table)
    }

    /// A table, to which the writer adds what the log does not say.
    pub(crate) fn table_mut(&mut self, table: TableId) -> Option<&mut Placed> {
        self.tables.get_mut(&table)
    }

    /// Places a transaction behind those before it. Readers see nothing of it yet.
    ///
    /// # Errors
    /// [`ApplyError`] where it does not follow from those before it. It is placed in part then: the applier is of no
    /// more use, but what was published stays right.
    pub fn place(&mut self, commit: &Commit<'_>) -> Result<(), ApplyError> {
        if commit.timestamp <= self.restored {
            return self.place_old(commit);
        }
        self.follow(commit.timestamp)?;
        let mut edit = Edit::default();
        for section in &commit.sections {
            self.place_section(section, commit.timestamp)?;
            if system::is_system(section.table) {
                self.read_edit(section, &mut edit)?;
            }
        }
        if edit != Edit::default() { self.change_catalog(&edit, commit.timestamp) } else { Ok(()) }
    }

    /// Places a flush behind the transactions before it. Readers go on to read the memtables.
    ///
    /// # Errors
    /// As [`Applier::place`].
    pub fn place_flushed(&mut self, flushed: &Flushed) -> Result<(), ApplyError> {
        if flushed.timestamp <= self.restored {
            return Ok(());
        }
        self.follow(flushed.timestamp)?;
        for id in flushed.object_ids() {
            self.next_number = self.next_number.max(id.number.saturating_add(1));
        }
        let was_dropped = self.was_dropped(flushed.table);
        match self.tables.get_mut(&flushed.table) {
            Some(placed) => placed.flushed(flushed)?,
            // The horizon has passed its end: no reader can ask for it.
            None if was_dropped => return Ok(()),
            None => return Err(ApplyError::NoTable(flushed.table)),
        }
        self.flushes.push_back((flushed.timestamp, flushed.table));
        self.hold_watermark();
        Ok(())
    }

    /// Places a load behind the transactions before it. Readers see nothing of it yet.
    ///
    /// # Errors
    /// As [`Applier::place`].
    pub fn place_loaded(&mut self, loaded: &Loaded) -> Result<(), ApplyError> {
        if loaded.timestamp <= self.restored {
            return Ok(());
        }
        self.follow(loaded.timestamp)?;
        let schema = self.catalog.table(loaded.table).ok_or(ApplyError::NoTable(loaded.table))?;
        let placed = self.tables.get_mut(&loaded.table).ok_or(ApplyError::NoTable(loaded.table))?;
        placed.place_loaded(loaded, schema.key_columns().is_some());
        for object in &loaded.objects {
            self.next_number = self.next_number.max(object.id.number.saturating_add(1));
        }
        self.flushes.push_back((loaded.timestamp, loaded.table));
        self.hold_watermark();
        Ok(())
    }

    /// Numbers up to this one, exclusive, are used.
    pub(crate) fn use_numbers(&mut self, end: u64) {
        self.next_number = self.next_number.max(end);
    }

    /// All that is placed up to `timestamp` is committed: readers see it. Nothing else will be placed there.
    pub fn publish(&mut self, timestamp: Timestamp) {
        let state = Arc::clone(&self.state);
        state.watermark.publish(timestamp, || {
            self.publish_changes(timestamp);
            self.first_unpublished()
        });
    }

    /// Makes changes of the catalog, flushes and loads visible.
    fn publish_changes(&mut self, timestamp: Timestamp) {
        self.publish_catalogs(timestamp);
        while self.flushes.front().is_some_and(|(at, _)| *at <= timestamp) {
            let Some((at, table)) = self.flushes.pop_front() else { break };
            if let Some(horizon) = self.tables.get_mut(&table).and_then(|placed| placed.publish(at)) {
                self.state.horizon.fetch_max(horizon.to_i64(), Ordering::Release);
            }
            self.retiring.insert(table);
        }
        if !self.retiring.is_empty() {
            let oldest = self.state.oldest_open();
            self.retiring.retain(|table| self.tables.get_mut(table).is_some_and(|placed| placed.forget(oldest)));
        }
    }

    /// Keeps [`State::publish`] below what is placed and not published, but for rows and deletes.
    fn hold_watermark(&self) {
        self.state.watermark.hold(self.first_unpublished());
    }

    fn first_unpublished(&self) -> Option<Timestamp> {
        let (catalogs, flushes) = (self.catalogs.front(), self.flushes.front());
        catalogs.map(|(at, _)| *at).into_iter().chain(flushes.map(|(at, _)| *at)).min()
    }

    /// Lets go of catalogs, and of dropped tables, that ended below the horizon. Not before all records of a log are
    /// placed: rows that a checkpoint left to the log are read by the catalogs of their time.
    pub(crate) fn prune(&mut self) {
        let horizon = self.state.horizon();
        if horizon <= self.pruned {
            return;
        }
        self.pruned = horizon;
        let mut catalogs = self.state.catalogs.write();
        let Some(oldest) = catalogs.range(..=horizon).next_back().map(|(at, _)| *at) else { return };
        let kept = catalogs.split_off(&oldest);
        let dropped = std::mem::replace(&mut *catalogs, kept);
        drop(catalogs);
        if !dropped.is_empty() {
            self.drop_tables(horizon);
        }
    }

    /// Lets go of the tables that no catalog has that can be asked for from `horizon` on.
    pub(super) fn drop_tables(&mut self, horizon: Timestamp) {
        let catalogs = self.state.catalogs.read();
        let oldest = catalogs.range(..=horizon).next_back().map_or(Timestamp::ZERO, |(at, _)| *at);
        let is_dropped = |table: &TableId| {
            let readable = catalogs.range(oldest..).map(|(_, catalog)| catalog);
            let mut all = readable.chain(self.catalogs.iter().map(|(_, catalog)| catalog));
            self.catalog.table(*table).is_none() && all.all(|catalog| catalog.table(*table).is_none())
        };
        let dropped: Vec<TableId> = self.tables.keys().copied().filter(is_dropped).collect();
        drop(catalogs);
        let mut tables = self.state.tables.write();
        for table in dropped {
            tables.remove(&table);
            self.tables.remove(&table);
            self.retiring.remove(&table);
        }
    }

    /// Whether tables are kept that were dropped.
    pub(crate) fn has_dropped(&self) -> bool {
        self.tables.keys().any(|table| self.catalog.table(*table).is_none())
    }

    /// Whether there was such a table.
    fn was_dropped(&self, table: TableId) -> bool {
        table.0 < self.next_number && self.catalog.table(table).is_none()
    }

    /// Notes the timestamp of what is placed next.
    fn follow(&mut self, timestamp: Timestamp) -> Result<(), ApplyError> {
        if timestamp <= self.last {
            return Err(ApplyError::Order { timestamp, last: self.last });
        }
        self.last = timestamp;
        Ok(())
    }

    fn place_section(&mut self, section: &Section<'_>, timestamp: Timestamp) -> Result<(), ApplyError> {
        let (table, id) = (self.catalog.table(section.table).cloned(), section.table);
        let schema = table.ok_or(ApplyError::NoTable(id))?;
        if schema.version() != section.schema {
            return Err(ApplyError::Schema { table: id, expected: schema.version(), found: section.schema });
        }
        let placed = self.tables.get_mut(&id).ok_or(ApplyError::NoTable(id))?;
        if section.inserted > 0 {
            self.next_number = self.next_number.max(section.first.rowset.0.saturating_add(1));
            placed.insert(section, &schema, timestamp)?;
        }
        for row in section.deleted.iter() {
            if !placed.delete(row, timestamp) {
                return Err(ApplyError::NoRow { table: id, row });
            }
        }
        Ok(())
    }

    /// What a transaction does to the rows of a table of the catalog.
    fn read_edit(&self, section: &Section<'_>, edit: &mut Edit) -> Result<(), ApplyError> {
        let table = section.table;
        let schema = self.catalog.table(table).ok_or(ApplyError::NoTable(table))?;
        let failed = |source| ApplyError::Rows { table, source };
        let decode = |fields: &[FieldRef], bytes: &[u8]| {
            let mut rows = RowChunk::new(fields)?;
            rows.append(bytes)?;
            Ok::<_, TableError>(rows.into_columns())
        };
        if section.inserted > 0 {
            let columns = decode(schema.arrow().fields(), section.rows).map_err(failed)?;
            edit.add_written(table, &columns)?;
        } else if let Some(key) = schema.key_columns() {
            let fields: Vec<_> = key.positions().iter().map(|at| Arc::clone(&schema.arrow().fields()[*at])).collect();
            edit.add_deleted(table, &decode(&fields, section.keys).map_err(failed)?)?;
        }
        Ok(())
    }

    pub(super) fn publish_catalogs(&mut self, timestamp: Timestamp) {
        while self.catalogs.front().is_some_and(|(at, _)| *at <= timestamp) {
            self.state.catalogs.write().extend(self.catalogs.pop_front());
        }
    }

    /// Places what a transaction did to rows that were in memory at the time of the checkpoint.
    fn place_old(&mut self, commit: &Commit<'_>) -> Result<(), ApplyError> {
        let catalogs = self.state.catalogs.read();
        // The checkpoint has the catalogs of all times, those with tables that were dropped since included.
        let catalog = catalogs.range(..=commit.timestamp).next_back().map(|(_, catalog)| Arc::clone(catalog));
        drop(catalogs);
        for section in commit.sections.iter().filter(|section| !system::is_system(section.table)) {
            let (table, found) = (section.table, section.schema);
            let schema = catalog.as_ref().and_then(|catalog| catalog.table(table)).ok_or(ApplyError::NoTable(table))?;
            if schema.version() != found {
                return Err(ApplyError::Schema { table, expected: schema.version(), found });
            }
            let was_dropped = self.was_dropped(table);
            match self.tables.get_mut(&table) {
                Some(placed) => placed.place_old(section, schema, commit.timestamp)?,
                None if was_dropped => {}
                None => return Err(ApplyError::NoTable(table)),
            }
        }
        Ok(())
    }

    pub(super) fn change_catalog(&mut self, edit: &Edit, timestamp: Timestamp) -> Result<(), ApplyError> {
        let next = Arc::new(self.catalog.edited(edit)?);
        for id in edit.numbers() {
            self.next_number = self.next_number.max(id.saturating_add(1));
        }
        for schema in next.tables() {
            match self.catalog.table(schema.id()) {
                None => self.make(schema, timestamp),
                // Rows of another schema go to another memtable.
                Some(old) if old.version() != schema.version() => self.freeze(schema.id()),
                Some(_) => {}
            }
        }
        self.catalog = Arc::clone(&next);
        self.catalogs.push_back((timestamp, next));
        self.hold_watermark();
        Ok(())
    }

    fn make(&mut self, schema: &Arc<TableSchema>, created: Timestamp) {
        let table = Arc::new(Table::new(schema.id(), created, Version::empty()));
        self.state.tables.write().insert(schema.id(), Arc::clone(&table));
        self.tables.insert(schema.id(), Placed::new(table));
    }
}

impl Default for Applier {
    fn default() -> Self {
        Self::new()
    }
}
