//! The rows of the catalog's tables.

use crate::ids::{ColumnId, DatabaseId, TableId};

/// A row of the table `databases`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseRow {
    /// The row's key.
    pub id: DatabaseId,
    /// The database's name.
    pub name: String,
}

/// A row of the table `tables`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableRow {
    /// The row's key.
    pub id: TableId,
    /// The database that the table is in.
    pub database: DatabaseId,
    /// The table's name.
    pub name: String,
    /// Counts the changes of its columns.
    pub version: i32,
    /// The columns of its primary key, in order.
    pub key: Vec<ColumnId>,
    /// The id of the next column that is added.
    pub next_column: i32,
}

/// A row of the table `columns`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnRow {
    /// With `id`, the row's key.
    pub table: TableId,
    /// The column's id, by which columns are ordered.
    pub id: ColumnId,
    /// The column's name.
    pub name: String,
    /// Its type, as Arrow writes it.
    pub data_type: String,
    /// Whether rows may lack a value.
    pub nullable: bool,
}

/// What a change of the catalog does to the rows of its tables. A row replaces the one with the same key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edit {
    /// Rows of `databases` to write.
    pub databases: Vec<DatabaseRow>,
    /// Rows of `tables` to write.
    pub tables: Vec<TableRow>,
    /// Rows of `columns` to write.
    pub columns: Vec<ColumnRow>,
    /// Rows of `databases` to delete, by key.
    pub dropped_databases: Vec<DatabaseId>,
    /// Rows of `tables` to delete.
    pub dropped_tables: Vec<TableId>,
    /// Rows of `columns` to delete.
    pub dropped_columns: Vec<(TableId, ColumnId)>,
}
