//! Databases, tables and columns.

mod change;
mod column_ref;
mod error;
mod plan;
mod rows;
mod schema;
pub(crate) mod system;

pub use change::{Change, NewColumn, NewTable};
pub use column_ref::ColumnRef;
pub use error::CatalogError;
pub use rows::{ColumnRow, DatabaseRow, Edit, TableRow};
pub use schema::{Column, FIELD_ID, KeyColumns, TableSchema};
pub use system::{COLUMNS, DATABASES, FIRST_FREE_NUMBER, TABLES, is_system};

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::ids::{ColumnId, DatabaseId, TableId};

/// Databases, tables and columns at a timestamp: an immutable value, of which changes make new ones.
///
/// It is itself tables of the log tail ([`DATABASES`], [`TABLES`], [`COLUMNS`]): what a change does is rows that are
/// written and deleted there ([`Edit`]), in a transaction like others, and the catalog of a time is made from the rows
/// that are visible then.
#[derive(Clone, Debug)]
pub struct Catalog {
    databases: BTreeMap<DatabaseId, Arc<str>>,
    database_ids: BTreeMap<Arc<str>, DatabaseId>,
    tables: BTreeMap<TableId, Arc<TableSchema>>,
    table_ids: BTreeMap<(DatabaseId, String), TableId>,
}

impl Catalog {
    /// The catalog of a new log: the catalog's own tables, in the database `system`.
    pub fn new() -> Self {
        let mut catalog = Self {
            databases: BTreeMap::new(),
            database_ids: BTreeMap::new(),
            tables: BTreeMap::new(),
            table_ids: BTreeMap::new(),
        };
        system::install(&mut catalog);
        catalog
    }

    /// The name of a database.
    pub fn database_name(&self, id: DatabaseId) -> Option<&str> {
        self.databases.get(&id).map(AsRef::as_ref)
    }

    /// The database of a name.
    pub fn find_database(&self, name: &str) -> Option<DatabaseId> {
        self.database_ids.get(name).copied()
    }

    /// The databases, by id.
    pub fn databases(&self) -> impl Iterator<Item = (DatabaseId, &str)> {
        self.databases.iter().map(|(id, name)| (*id, name.as_ref()))
    }

    /// A table.
    pub fn table(&self, id: TableId) -> Option<&Arc<TableSchema>> {
        self.tables.get(&id)
    }

    /// The table of a name in a database.
    pub fn find_table(&self, database: DatabaseId, name: &str) -> Option<&Arc<TableSchema>> {
        self.tables.get(self.table_ids.get(&(database, name.to_owned()))?)
    }

    /// All tables, the catalog's own included, by id.
    pub fn tables(&self) -> impl Iterator<Item = &Arc<TableSchema>> {
        self.tables.values()
    }

    /// The tables of a database, by id.
    pub fn tables_of(&self, database: DatabaseId) -> impl Iterator<Item = &Arc<TableSchema>> {
        self.tables.values().filter(move |table| table.database == database)
    }

    /// What `change` does to the rows of the catalog's tables. A database or table that it makes gets the number `new`,
    /// which no other one ever had: at least [`FIRST_FREE_NUMBER`].
    ///
    /// # Errors
    /// Why the change is refused.
    pub fn plan(&self, change: &Change, new: u64) -> Result<Edit, CatalogError> {
        plan::plan(self, change, new)
    }

    /// The catalog after `edit`.
    ///
    /// # Errors
    /// [`CatalogError::Damaged`] where rows name what is not there, or contradict each other; edits that were
    /// [planned](Catalog::plan) on this catalog do not.
    pub fn edited(&self, edit: &Edit) -> Result<Self, CatalogError> {
        let mut next = self.clone();
        next.edit_databases(edit)?;
        next.edit_tables(edit)?;
        Ok(next)
    }

