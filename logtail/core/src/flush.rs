//! Rows of memtables become the rows of objects, and deletes in memory become tombstones.

mod encode;
mod gather;
mod parts;
mod policy;
mod sort;
mod tombstones;

pub use encode::{EncodeJob, Encoded};
pub use parts::FlushParts;
pub use policy::{Due, FlushPolicy, FlushReason, MemoryUse, TableMemory};
pub use sort::{SortJob, SortedBatch, SortedRows};
pub use tombstones::{Collected, TombstoneJob};

pub(crate) use gather::Sources;
pub(crate) use sort::{Row, prefix, sort};
