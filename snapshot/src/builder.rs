//! `Builder`: writes streams of bytes as blocks of a container.

use std::io::{self, Write};

use logboom_disk::Region;

use crate::{
    block::{BlockHeader, CHUNK_BYTES_MAX, HEADER, RAW_BYTES, joined_crc, seal},
    built::Built,
    codec,
    draft::Draft,
    error::{Error, Result, What},
    manifest::{BlockInfo, FileInfo, Manifest, Names},
    progress::Progress,
    spec::{FILES_MAX, Spec},
    stop::Stop,
};

/// Bytes that are copied and then checksummed at once, while they are in the processor's cache.
const STRIDE: usize = 32 << 10;

/// A snapshot that is being built: its files are written one after the other, as streams, into one container.
///
/// It may move between threads. Dropping it, or an error, removes everything it wrote.
#[derive(Debug)]
#[must_use = "what was built is removed unless it is finished"]
pub struct Builder {
    draft: Draft,
    spec: Spec,
    id: u64,
    names: Names,
    files: Vec<FileInfo>,
    blocks: Vec<BlockInfo>,
    /// The open block.
    filling: Option<Filling>,
    stop: Stop,
    progress: Progress,
    failed: Option<Error>,
}

#[derive(Debug)]
struct Filling {
    region: Region,
    /// Of the file.
    len: usize,
    crc: crc32fast::Hasher,
}

/// Writes one file of a snapshot. Its errors have the [`Error`] as their source, and [`Builder::finish`] returns the
/// first again.
#[derive(Debug)]
pub struct FileWriter<'b>(&'b mut Builder);

impl Builder {
    pub(crate) fn new(draft: Draft, spec: Spec, stop: &Stop) -> Self {
        Self {
            id: draft.shared().host.nonce(),
            draft,
            spec,
            names: Names::default(),
            files: Vec::new(),
            blocks: Vec::new(),
            filling: None,
            stop: stop.clone(),
            progress: Progress::default(),
            failed: None,
        }
    }

    /// Begins the next file and ends the previous one. Written bytes belong to the file at once; there is nothing to
    /// flush.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::TooLarge`] for too many files: nothing has changed then. Any other error is that of an
    /// earlier write.
    pub fn file(&mut self, name: &str) -> Result<FileWriter<'_>> {
        crate::spec::check_size(What::Files, self.files.len() + 1, FILES_MAX)?;
        self.flush()?;
        self.names.add(name)?;
        let first_block = self.blocks.len();
        self.files.push(FileInfo { name: name.to_owned(), len: 0, crc: 0, first_block });
        Ok(FileWriter(self))
    }

    /// The progress of the build.
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// Completes the snapshot: on return its file is durable under its final name, but not yet registered for a shard.
    ///
    /// # Errors
    /// The first error of any write; those of the device; [`Error::Stopped`].
    pub fn finish(mut self) -> Result<Built> {
        self.flush()?;
        self.stop.check()?;
        let manifest = Manifest {
            shard: self.spec.shard,
            index: self.spec.index,
            term: self.spec.term,
            id: self.id,
            membership: self.spec.membership.into(),
            metadata: self.spec.metadata.into(),
            files: self.files,
            blocks: self.blocks,
        };
        let bytes = manifest.encode()?;
        self.draft.publish(manifest, bytes)
    }

    /// Copies as many of `bytes` as the open block has room for, and writes the block when it is full.
    fn put(&mut self, bytes: &[u8]) -> Result<usize> {
        let pool = &self.draft.shared().medium.pool;
        let filling = self.filling.get_or_insert_with(|| Filling::new(pool.region(CHUNK_BYTES_MAX)));
        let taken = filling.put(bytes);
        if filling.len == RAW_BYTES {
            self.flush()?;
        }
        Ok(taken)
    }

    /// Writes the open block, if it has any bytes.
    fn flush(&mut self) -> Result<()> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let Some(filling) = self.filling.take() else { return Ok(()) };
        let flushed = self.stop.check().and_then(|()| self.write(filling));
        self.failed = flushed.as_ref().err().cloned();
        flushed
    }

    fn write(&mut self, mut filling: Filling) -> Result<()> {
        let file = u32::try_from(self.files.len().saturating_sub(1)).unwrap_or(u32::MAX);
        let Some(info) = self.files.last_mut() else { return Ok(()) };
        let number = u32::try_from(self.blocks.len() - info.first_block).map_err(|_| too_large(info.len))?;
        let raw_crc = filling.crc.clone().finalize();
        info.len += filling.len as u64;
        info.crc = joined_crc(info.crc, raw_crc, filling.len as u64);
        let mut header = BlockHeader {
            snapshot: self.id,
            file,
            number,
            raw: u32::try_from(filling.len).unwrap_or(u32::MAX),
            stored: 0,
            stored_crc: raw_crc,
            raw_crc,
            codec: codec::RAW,
        };
        let mut stored = filling.len;
        if let Some((smaller, codec, len)) = self.compress(&filling) {
            header.stored_crc = crc32fast::hash(&smaller[HEADER..HEADER + len]);
            (filling.region, header.codec, stored) = (smaller, codec, len);
        }
        header.stored = u32::try_from(stored).unwrap_or(u32::MAX);
        let (bytes, crc) = header.encode();
        self.blocks.push(BlockInfo { stored: header.stored, crc });
        self.draft.write(seal(filling.region, &bytes, HEADER + stored, self.draft.shared().medium.pad()))?;
        self.progress.add(header.raw.into());
        Ok(())
    }

    /// The block's content, compressed, behind room for a header.
    fn compress(&self, filling: &Filling) -> Option<(Region, u8, usize)> {
        if self.spec.codec == crate::spec::Codec::None {
            return None;
        }
        let shared = self.draft.shared();
        let room = HEADER + codec::bound(self.spec.codec, filling.len);
        let mut region = shared.medium.pool.region(room.next_multiple_of(shared.medium.pad()));
        let raw = &filling.region[HEADER..HEADER + filling.len];
        let (codec, len) = codec::compress(self.spec.codec, raw, &mut region[HEADER..])?;
        Some((region, codec, len))
    }
}

impl Filling {
    fn new(region: Region) -> Self {
        Self { region, len: 0, crc: crc32fast::Hasher::new() }
    }

    fn put(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(RAW_BYTES - self.len);
        for piece in bytes[..taken].chunks(STRIDE) {
            let at = HEADER + self.len;
            self.region[at..at + piece.len()].copy_from_slice(piece);
            self.crc.update(piece);
            self.len += piece.len();
        }
        taken
    }
}

impl Write for FileWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        Ok(self.0.put(bytes)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn too_large(size: u64) -> Error {
    Error::TooLarge { what: What::File, size, limit: u64::from(u32::MAX) * RAW_BYTES as u64 }
}
