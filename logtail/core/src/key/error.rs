//! Errors of keys.

use arrow_schema::DataType;

/// Why columns are no keys, or bytes no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// A key of no columns.
    #[error("a key has at least one column")]
    NoColumns,
    /// A column of a type that keys do not have.
    #[error("column `{column}` cannot be in a key: {data_type} is no type of a key")]
    Unsupported {
        /// The column's name.
        column: String,
        /// The column's type.
        data_type: DataType,
    },
    /// Not as many columns as the key has.
    #[error("the key has {expected} columns, {found} were given")]
    Count {
        /// How many the key has.
        expected: usize,
        /// How many were given.
        found: usize,
    },
    /// A column of another type than the key's.
    #[error("key column `{column}` is of type {expected}, an array of type {found} was given")]
    Type {
        /// The column's name.
        column: String,
        /// The column's type.
        expected: DataType,
        /// The array's.
        found: DataType,
    },
    /// Columns that differ in length.
    #[error("key column `{column}` has {found} rows, the first column {expected}")]
    Rows {
        /// The column's name.
        column: String,
        /// Rows of the first column.
        expected: usize,
        /// Rows of this one.
        found: usize,
    },
    /// A null in a key column.
    #[error("key column `{column}` is null in row {row}")]
    Null {
        /// The column's name.
        column: String,
        /// The first row, from 0, with a null.
        row: usize,
    },
    /// Keys are appended to those of another table.
    #[error("keys of another width were given to append to")]
    OtherWidth,
    /// Keys that differ in length would be more than 4 GiB.
    #[error("the keys would be more than 4 GiB")]
    Full,
    /// Bytes that are not a key of these columns; a cut bound is none.
    #[error("key {key} is malformed at column `{column}`: {reason}")]
    Malformed {
        /// The number of the key, from 0.
        key: usize,
        /// The name of the column where it is wrong.
        column: String,
        /// What is wrong.
        reason: &'static str,
    },
}
