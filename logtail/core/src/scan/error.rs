//! Why a scan cannot be made of what was asked for.

use arrow_schema::DataType;

use crate::{catalog::ColumnRef, ids::TableId, predicate::Value};

/// Why a scan cannot be made of what was asked for. Nothing was read then.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ScanError {
    /// Of a column.
    #[error(transparent)]
    Column(#[from] ColumnError),
    /// The filter has too many unions in each other.
    #[error("the filter has more than {max} unions in each other")]
    FilterTooDeep {
        /// The most that it may have.
        max: usize,
    },
}

/// Why a column cannot be read, or cannot be compared with a value.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ColumnError {
    /// The table has no such column at the timestamp.
    #[error("table {table} has no column {column}")]
    Absent {
        /// The table.
        table: TableId,
        /// The column that was asked for.
        column: ColumnRef,
    },
    /// The column does not compare with the value.
    #[error("column {column:?} is {data_type}, which does not compare with {value}")]
    Incomparable {
        /// The column's name.
        column: String,
        /// Its type.
        data_type: DataType,
        /// The value.
        value: Value,
    },
}
