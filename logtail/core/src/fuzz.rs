//! The bodies of the fuzz targets, which `fuzz/README.md` lists.

mod block_meta;

pub use block_meta::block_meta;

/// The bytes that were allocated so far, freed or not.
pub type Meter<'a> = &'a dyn Fn() -> u64;
