//! The right to read a snapshot.

use std::{path::Path, sync::Arc};

use bytes::Bytes;

use crate::{
    chunk::{Chunk, Chunks},
    error::{Error, Result},
    export,
    fetch::{Fetch, read_block},
    manifest::Manifest,
    opened::Opened,
    progress::Progress,
    reader::Reader,
    receiver::Position,
    shared::{Entry, Shared},
    stop::Stop,
};

/// The right to read a snapshot: while any lease of it lives, its file is not deleted, whatever replaces it, and the
/// shard's log above its index is kept.
///
/// Clones are leases of their own. Any thread may use and drop them.
#[derive(Debug)]
pub struct Lease {
    pub(crate) shared: Arc<Shared>,
    entry: Arc<Entry>,
    pub(crate) opened: Arc<Opened>,
}

impl Lease {
    /// Takes over a lease that was counted already.
    pub(crate) fn new(shared: Arc<Shared>, entry: Arc<Entry>, opened: Arc<Opened>) -> Self {
        Self { shared, entry, opened }
    }

    /// What the snapshot is and consists of.
    pub fn manifest(&self) -> &Arc<Manifest> {
        &self.opened.manifest
    }

    /// The manifest as it is sent ahead of the chunks, to [`Store::receive`](crate::Store::receive).
    pub fn manifest_bytes(&self) -> Bytes {
        self.opened.manifest_bytes.clone()
    }

    /// Opens a file of the snapshot.
    ///
    /// # Errors
    /// [`Error::Absent`].
    pub fn open(&self, name: &str) -> Result<Reader> {
        let (file, _) = self.manifest().file(name).ok_or_else(|| Error::Absent { what: format!("{name:?}").into() })?;
        Ok(Reader::new(self.clone(), file))
    }

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

    /// Reads the whole snapshot and compares every checksum.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Io`], [`Error::Stopped`].
    pub fn verify(&self, stop: &Stop, progress: &Progress) -> Result<()> {
        progress.set_total(self.manifest().bytes());
        (0..).zip(&self.manifest().files).try_for_each(|(file, _)| {
            let mut reader = Reader::new(self.clone(), file);
            while let Some(len) = reader.pass_block()? {
                stop.check()?;
                progress.add(len as u64);
            }
            Ok(())
        })
    }

    /// Writes the snapshot's files into `dir`, which must not exist yet or be empty, under their names. Durable on
    /// return; after an error, what it wrote is removed.
    ///
    /// # Errors
    /// As [`Lease::verify`].
    pub fn export(&self, dir: &Path, stop: &Stop, progress: &Progress) -> Result<()> {
        progress.set_total(self.manifest().bytes());
        export::export(self, dir, stop, progress)
    }

    fn block_at(&self, at: Position) -> Result<usize> {
        let absent = || Error::Absent { what: format!("a chunk of file {} at {}", at.file, at.offset).into() };
        self.manifest().block_at(at).ok_or_else(absent)
    }
}

impl Clone for Lease {
    fn clone(&self) -> Self {
        self.shared.lease_again(&self.entry);
        Self::new(Arc::clone(&self.shared), Arc::clone(&self.entry), Arc::clone(&self.opened))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.shared.release(&self.entry);
    }
}
