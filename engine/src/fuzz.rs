//! Properties that hold for arbitrary bytes: the bodies of the fuzz targets, and of the test that replays
//! their corpus. How they begin with what a program wrote, and why checksums are made good, is said in
//! [`logboom_wal::fuzz`].
//!
//! Compiled with the feature `fuzz` only, and no part of what the crate promises.

#![expect(
    clippy::cast_possible_truncation,
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "a body exists to panic where something does not hold, and its own inputs are small"
)]

mod archives;
mod containers;
mod engines;
mod records;
mod fixtures;

pub use archives::metadata_archive;
pub use containers::snapshot_container;
pub use records::record_decode;
