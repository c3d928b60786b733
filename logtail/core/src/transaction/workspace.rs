//! `Workspace`: what a transaction is going to write.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use bumpalo::Bump;

use super::{ROWS_MAX, error::OperationError, operations::Operations};
use crate::{
    catalog::{COLUMNS, Catalog, DATABASES, Edit, TABLES, system::is_system},
    ids::{RowId, TableId},
    record::CommitBuilder,
    state::OpenSnapshot,
    timestamp::Timestamp,
};

/// What a transaction is going to write: rows of Arrow, which nobody else sees.
///
/// It belongs to its client. Operations check what can be told without the writer: schemas, keys, and what the
/// transaction itself did before. What other transactions did is found at the commit.
#[derive(Debug)]
pub struct Workspace {
    snapshot: OpenSnapshot,
    catalog: Arc<Catalog>,
    client_id: Option<u128>,
    tables: Vec<Operations>,
    rows: usize,
}

impl Workspace {
    /// An empty transaction that reads at `snapshot`, by the catalog of that time.
    pub fn new(snapshot: OpenSnapshot, catalog: Arc<Catalog>) -> Self {
        Self { snapshot, catalog, client_id: None, tables: Vec::new(), rows: 0 }
    }

    /// A transaction that changes the catalog: what [`Catalog::plan`] said of `catalog`, which is that of `snapshot`.
    /// It is committed if the catalog is still the same then.
    ///
    /// # Errors
    /// [`OperationError`]; never for edits that were planned.
    pub fn of_edit(snapshot: OpenSnapshot, catalog: Arc<Catalog>, edit: &Edit) -> Result<Self, OperationError> {
        let mut workspace = Self::new(snapshot, catalog);
        for table in [DATABASES, TABLES, COLUMNS] {
            let schema = workspace.catalog.table(table).cloned().ok_or(OperationError::NoTable(table))?;
            let mut operations = Operations::new(schema);
            let (written, deleted) = (edit.written(table), edit.deleted(table));
            operations.upsert_columns(written)?;
            operations.delete(&deleted)?;
            if !operations.is_empty() {
                workspace.rows += 1;
                workspace.tables.push(operations);
            }
        }
        Ok(workspace)
    }

    /// The timestamp at which the transaction reads: it sees what was committed then, and itself.
    pub fn snapshot(&self) -> Timestamp {
        self.snapshot.timestamp()
    }

    /// The catalog at the snapshot.
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// What the client calls the transaction: a commit with an id that was committed before is not repeated.
    pub fn set_client_id(&mut self, id: u128) {
        self.client_id = Some(id);
    }

    /// What the client calls the transaction.
    pub fn client_id(&self) -> Option<u128> {
        self.client_id
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Inserts rows, whose keys must not be there: neither at the snapshot nor in the transaction.
    ///
    /// # Errors
    /// [`OperationError`]; all rows are inserted, or none.
    pub fn insert(&mut self, table: TableId, rows: &RecordBatch) -> Result<(), OperationError> {
        let count = self.more_rows(rows.num_rows())?;
        self.table(table)?.insert(rows)?;
        self.rows = count;
        Ok(())
    }

    /// Inserts rows, which replace those with the same keys. In a table without a key it inserts. Of rows of a batch
    /// with the same key the last one stays.
    ///
    /// # Errors
    /// [`OperationError`]; all rows are written, or none.
    pub fn upsert(&mut self, table: TableId, rows: &RecordBatch) -> Result<(), OperationError> {
        let count = self.more_rows(rows.num_rows())?;
        self.table(table)?.upsert(rows)?;
        self.rows = count;
        Ok(())
    }

    /// Deletes the rows with these keys, given as the key's columns in its order. A key that is not there is no error.
    ///
    /// # Errors
    /// [`OperationError`]; all are deleted, or none.
    pub fn delete(&mut self, table: TableId, keys: &[ArrayRef]) -> Result<(), OperationError> {
        let count = self.more_rows(keys.first().map_or(0, |column| column.len()))?;
        self.table(table)?.delete(keys)?;
        self.rows = count;
        Ok(())
    }

    /// Deletes rows of a table without a key, by the ids that a scan at this snapshot gave. One that is named again is
    /// deleted already.
    ///
    /// # Errors
    /// [`OperationError`]; all are deleted, or none.
    pub fn delete_rows(&mut self, table: TableId, rows: &[RowId]) -> Result<(), OperationError> {
        let count = self.more_rows(rows.len())?;
        self.table(table)?.delete_rows(rows)?;
        self.rows = count;
        Ok(())
    }

    /// The tables that are written, each with what is done to it.
    pub(crate) fn tables(&self) -> &[Operations] {
        &self.tables
    }

    /// The tables that are written, whose [keys](Operations::keys_to_find) are to be looked up before the commit.
    pub fn tables_mut(&mut self) -> &mut [Operations] {
        &mut self.tables
    }

    /// The tables that are written.
    pub fn table_ids(&self) -> impl Iterator<Item = TableId> + Clone + '_ {
        self.tables.iter().map(|table| table.schema().id())
    }

    /// Encodes what is written into a record that lacks its timestamp and the places of its rows.
    ///
    /// # Errors
    /// [`OperationError::Rows`] for rows that the log cannot hold.
    pub fn encode<'b>(&self, arena: &'b Bump) -> Result<CommitBuilder<'b>, OperationError> {
        let sections = self.tables.iter().map(Operations::sections).sum();
        let deleted = self.tables.iter().map(Operations::deleted).sum();
        let mut builder = CommitBuilder::new(arena, self.client_id, sections, deleted);
        self.tables.iter().try_for_each(|table| table.encode(arena, &mut builder))?;
        Ok(builder)
    }

    fn more_rows(&self, rows: usize) -> Result<usize, OperationError> {
        let rows = self.rows.saturating_add(rows);
        if rows > ROWS_MAX { Err(OperationError::TooManyRows { rows }) } else { Ok(rows) }
    }

    /// What is done to a user's table.
    fn table(&mut self, id: TableId) -> Result<&mut Operations, OperationError> {
        if is_system(id) {
            return Err(OperationError::System(id));
        }
        if let Some(at) = self.tables.iter().position(|table| table.schema().id() == id) {
            return Ok(&mut self.tables[at]);
        }
        let schema = self.catalog.table(id).ok_or(OperationError::NoTable(id))?;
        self.tables.push(Operations::new(Arc::clone(schema)));
        self.tables.last_mut().ok_or(OperationError::NoTable(id))
    }
}
