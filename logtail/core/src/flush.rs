//! Rows of memtables become the rows of objects.

mod encode;
mod policy;
mod sort;

pub use encode::{EncodeJob, Encoded};
pub use policy::{FlushPolicy, FlushReason, TableMemory};
pub use sort::{SortJob, SortedBatch};

pub(crate) use sort::{Row, gather, prefix};
