//! Transactions, up to their records.

mod error;
mod operations;
mod workspace;

pub use error::OperationError;
pub use operations::Operations;
pub use workspace::Workspace;

pub(crate) use operations::check_columns;

/// The most rows that a transaction writes and deletes. More are loaded in bulk.
pub const ROWS_MAX: usize = 1 << 20;
