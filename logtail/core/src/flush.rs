//! Rows of memtables become the rows of objects.

mod encode;
mod sort;

pub use encode::{EncodeJob, Encoded};
pub use sort::{SortJob, SortedBatch};
