//! Puts back the state of a checkpoint.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
};

use super::{applier::Applier, error::ApplyError};
use crate::{
    block_meta::{ObjectKind, ObjectMeta},
    catalog::{COLUMNS, DATABASES, Edit, TABLES, TableSchema},
    checkpoint::{Checkpoint, Item},
    ids::{RowId, TableId},
    object_id::ObjectId,
    record::Section,
    table::{Memtable, Object},
    timestamp::Timestamp,
};

impl Applier {
    /// Puts back the state of a checkpoint, of whose objects these are the items in their order, into an empty state.
    /// Transactions up to its timestamp may be placed then, for the rows that were in memory, and must be the ones
    /// after it.
    ///
    /// # Errors
    /// [`ApplyError`] where the items contradict each other; the applier is of no more use then.
    pub fn restore(&mut self, checkpoint: &Checkpoint, items: Vec<Item>) -> Result<(), ApplyError> {
        let system = [DATABASES, TABLES, COLUMNS];
        let is_catalog = |item: &Item| matches!(item, Item::Rows { table, .. } if system.contains(table));
        let (catalog, others): (Vec<_>, Vec<_>) = items.into_iter().partition(is_catalog);
        // The catalog first: it has the tables of the others. Deletes of its rows are among those.
        for item in catalog {
            self.restore_rows(item)?;
        }
        for item in &others {
            if let Item::Deletes(table, deletes) = item
                && system.contains(table)
            {
                self.restore_deletes(*table, deletes)?;
            }
        }
        self.restore_catalogs()?;
        let mut tombstones: BTreeMap<ObjectId, Arc<ObjectMeta>> = BTreeMap::new();
        for item in others {
            match item {
                Item::Object(meta) if meta.kind == ObjectKind::Tombstones => {
                    tombstones.insert(meta.id, Arc::new(*meta));
                }
                Item::Object(meta) => {
                    let (table, object) = (meta.table, meta.id);
                    let object = Object::restored(Arc::new(*meta), checkpoint.timestamp, &tombstones)
                        .ok_or(ApplyError::NoTombstones { table, object })?;
                    self.table_of(table)?.restore_object(object);
                }
                Item::Memtables { table, oldest, copied } => {
                    self.table_of(table)?.restore_memtables(oldest, copied, checkpoint.timestamp);
                }
                rows @ Item::Rows { .. } => self.restore_rows(rows)?,
                Item::Deletes(table, deletes) if !system.contains(&table) => self.restore_deletes(table, &deletes)?,
                _ => {}
            }
        }
        self.tables.values().for_each(|placed| placed.restored(checkpoint.timestamp));
        self.last = checkpoint.timestamp;
        self.restored = checkpoint.timestamp;
        self.next_number = self.next_number.max(checkpoint.next_number);
        self.state.horizon.fetch_max(checkpoint.horizon.to_i64(), Ordering::Release);
        // Later checkpoints of the chain have nothing of them, and the log is perhaps dropped in their middle.
        self.drop_tables(checkpoint.horizon);
        Ok(())
    }

    fn table_of(&mut self, table: TableId) -> Result<&mut super::Placed, ApplyError> {
        self.tables.get_mut(&table).ok_or(ApplyError::NoTable(table))
    }

    fn restore_rows(&mut self, item: Item) -> Result<(), ApplyError> {
        let Item::Rows { table, schema: version, mut first, runs } = item else { return Ok(()) };
        let Some(committed) = runs.first().map(|run| run.committed) else { return Ok(()) };
        let schema = self.schema_at(table, committed).ok_or(ApplyError::NoTable(table))?;
        if schema.version() != version {
            return Err(ApplyError::Schema { table, expected: schema.version(), found: version });
        }
        for run in runs {
            let mut section = Section::none(table, version);
            (section.first, section.inserted, section.rows) = (first, run.count, &run.rows);
            self.table_of(table)?.insert(&section, &schema, run.committed)?;
            first.row = first.row.saturating_add(run.count);
        }
        Ok(())
    }

    /// A table's schema at a timestamp. That of a table of the catalog never changes.
    fn schema_at(&self, table: TableId, at: Timestamp) -> Option<Arc<TableSchema>> {
        let catalogs = self.state.catalogs.read();
        let catalog = catalogs.range(..=at).next_back().map(|(_, catalog)| catalog)?;
        catalog.table(table).cloned()
    }

    fn restore_deletes(&mut self, table: TableId, deletes: &[(RowId, Timestamp)]) -> Result<(), ApplyError> {
        let placed = self.table_of(table)?;
        for (row, at) in deletes {
            if !placed.delete(*row, *at) {
                return Err(ApplyError::NoRow { table, row: *row });
            }
        }
        Ok(())
    }

    /// Makes the catalogs of all times from the rows of the catalog's tables.
    fn restore_catalogs(&mut self) -> Result<(), ApplyError> {
        let mut edits: BTreeMap<Timestamp, Edit> = BTreeMap::new();
        for table in [DATABASES, TABLES, COLUMNS] {
            let version = self.table_of(table)?.version();
            for memtable in version.memtables() {
                add_edits(table, memtable, &mut edits)?;
            }
        }
        for (at, edit) in edits {
            self.change_catalog(&edit, at)?;
            self.publish_catalogs(at);
        }
        Ok(())
    }
}

/// What was done to the rows of a memtable of the catalog, by timestamp.
fn add_edits(table: TableId, memtable: &Memtable, edits: &mut BTreeMap<Timestamp, Edit>) -> Result<(), ApplyError> {
    let all: Vec<_> = (0..memtable.schema().columns().len()).collect();
    let key: Vec<_> = memtable.schema().key_columns().map(|key| key.positions().to_vec()).unwrap_or_default();
    let mut next = 0;
    while let Some(piece) = memtable.read(next, Timestamp::MAX, &all) {
        for at in 0..piece.len {
            let Some(row) = memtable.get(piece.first + at) else { continue };
            let columns: Vec<_> = piece.columns.iter().map(|column| column.slice(at as usize, 1)).collect();
            edits.entry(row.committed).or_default().add_written(table, &columns)?;
            if let Some(deleted) = row.deleted {
                let keys: Vec<_> = key.iter().filter_map(|at| columns.get(*at).cloned()).collect();
                edits.entry(deleted).or_default().add_deleted(table, &keys)?;
            }
        }
        next = piece.first + piece.len;
    }
    Ok(())
}
