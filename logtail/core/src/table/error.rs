//! Why rows do not fit a table.

use crate::{
    key::KeyError,
    rows::{AppendError, SchemaError},
};

/// Why rows do not fit a table. Nothing has changed then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// Encoded rows cannot be read, or are of another schema.
    #[error("the rows cannot be read")]
    Rows(#[from] AppendError),
    /// A table has a type that rows do not have.
    #[error("the schema has no form in memory")]
    Schema(#[from] SchemaError),
    /// Keys cannot be made from the rows.
    #[error("the rows have no keys")]
    Keys(#[from] KeyError),
    /// A memtable numbers its rows with 32 bits.
    #[error("the memtable has no numbers for more rows")]
    Full,
}
