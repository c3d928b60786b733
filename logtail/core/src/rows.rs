//! Rows of a transaction: how they lie in the log, and how they are collected in memory.
//!
//! [`encode`] packs the columns of a transaction's rows into a record, a [`RowChunk`] collects the rows of many.
//! `logtail/FORMAT.md` states the bytes. Unlike Arrow's own format, whose frames take hundreds of bytes, the record of
//! a single row is about as long as its values.

mod chunk;
mod column;
mod cursor;
mod encode;
mod error;
mod layout;
mod offsets;
mod output;
mod valid;

pub use chunk::RowChunk;
pub use encode::encode;
pub use error::{AppendError, EncodeError, SchemaError};
pub use layout::NESTING_MAX;
pub use output::Output;

use arrow_schema::Schema;

/// Checks that rows of the schema can be logged: to be called when a table is made.
///
/// # Errors
/// [`SchemaError`], which names the column; of a nested one, the path to it.
pub fn check(schema: &Schema) -> Result<(), SchemaError> {
    RowChunk::new(schema.fields()).map(drop)
}
