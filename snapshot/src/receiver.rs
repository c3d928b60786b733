//! `Receiver`: receives a snapshot, chunk by chunk.

use std::sync::Arc;

use crate::{
    block::{BlockHeader, HEADER, joined_crc, seal},
    built::Built,
    chunk::Chunk,
    draft::Draft,
    error::{Error, Result},
    manifest::Manifest,
    position::Position,
    progress::Progress,
    stop::Stop,
};

/// A snapshot that is being received, chunk by chunk, pushed by a sender or requested from it.
///
/// It may move between threads. Dropping it, or an error of the device, removes everything received. It does not
/// outlive the process: opening the log removes partially received files.
#[derive(Debug)]
#[must_use = "what was received is removed unless it is finished"]
pub struct Receiver {
    draft: Draft,
    manifest: Arc<Manifest>,
    manifest_bytes: Vec<u8>,
    /// The block that must arrive next.
    next: usize,
    /// The checksum of its file so far.
    crc: u32,
    stop: Stop,
    progress: Progress,
    failed: Option<Error>,
}

impl Receiver {
    pub(crate) fn new(mut draft: Draft, manifest: Manifest, manifest_bytes: &[u8], stop: &Stop) -> Result<Self> {
        draft.reserve(&manifest, manifest_bytes.len())?;
        Ok(Self {
            draft,
            progress: Progress::of_total(manifest.bytes()),
            manifest: Arc::new(manifest),
            manifest_bytes: manifest_bytes.to_vec(),
            next: 0,
            crc: 0,
            stop: stop.clone(),
            failed: None,
        })
    }

    /// The manifest of the snapshot.
    pub fn manifest(&self) -> &Arc<Manifest> {
        &self.manifest
    }

    /// The manifest as it was sent ahead.
    pub fn manifest_bytes(&self) -> &[u8] {
        &self.manifest_bytes
    }

    /// The position that must arrive next, where an interrupted transfer continues; `None` when everything has arrived.
    pub fn position(&self) -> Option<Position> {
        self.manifest.position_of(self.next)
    }

    /// The progress of the transfer.
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// Verifies and takes a chunk. Returns false for one that arrived before, which is skipped.
    ///
    /// # Errors
    /// [`Error::OutOfOrder`], [`Error::Foreign`] and [`Error::Damaged`] leave the transfer unchanged; any other error
    /// ends it.
    pub fn accept(&mut self, chunk: &Chunk) -> Result<bool> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let block = self.manifest.block_at(chunk.position());
        let block = block.ok_or_else(|| foreign("the snapshot has no such place"))?;
        if block < self.next {
            return Ok(false);
        }
        let header = self.check(block, &chunk.bytes)?;
        if block > self.next {
            let wanted = self.position().unwrap_or(chunk.position());
            return Err(Error::OutOfOrder { file: wanted.file, offset: wanted.offset });
        }
        let crc = self.whole(&header)?;
        let written = self.stop.check().and_then(|()| self.write(&header, &chunk.bytes));
        self.failed = written.as_ref().err().cloned();
        written?;
        self.crc = crc;
        self.next += 1;
        self.progress.add(header.raw.into());
        Ok(true)
    }

    /// Completes the snapshot, as [`Builder::finish`](crate::Builder::finish) does.
    ///
    /// # Errors
    /// [`Error::Incomplete`]; those of the device; [`Error::Stopped`].
    pub fn finish(self) -> Result<Built> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if let Some(at) = self.position() {
            return Err(Error::Incomplete { file: at.file, offset: at.offset });
        }
        self.stop.check()?;
        self.draft.publish(Arc::unwrap_or_clone(self.manifest), self.manifest_bytes)
    }

    /// Verifies that the bytes are this block of this snapshot, by the checksum in the manifest.
    fn check(&self, block: usize, bytes: &[u8]) -> Result<BlockHeader> {
        let header = BlockHeader::decode(bytes, self.manifest.id).ok_or_else(|| self.foreign(bytes))?;
        let (file, number) = self.manifest.file_of(block).unwrap_or_default();
        let known = self.manifest.blocks.get(block).map(|known| (known.stored, known.crc));
        let found = (header.stored, crate::block::u32_at(bytes, 0));
        let place = (header.file, header.number, header.raw as usize) == (file, number, self.raw_len(file, number));
        if known != Some(found) || !place {
            return Err(foreign("another block"));
        }
        if bytes.len() != HEADER + header.stored as usize || crc32fast::hash(&bytes[HEADER..]) != header.stored_crc {
            return Err(self.damaged(format!("chunk of file {file} with number {number}")));
        }
        Ok(header)
    }

    /// The checksum of the file including this block, which must match the manifest at the file's end.
    fn whole(&self, header: &BlockHeader) -> Result<u32> {
        let before = if header.number == 0 { 0 } else { self.crc };
        let crc = joined_crc(before, header.raw_crc, header.raw.into());
        let Some(file) = self.manifest.files.get(header.file as usize) else { return Ok(crc) };
        let upto = u64::from(header.number) * crate::block::RAW_BYTES as u64 + u64::from(header.raw);
        if upto == file.len && crc != file.crc {
            return Err(self.damaged(format!("the file {:?} as a whole", file.name)));
        }
        Ok(crc)
    }

    fn write(&mut self, header: &BlockHeader, bytes: &[u8]) -> Result<()> {
        let shared = self.draft.shared();
        let mut region = shared.medium.pool.region(bytes.len().next_multiple_of(shared.medium.pad()));
        region[HEADER..bytes.len()].copy_from_slice(&bytes[HEADER..]);
        let slice = seal(region, &header.encode().0, bytes.len(), shared.medium.pad());
        self.draft.write(slice)
    }

    fn raw_len(&self, file: u32, number: u32) -> usize {
        self.manifest.raw_len(file, number)
    }

    /// The error for a chunk that is no intact block of this snapshot.
    fn foreign(&self, bytes: &[u8]) -> Error {
        let Manifest { shard, id, .. } = *self.manifest;
        let found = match BlockHeader::snapshot_of(bytes) {
            Some(other) if other != id => format!("the chunk is of snapshot {other:016x}"),
            _ => "the chunk has no intact header".to_owned(),
        };
        let what = format!("{found}, and one of shard {shard}, snapshot {id:016x} is expected");
        Error::Foreign { what: what.into() }
    }

    fn damaged(&self, what: String) -> Error {
        Error::Damaged { shard: self.manifest.shard, id: self.manifest.id, what: what.into() }
    }
}

fn foreign(what: &'static str) -> Error {
    Error::Foreign { what: what.into() }
}