    fn edit_databases(&mut self, edit: &Edit) -> Result<(), CatalogError> {
        for id in edit.dropped_databases.iter().chain(edit.databases.iter().map(|row| &row.id)) {
            if let Some(name) = self.databases.remove(id) {
                self.database_ids.remove(&name);
            }
        }
        for row in &edit.databases {
            let name: Arc<str> = row.name.as_str().into();
            if self.database_ids.insert(Arc::clone(&name), row.id).is_some() {
                return Err(damaged(format_args!("two databases are called {name:?}")));
            }
            self.databases.insert(row.id, name);
        }
        Ok(())
    }

    fn edit_tables(&mut self, edit: &Edit) -> Result<(), CatalogError> {
        let mut touched: BTreeMap<TableId, Draft> = BTreeMap::new();
        let ids = edit.tables.iter().map(|row| row.id);
        let ids = ids.chain(edit.dropped_tables.iter().copied());
        let ids = ids.chain(edit.columns.iter().map(|row| row.table));
        for id in ids.chain(edit.dropped_columns.iter().map(|(table, _)| *table)).collect::<BTreeSet<_>>() {
            let old = self.tables.remove(&id);
            if let Some(old) = &old {
                self.table_ids.remove(&(old.database, old.name.clone()));
            }
            touched.insert(id, Draft::of(old.as_deref()));
        }
        for (table, column) in &edit.dropped_columns {
            touched.entry(*table).or_default().columns.remove(column);
        }
        for row in &edit.columns {
            touched.entry(row.table).or_default().columns.insert(row.id, column(row)?);
        }
        for id in &edit.dropped_tables {
            touched.entry(*id).or_default().row = None;
        }
        for row in &edit.tables {
            touched.entry(row.id).or_default().row = Some(row.clone());
        }
        touched.into_iter().try_for_each(|(id, draft)| self.finish(id, draft))
    }

    fn finish(&mut self, id: TableId, draft: Draft) -> Result<(), CatalogError> {
        let Some(row) = draft.row else {
            if draft.columns.is_empty() {
                return Ok(());
            }
            return Err(damaged(format_args!("columns of table {id}, which is not there")));
        };
        if !self.databases.contains_key(&row.database) {
            return Err(damaged(format_args!("table {id} is in database {}, which is not there", row.database)));
        }
        let columns: Vec<_> = draft.columns.into_values().collect();
        let known = |key: &ColumnId| columns.iter().any(|column| column.id == *key && !column.nullable);
        if columns.is_empty() || !row.key.iter().all(known) {
            return Err(damaged(format_args!("table {id} lacks columns")));
        }
        let name = (row.database, row.name.clone());
        if self.table_ids.insert(name, id).is_some() {
            return Err(damaged(format_args!("two tables of database {} are called {:?}", row.database, row.name)));
        }
        let arrow = schema::arrow_schema(&columns);
        let TableRow { id, database, name, version, key, next_column } = row;
        let key_columns = schema::key_columns(&key, &columns, &arrow)
            .map_err(|error| damaged(format_args!("the key of table {id}: {error}")))?;
        let schema = TableSchema { id, database, name, version, columns, key, next_column, arrow, key_columns };
        self.tables.insert(id, Arc::new(schema));
        Ok(())
    }
}

impl Default for Catalog {
    fn default() -> Self {
        Self::new()
    }
}

/// A table whose rows are being edited.
#[derive(Default)]
struct Draft {
    row: Option<TableRow>,
    columns: BTreeMap<ColumnId, Column>,
}

impl Draft {
    fn of(schema: Option<&TableSchema>) -> Self {
        let Some(schema) = schema else { return Self::default() };
        let columns = schema.columns.iter().map(|column| (column.id, column.clone())).collect();
        Self { row: Some(plan::table_row(schema)), columns }
    }
}

fn column(row: &ColumnRow) -> Result<Column, CatalogError> {
    let data_type = row
        .data_type
        .parse()
        .map_err(|_| damaged(format_args!("column {} of table {} has type {:?}", row.id, row.table, row.data_type)))?;
    Ok(Column { id: row.id, name: row.name.clone(), data_type, nullable: row.nullable })
}

fn damaged(what: std::fmt::Arguments<'_>) -> CatalogError {
    CatalogError::Damaged(what.to_string())
}
