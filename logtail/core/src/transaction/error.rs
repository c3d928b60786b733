//! Why an operation of a transaction is refused.

use crate::{ids::TableId, key::KeyError, rows::EncodeError};

/// Why an operation of a transaction is refused. The transaction is as before.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OperationError {
    /// The table is not there at the transaction's snapshot.
    #[error("there is no table {0}")]
    NoTable(TableId),
    /// The catalog's tables are written by changes of the catalog.
    #[error("table {0} belongs to the catalog")]
    System(TableId),
    /// The batch's columns are not the table's: column `at` differs in name, type, or its nulls.
    #[error("column {at} of the rows for table {table} is not the table's: {why}")]
    Schema {
        /// The table.
        table: TableId,
        /// The position of the first column that differs.
        at: usize,
        /// What differs.
        why: &'static str,
    },
    /// The table has no key, so its rows have no other name than their ids.
    #[error("table {0} has no key")]
    NoKey(TableId),
    /// Rows of a table with a key are deleted by it.
    #[error("table {0} has a key")]
    HasKey(TableId),
    /// A key is null, or not of the key's types.
    #[error("keys for table {table}")]
    Key {
        /// The table.
        table: TableId,
        /// What is wrong.
        #[source]
        source: KeyError,
    },
    /// Rows cannot be written to the log.
    #[error("rows for table {table}")]
    Rows {
        /// The table.
        table: TableId,
        /// What is wrong.
        #[source]
        source: EncodeError,
    },
    /// Arrow could not select rows of a batch.
    #[error("rows for table {table} cannot be selected: {why}")]
    Filter {
        /// The table.
        table: TableId,
        /// What Arrow says.
        why: String,
    },
    /// The transaction itself inserted the key before.
    #[error("row {row} of the batch for table {table} has the key of another row of the transaction")]
    DuplicateKey {
        /// The table.
        table: TableId,
        /// The row in the batch.
        row: usize,
    },
    /// A transaction has at most [`ROWS_MAX`](super::ROWS_MAX) rows.
    #[error("the transaction has {rows} rows, more than it may")]
    TooManyRows {
        /// How many it would have.
        rows: usize,
    },
}
