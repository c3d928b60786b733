//! Properties that hold for arbitrary bytes: the bodies of the fuzz targets, and of the test that replays
//! their corpus.
//!
//! Plain damage stops at a checksum. So a body begins with the image of a directory that the log itself has written,
//! edits it as its input says, and can have every checksum made good again ([`Image::seal`]): what is behind them
//! must hold up as well, since a checksum does not tell that a program was right.
//!
//! Compiled with the feature `fuzz` only, and no part of what the crate promises.

#![expect(
    clippy::cast_possible_truncation,
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "a body exists to panic where something does not hold, and its own inputs are small"
)]

mod decode;
mod edits;
mod image;
mod input;
mod memory;
mod scenes;
mod seal;
mod segments;

pub use decode::{record, record_decode};
pub use edits::edit;
pub use image::{Image, PAD};
pub use input::Input;
pub use memory::MemoryDisk;
pub use scenes::Scene;
pub use segments::{Bounds, segment_recover};

/// Says how many bytes the process has allocated so far, whether or not it has freed them since.
///
/// What is allocated in all bounds what is held at any moment, and does not hang on the allocator's timing.
pub type Meter<'m> = &'m dyn Fn() -> u64;
