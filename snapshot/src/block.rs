//! Unfinished.
/// The largest chunk of a transfer, in bytes.
pub const CHUNK_BYTES_MAX: usize = 512 << 10;
