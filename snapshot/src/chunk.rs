//! The unit of shipping.

use bytes::Bytes;

use crate::{
    error::{Error, Result},
    fetch::{Fetch, read_block},
    lease::Lease,
    position::Position,
};

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

impl Lease {
    /// The chunk that a receiver asks for: the one at its [`Receiver::position`](crate::Receiver::position).
    ///
    /// # Errors
    /// [`Error::Absent`] for a place that none begins at; [`Error::Damaged`], [`Error::Io`].
    pub fn chunk(&self, at: Position) -> Result<Chunk> {
        let block = read_block(self, self.block_at(at)?)?;
        Ok(Chunk { file: at.file, offset: at.offset, bytes: block.bytes })
    }

    /// The chunks from `at` on, in order, read ahead: what a sender pushes. `None` is for all of them; a receiver whose
    /// position is `None` wants none any more.
    ///
    /// # Errors
    /// [`Error::Absent`] for a place that none begins at.
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
