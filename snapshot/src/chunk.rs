//! `Chunk`: the unit of transfer.

use bytes::Bytes;

use crate::{
    error::{Error, Result},
    fetch::{Fetch, read_block},
    lease::Lease,
    position::Position,
};

/// A piece of a snapshot in transfer: a block, byte for byte. The receiver verifies it on arrival.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// The number of the file in the manifest.
    pub file: u32,
    /// Its offset in the file, in bytes before compression.
    pub offset: u64,
    /// The block: at most [`CHUNK_BYTES_MAX`](crate::CHUNK_BYTES_MAX) bytes.
    pub bytes: Bytes,
}

impl Lease {
    /// The chunk at a receiver's [`Receiver::position`](crate::Receiver::position).
    ///
    /// # Errors
    /// [`Error::Absent`] if no chunk begins there; [`Error::Damaged`], [`Error::Io`].
    pub fn chunk(&self, at: Position) -> Result<Chunk> {
        let block = read_block(self, self.block_at(at)?)?;
        Ok(Chunk { file: at.file, offset: at.offset, bytes: block.bytes })
    }

    /// The chunks from `at` on, in order and read ahead, for a sender that pushes. `None` starts at the first chunk;
    /// note that a receiver's position of `None` means that it is complete.
    ///
    /// # Errors
    /// [`Error::Absent`] if no chunk begins there.
    pub fn chunks(&self, at: Option<Position>) -> Result<Chunks> {
        let first = at.map_or(Ok(0), |at| self.block_at(at))?;
        Ok(Chunks::new(Fetch::new(self.clone(), first..self.manifest().blocks.len())))
    }

    fn block_at(&self, at: Position) -> Result<usize> {
        let absent = || Error::Absent { what: format!("a chunk of file {} at {}", at.file, at.offset).into() };
        self.manifest().block_at(at).ok_or_else(absent)
    }
}

impl Chunk {
    /// The position of the chunk.
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
