//! The bodies of the fuzz targets, which `fuzz/README.md` lists.

mod block_meta;
mod rows;
mod tail_log;

pub use block_meta::block_meta;
pub use rows::row_decode;
pub use tail_log::tail_log;

/// The bytes that were allocated so far, freed or not.
pub type Meter<'a> = &'a dyn Fn() -> u64;
