//! The unit of shipping.

use bytes::Bytes;

use crate::{error::Result, fetch::Fetch, receiver::Position};

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

impl Chunk {
    /// Where it belongs.
    pub fn position(&self) -> Position {
        Position { file: self.file, offset: self.offset }
    }
}

/// The chunks of a snapshot from some position on, in order, read ahead. It holds the lease.
#[derive(Debug)]
pub struct Chunks(Fetch);

impl Chunks {
    pub(crate) fn new(fetch: Fetch) -> Self {
        Self(fetch)
    }
}

impl Iterator for Chunks {
    type Item = Result<Chunk>;

    fn next(&mut self) -> Option<Result<Chunk>> {
        let block = self.0.next()?;
        Some(block.map(|block| {
            let offset = u64::from(block.header.number) * crate::block::RAW_BYTES as u64;
            Chunk { file: block.header.file, offset, bytes: block.bytes }
        }))
    }
}
