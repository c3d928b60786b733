//! `Reader`: reads a file of a snapshot as a stream.

use std::io::{self, Read, Seek, SeekFrom};

use bytes::Bytes;

use crate::{
    block::{Block, HEADER, RAW_BYTES, joined_crc},
    codec,
    error::{Error, Result},
    fetch::Fetch,
    lease::Lease,
    manifest::FileInfo,
    progress::Progress,
    stop::Stop,
};

/// A stream over one file of a leased snapshot, with read-ahead. Each block is verified before its bytes are returned;
/// the file's checksum is verified when it is read from beginning to end. Holds the lease.
#[derive(Debug)]
pub struct Reader {
    fetch: Fetch,
    lease: Lease,
    file: u32,
    /// The offset of the next byte.
    position: u64,
    /// The content of the current block, decompressed, and its offset in the file.
    bytes: Bytes,
    bytes_at: u64,
    /// The checksum of the file so far, while no byte was skipped; and how far it reaches.
    crc: Option<(u32, u64)>,
}

impl Lease {
    /// Opens a file of the snapshot.
    ///
    /// # Errors
    /// [`Error::Absent`].
    pub fn open(&self, name: &str) -> Result<Reader> {
        let (file, _) = self.manifest().file(name).ok_or_else(|| Error::Absent { what: format!("{name:?}").into() })?;
        Ok(Reader::new(self.clone(), file))
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
}

impl Reader {
    pub(crate) fn new(lease: Lease, file: u32) -> Self {
        let fetch = Fetch::new(lease.clone(), blocks(&lease, file, 0));
        Self { fetch, lease, file, position: 0, bytes: Bytes::new(), bytes_at: 0, crc: Some((0, 0)) }
    }

    /// The file's length in bytes.
    #[expect(clippy::len_without_is_empty, reason = "a length of a file, not of a collection")]
    pub fn len(&self) -> u64 {
        self.info().map_or(0, |info| info.len)
    }

    /// Moves to the end of the next block and returns its length; `None` at the end of the file.
    pub(crate) fn pass_block(&mut self) -> Result<Option<usize>> {
        if !self.fill()? {
            return Ok(None);
        }
        let passed = self.rest().len();
        self.position += passed as u64;
        Ok(Some(passed))
    }

    /// The bytes of the current block from the position on.
    pub(crate) fn rest(&self) -> &[u8] {
        let skipped = self.position.checked_sub(self.bytes_at).and_then(|skipped| usize::try_from(skipped).ok());
        skipped.and_then(|skipped| self.bytes.get(skipped..)).unwrap_or_default()
    }

    /// Loads the block at the position; false at the end of the file.
    pub(crate) fn fill(&mut self) -> Result<bool> {
        while self.rest().is_empty() {
            if self.position >= self.len() {
                return Ok(false);
            }
            let Some(block) = self.fetch.next() else {
                return Err(self.lease.opened.damaged("a file ends too early"));
            };
            self.take(block?)?;
        }
        Ok(true)
    }

    fn take(&mut self, block: Block) -> Result<()> {
        let header = block.header;
        self.bytes_at = u64::from(header.number) * RAW_BYTES as u64;
        self.bytes = self.decode(block)?;
        self.crc = match self.crc {
            Some((crc, upto)) if upto == self.bytes_at => {
                let len = u64::from(header.raw);
                Some((joined_crc(crc, header.raw_crc, len), upto + len))
            }
            _ => None,
        };
        match (self.crc, self.info()) {
            (Some((crc, upto)), Some(info)) if upto == info.len && crc != info.crc => {
                Err(self.lease.opened.damaged(format!("the file {:?} as a whole", info.name)))
            }
            _ => Ok(()),
        }
    }

    fn decode(&self, block: Block) -> Result<Bytes> {
        let header = block.header;
        if header.codec == codec::RAW && header.raw == header.stored {
            return Ok(block.bytes.slice(HEADER..));
        }
        let len = header.raw as usize;
        let mut region = self.lease.shared.medium.pool.region(len);
        let decoded = codec::decompress(header.codec, block.stored(), &mut region[..len])?;
        if !decoded || crc32fast::hash(&region[..len]) != header.raw_crc {
            return Err(self.lease.opened.damaged("a block that cannot be decompressed"));
        }
        Ok(region.freeze().slice(..len).into_bytes())
    }

    fn info(&self) -> Option<&FileInfo> {
        self.lease.manifest().files.get(self.file as usize)
    }
}

impl Read for Reader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() || !self.fill()? {
            return Ok(0);
        }
        let rest = self.rest();
        let len = rest.len().min(into.len());
        into[..len].copy_from_slice(&rest[..len]);
        self.position += len as u64;
        Ok(len)
    }
}

impl Seek for Reader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(by) => self.len().checked_add_signed(by),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
        };
        let before = || io::Error::new(io::ErrorKind::InvalidInput, "a place before the beginning of the file");
        self.position = position.ok_or_else(before)?;
        let number = self.position / RAW_BYTES as u64;
        if self.rest().is_empty() {
            // The blocks read ahead are useless after a seek.
            self.bytes = Bytes::new();
            self.fetch = Fetch::new(self.lease.clone(), blocks(&self.lease, self.file, number));
        }
        Ok(self.position)
    }
}

/// The blocks of a file from one on.
fn blocks(lease: &Lease, file: u32, from: u64) -> std::ops::Range<usize> {
    let manifest = lease.manifest();
    let Some(info) = manifest.files.get(file as usize) else { return 0..0 };
    let count = info.len.div_ceil(RAW_BYTES as u64);
    let at = |number: u64| info.first_block + usize::try_from(number.min(count)).unwrap_or(usize::MAX);
    at(from)..at(count)
}
