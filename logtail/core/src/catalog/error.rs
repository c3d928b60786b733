//! Why a change of the catalog is refused.

use crate::ids::{ColumnId, DatabaseId, TableId};

/// Why a change of the catalog is refused. Nothing has changed then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogError {
    /// There is no such database.
    #[error("there is no database {0}")]
    NoDatabase(DatabaseId),
    /// There is no such table.
    #[error("there is no table {0}")]
    NoTable(TableId),
    /// The table has no such column.
    #[error("table {table} has no column {column}")]
    NoColumn {
        /// The table.
        table: TableId,
        /// The column.
        column: ColumnId,
    },
    /// The name is taken.
    #[error("the name {0:?} is taken")]
    NameTaken(String),
    /// A name is empty or over 255 bytes, has control characters, or is a column's and begins with an underscore, as
    /// the columns of the log tail do.
    #[error("{0:?} cannot be a name")]
    BadName(String),
    /// The database has tables.
    #[error("database {0} is not empty")]
    NotEmpty(DatabaseId),
    /// The catalog's own tables cannot be changed.
    #[error("table {0} belongs to the catalog")]
    System(TableId),
    /// A table needs a column.
    #[error("a table needs at least one column")]
    NoColumns,
    /// A table has no column of the name that its key lists, or the key lists one twice.
    #[error("the key lists {0:?}, which is no column, or listed twice")]
    BadKey(String),
    /// A column of a primary key may not be nullable, dropped or widened.
    #[error("column {0:?} belongs to the primary key: it can be neither null nor dropped or widened")]
    KeyColumn(String),
    /// The type cannot be stored, or not in a key.
    #[error("column {column:?} cannot have type {data_type}: {why}")]
    BadType {
        /// The column's name.
        column: String,
        /// The type, as Arrow writes it.
        data_type: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A column that is added must be nullable: rows from before have no value.
    #[error("column {0:?} must be nullable, as rows from before have no value in it")]
    NotNullable(String),
    /// The new type does not hold each value of the old one.
    #[error("column {column:?} cannot be widened from {from} to {to}")]
    NotWider {
        /// The column's name.
        column: String,
        /// Its type, as Arrow writes it.
        from: String,
        /// The type asked for.
        to: String,
    },
    /// No more ids or versions are left.
    #[error("the numbers of {0} are used up")]
    Exhausted(&'static str),
    /// Rows of the catalog's tables contradict each other, or cannot be read: the log or an object is damaged.
    #[error("the rows of the catalog are damaged: {0}")]
    Damaged(String),
}
