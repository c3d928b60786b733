//! `Position`: a place in a transfer.

/// The place where a transfer continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The number of the file in the manifest.
    pub file: u32,
    /// The offset in the file, in bytes before compression.
    pub offset: u64,
}
