//! Rows of memtables become the rows of objects, and deletes in memory become tombstones.

mod encode;
mod parts;
mod policy;
mod sort;
mod tombstones;

pub use encode::{EncodeJob, Encoded};
pub use parts::FlushParts;
pub use policy::{Due, FlushPolicy, FlushReason, MemoryUse, TableMemory};
pub use sort::{SortJob, SortedBatch};
pub use tombstones::{Collected, TombstoneJob};

pub(crate) use sort::{Row, gather, prefix};
