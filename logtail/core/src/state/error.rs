//! Why a timestamp cannot be read, and why a record cannot be applied.

use crate::{
    catalog::CatalogError,
    ids::{RowId, RowsetId, TableId},
    object_id::ObjectId,
    table::TableError,
    timestamp::Timestamp,
};

/// A timestamp below the horizon: what was visible then is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what was visible at {timestamp} is dropped: the horizon is {horizon}")]
pub struct Stale {
    /// The timestamp that was asked for.
    pub timestamp: Timestamp,
    /// The oldest one that can be read.
    pub horizon: Timestamp,
}

/// Why a record of the log cannot be applied: it does not follow from those before it. The log was written by something
/// else, or part of it is missing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// The record is not later than the one before.
    #[error("a transaction at {timestamp} follows one at {last}")]
    Order {
        /// The record's.
        timestamp: Timestamp,
        /// The one before.
        last: Timestamp,
    },
    /// The record writes a table that is not there.
    #[error("there is no table {0}")]
    NoTable(TableId),
    /// The rows are of another version of the table's schema.
    #[error("rows of version {found} of the schema of table {table}, which has version {expected}")]
    Schema {
        /// The table.
        table: TableId,
        /// The table's version.
        expected: i32,
        /// The rows'.
        found: i32,
    },
    /// The rows do not follow those before them.
    #[error("rows of table {table} at {row}, where others are or are missing")]
    Place {
        /// The table.
        table: TableId,
        /// Their first row.
        row: RowId,
    },
    /// A row that is deleted is not there, or was deleted before.
    #[error("table {table} has no row {row} that could be deleted")]
    NoRow {
        /// The table.
        table: TableId,
        /// The row.
        row: RowId,
    },
    /// A flush moves rows of a memtable that is not there.
    #[error("table {table} has no memtable {memtable}")]
    NoMemtable {
        /// The table.
        table: TableId,
        /// The memtable.
        memtable: RowsetId,
    },
    /// A block names tombstones of an object that the checkpoint does not have.
    #[error("the tombstones of object {object} of table {table} are in an object that there is not")]
    NoTombstones {
        /// The table.
        table: TableId,
        /// The object with the block.
        object: ObjectId,
    },
    /// The rows do not fit the table.
    #[error("rows of table {table}")]
    Rows {
        /// The table.
        table: TableId,
        /// Why.
        #[source]
        source: TableError,
    },
    /// The catalog's rows contradict each other.
    #[error("the catalog's rows")]
    Catalog(#[from] CatalogError),
}
