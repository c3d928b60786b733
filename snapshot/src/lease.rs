//! The right to read a registered snapshot.
use std::{path::Path, sync::Arc};

use bytes::Bytes;

use crate::{Chunk, Chunks, Manifest, Position, Progress, Reader, Result, Stop};

/// The right to read a registered snapshot: while any lease of it lives, its file is not deleted, whatever replaces
/// it, and the shard's log above its index is kept.
///
/// Clones are leases of their own. Any thread may use and drop them.
#[derive(Clone, Debug)]
pub struct Lease(());

impl Lease {
    /// What the snapshot is and consists of.
    pub fn manifest(&self) -> &Arc<Manifest> {
        unimplemented!()
    }

    /// The manifest as it is sent ahead of the chunks, to [`Store::receive`](crate::Store::receive).
    pub fn manifest_bytes(&self) -> Bytes {
        unimplemented!()
    }

    /// Opens a file of the snapshot.
    ///
    /// # Errors
    /// [`Error::Absent`](crate::Error::Absent).
    pub fn open(&self, name: &str) -> Result<Reader> {
        let _ = name;
        unimplemented!()
    }

    /// The chunk that a receiver asks for: the one at its [`Receiver::position`](crate::Receiver::position).
    ///
    /// # Errors
    /// [`Error::Absent`](crate::Error::Absent) for a place that none begins at; those of reading.
    pub fn chunk(&self, at: Position) -> Result<Chunk> {
        let _ = at;
        unimplemented!()
    }

    /// The chunks from `at` on, or all of them, in order, read ahead: what a sender pushes.
    ///
    /// # Errors
    /// As [`Lease::chunk`].
    pub fn chunks(&self, at: Option<Position>) -> Result<Chunks> {
        let _ = at;
        unimplemented!()
    }

    /// Reads the whole snapshot and compares every checksum.
    ///
    /// # Errors
    /// [`Error::Damaged`](crate::Error::Damaged), [`Error::Io`](crate::Error::Io),
    /// [`Error::Stopped`](crate::Error::Stopped).
    pub fn verify(&self, stop: &Stop, progress: &Progress) -> Result<()> {
        let _ = (stop, progress);
        unimplemented!()
    }

    /// Writes the snapshot's files into `dir`, a directory that does not exist yet or is empty, under their names.
    /// Durable on return; after an error, what it wrote is removed.
    ///
    /// # Errors
    /// As [`Lease::verify`].
    pub fn export(&self, dir: &Path, stop: &Stop, progress: &Progress) -> Result<()> {
        let _ = (dir, stop, progress);
        unimplemented!()
    }
}
