//! Errors of rows.

use std::ops::Range;

use arrow_schema::DataType;

/// Why rows of a schema cannot be logged. A column in a struct or a list is named by its path, as in `tags.item`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// A schema without columns.
    #[error("a table has at least one column")]
    NoColumns,
    /// A column of a type that rows do not have; a struct without fields is one.
    #[error("column `{column}` is of type {data_type}, which cannot be logged")]
    Unsupported {
        /// The path of the column.
        column: String,
        /// Its type.
        data_type: DataType,
    },
    /// Structs and lists in each other, deeper than [`NESTING_MAX`](super::NESTING_MAX).
    #[error("column `{column}` is nested too deep")]
    TooDeep {
        /// The path of the column.
        column: String,
    },
}

impl SchemaError {
    /// The error, of a column in the column `outer`.
    pub(super) fn within(mut self, outer: &str) -> Self {
        match &mut self {
            Self::NoColumns => {}
            Self::Unsupported { column, .. } | Self::TooDeep { column } => put_before(column, outer),
        }
        self
    }
}

fn put_before(path: &mut String, outer: &str) {
    *path = format!("{outer}.{path}");
}

/// Why rows are not encoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// A column, or one in it, has a type that rows do not have, or is nested too deep.
    #[error("column {column} is or contains an array of type {data_type}, which cannot be logged")]
    Unsupported {
        /// The number of the column, from 0.
        column: usize,
        /// The type of the array.
        data_type: DataType,
    },
    /// A column without the rows that were asked for.
    #[error("rows {rows:?} of column {column} were to be encoded, which has {found}")]
    Rows {
        /// The number of the column, from 0.
        column: usize,
        /// What was asked for.
        rows: Range<usize>,
        /// How many rows the column has.
        found: usize,
    },
}

/// Why encoded rows are not appended. A column in a struct or a list is named by its path, as in `tags.item`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// Bytes that are not rows of these columns.
    #[error("the rows are malformed at column `{column}`: {reason}")]
    Malformed {
        /// The path of the column.
        column: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// Bytes that do not begin with a number of rows.
    #[error("the number of rows is malformed: {0}")]
    Count(&'static str),
    /// Bytes behind the last column.
    #[error("{0} bytes follow the last column")]
    Trailing(usize),
    /// A null in a column that has none.
    #[error("column `{column}` is null in a row, and not nullable")]
    Null {
        /// The path of the column.
        column: String,
    },
    /// A column, or the chunk, would have more than its offsets, or the numbers of rows, reach.
    #[error("column `{column}` has no room for the rows in this chunk")]
    Full {
        /// The path of the column.
        column: String,
    },
}

impl AppendError {
    /// The error, of a column in the column `outer`.
    pub(super) fn within(mut self, outer: &str) -> Self {
        match &mut self {
            Self::Count(_) | Self::Trailing(_) => {}
            Self::Malformed { column, .. } | Self::Null { column } | Self::Full { column } => put_before(column, outer),
        }
        self
    }
}
