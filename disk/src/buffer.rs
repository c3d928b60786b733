//! Aligned memory that is written once, frozen, then shared.
//!
//! A [`Pool`] hands out chunks. Of each chunk one [`Carver`] hands out [`Region`]s, exclusive and disjoint, which are
//! filled and frozen, possibly in several threads at once. Frozen bytes never change while anything refers to the
//! chunk, so readers, `bytes::Bytes` and writes in flight share them as [`Slice`]s while other regions of the same
//! chunk are still being filled. When the last reference is gone, the memory goes back to the pool.
//!
//! The proof that no shared slice overlaps an exclusive one is a bit per [`LINE`]: it is set when a region is frozen,
//! it is never cleared while the chunk lives, and a slice is made only of lines whose bits are set.

mod sync;
mod chunk;
mod memory;
mod pool;
mod region;
mod slab;
mod slice;

#[cfg(all(loom, test))]
mod models;

pub use chunk::{Carver, Chunk};
pub use pool::Pool;
pub use region::Region;
pub use slice::Slice;

/// The granularity of freezing, in bytes: a cache line, so that two threads which fill neighbouring regions do not
/// contend for one.
pub const LINE: usize = 64;

/// The alignment of every chunk, in bytes: a page, which satisfies the memory alignment of every direct IO.
pub(crate) const CHUNK_ALIGN: usize = 4096;
