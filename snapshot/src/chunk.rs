//! The unit of shipping.
use bytes::Bytes;

use crate::Result;

/// A piece of a snapshot in transfer: a block, verbatim. It verifies itself on arrival.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// The number of the file in the manifest.
    pub file: u32,
    /// Where in the file it begins, in bytes before compression.
    pub offset: u64,
    /// The block: at most [`CHUNK_BYTES_MAX`](crate::CHUNK_BYTES_MAX) bytes.
    pub bytes: Bytes,
}

/// The chunks of a snapshot from some position on, in order, read ahead.
#[derive(Debug)]
pub struct Chunks(());

impl Iterator for Chunks {
    type Item = Result<Chunk>;

    fn next(&mut self) -> Option<Result<Chunk>> {
        unimplemented!()
    }
}
