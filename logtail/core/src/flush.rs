//! Rows of memtables become the rows of objects, and deletes in memory become tombstones.

mod encode;
mod gather;
mod incremental_sort;
mod limits;
mod moved;
mod parts;
mod policy;
mod sort;
mod tombstones;

pub use encode::EncodeJob;
pub use limits::FlushLimits;
pub use moved::MovedDeletes;
pub use parts::FlushParts;
pub use policy::{Due, FlushPolicy, FlushReason, MemoryUse, TableMemory};
pub use sort::{SortJob, SortedBatch, SortedRows};
pub use tombstones::{Collected, TombstoneBlocks, TombstoneJob};

pub(crate) use gather::Sources;
pub(crate) use limits::{PLACE_BYTES_MAX, TOMBSTONES_BYTES_MAX};
pub(crate) use moved::MovedRows;
pub(crate) use sort::{Row, sort};
