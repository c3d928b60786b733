//! Errors of writing and of reading objects.

use arrow_schema::{ArrowError, DataType};
use logboom_logtail_core::{ColumnId, ObjectId, block_meta::MetaError, key::KeyError};
use parquet::errors::ParquetError;

/// Why rows are not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// A column has no id, or none that is one: a field's metadata has it as `PARQUET:field_id`.
    #[error("column {column:?} has no id")]
    NoId {
        /// The column's name.
        column: String,
    },
    /// Two columns have the same id, or the same name, or one has the name of the commit timestamps.
    #[error("column {column:?} (id {id}) is not the only one of its id and name")]
    Duplicate {
        /// The column's name.
        column: String,
        /// Its id.
        id: ColumnId,
    },
    /// The key names a column that is not there.
    #[error("no column has the id {id}, which the key names")]
    KeyColumn {
        /// The id.
        id: ColumnId,
    },
    /// A column of the key has a type that keys do not have, or a null.
    #[error("a key cannot be encoded")]
    Key(#[from] KeyError),
    /// Rows of another schema, or with nulls in a column that has none.
    #[error("rows that are not of the object's schema")]
    Rows(#[source] ArrowError),
    /// Not one commit timestamp for each row, or some in an object of a load, which has none.
    #[error("{found} commit timestamps, where {rows} are expected")]
    Commits {
        /// The number of rows that have one.
        rows: usize,
        /// The number of timestamps that are not null.
        found: usize,
    },
    /// A commit timestamp is negative.
    #[error("{value} is not a commit timestamp")]
    Timestamp {
        /// The timestamp.
        value: i64,
    },
    /// The rows do not come in the order of their keys.
    #[error("row {row} is not sorted by its key")]
    Unsorted {
        /// The position in the object of a row whose key is below that of a row before.
        row: u32,
    },
    /// An object has at least one row.
    #[error("an object without rows")]
    Empty,
    /// Pages of a column do not end where blocks do: a fault of this crate.
    #[error("the pages of column {column:?} do not end where blocks do")]
    Pages {
        /// The path of the column.
        column: String,
    },
    /// The rows cannot be encoded: a type that Parquet does not have, a level of compression that there is not.
    #[error("the rows cannot be encoded")]
    Encode(#[from] ParquetError),
    /// The metadata of the object exceed what their format has.
    #[error(transparent)]
    Meta(#[from] MetaError),
}

/// Why an object cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The footer is damaged: none of the object can be read.
    #[error("the footer of object {object} is damaged: {reason}")]
    Footer {
        /// The object.
        object: ObjectId,
        /// What is wrong with it.
        reason: String,
    },
    /// A page is damaged: the bytes are others than were written.
    #[error("block {block} of object {object} is damaged in column {column:?}")]
    Damaged {
        /// The object.
        object: ObjectId,
        /// The first block that cannot be read for it; a dictionary is of all blocks of its row group.
        block: usize,
        /// The path of the column.
        column: String,
    },
    /// A bloom filter is damaged.
    #[error("a bloom filter of object {object} is damaged in column {column:?}")]
    Bloom {
        /// The object.
        object: ObjectId,
        /// The path of the column.
        column: String,
    },
    /// Bytes were fed that were not asked for, or as many of them as their range does not have.
    #[error("{len} bytes for the range {start}..{end} of object {object}, which is not made of whole pages")]
    Range {
        /// The object.
        object: ObjectId,
        /// Where the range begins.
        start: u64,
        /// Where it ends.
        end: u64,
        /// The number of bytes.
        len: usize,
    },
    /// A block, row or column was asked for that the object does not have.
    #[error("object {object} has no {what} {number}")]
    Absent {
        /// The object.
        object: ObjectId,
        /// `block`, say.
        what: &'static str,
        /// Its number.
        number: u64,
    },
    /// The tombstones that the metadata of a block name are not, or not all, of its rows.
    #[error("object {tombstones} has other tombstones than those of block {block} of object {object}")]
    Tombstones {
        /// The object with the block, which cannot be read: it is not known which of its rows are deleted.
        object: ObjectId,
        /// The block.
        block: usize,
        /// The tombstone object.
        tombstones: ObjectId,
    },
    /// A column is wanted without an id.
    #[error("column {column:?} is wanted, and has no id")]
    NoId {
        /// The column's name.
        column: String,
    },
    /// A column is wanted in a type that does not hold its values.
    #[error("column {column:?} is {from} in object {object}, which does not widen to {to}")]
    Type {
        /// The object.
        object: ObjectId,
        /// The wanted column's name.
        column: String,
        /// The object's type.
        from: DataType,
        /// The wanted one.
        to: DataType,
    },
    /// A column is wanted without nulls, and the object does not have it, or has nulls.
    #[error("column {column:?} of object {object} lacks values, where none may be null")]
    Null {
        /// The object.
        object: ObjectId,
        /// The wanted column's name.
        column: String,
    },
    /// Rows cannot be decoded though their checksums are right: a fault of the writer, or of this crate.
    #[error("block {block} of object {object} cannot be decoded")]
    Decode {
        /// The object.
        object: ObjectId,
        /// The block.
        block: usize,
        /// What the decoder says.
        #[source]
        source: ArrowError,
    },
    /// Bytes are no key of a table.
    #[error("a key that is looked for is none of the table")]
    Key(#[from] KeyError),
}
