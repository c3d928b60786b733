//! Properties that hold for arbitrary bytes: the bodies of the fuzz targets, and of the test that replays their corpus.
//!
//! Most damage is detected by a checksum. So a body takes the image of a directory that the log has written, edits it
//! as its input says, and can recompute every checksum ([`Image::fix_checksums`]): the code behind the checksums must
//! work for any bytes as well.
//!
//! Compiled with the feature `fuzz` only; not part of the public interface.

#![expect(
    clippy::cast_possible_truncation,
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "a body panics if a property does not hold, and its inputs are small"
)]

mod decode;
mod edits;
mod image;
mod input;
mod memory;
mod fixtures;
mod checksums;
mod segments;

pub use decode::{record, record_decode};
pub use edits::edit;
pub use fixtures::Fixture;
pub use image::{Image, PAD};
pub use input::Input;
pub use memory::MemoryDisk;
pub use segments::{Bounds, segment_recover};

/// Returns the bytes that the process has allocated so far, freed ones included.
///
/// The total bounds the memory in use at any moment, and does not depend on when memory is freed.
pub type Meter<'m> = &'m dyn Fn() -> u64;
