//! `Opened`: a container whose header and manifest are verified.

use std::{
    io,
    sync::{Arc, Weak},
};

use bytes::Bytes;
use logboom_disk::{File, Mode, Pool, Slice};
use parking_lot::Mutex;

use crate::{
    block::{BlockHeader, HEADER},
    error::{Error, Result},
    header::Header,
    manifest::{Manifest, padded},
    medium::{Medium, complete_name},
    registered::Registered,
};

/// A complete snapshot in the directory.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) shard: u64,
    pub(crate) registered: Registered,
    /// The opened container, while it is in use.
    pub(crate) opened: Cache,
}

impl Entry {
    pub(crate) fn lease_key(&self) -> (u64, u64, u64) {
        (self.shard, self.registered.index, self.registered.file)
    }
}

/// A container, ready to be read.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) file: Arc<dyn File>,
    pub(crate) manifest: Arc<Manifest>,
    pub(crate) manifest_bytes: Bytes,
    /// Where each block begins, and at the end where the last one ends.
    places: Vec<u64>,
}

/// A cache of an opened container, kept while it is in use.
#[derive(Debug, Default)]
pub(crate) struct Cache(Mutex<Weak<Opened>>);

impl Cache {
    pub(crate) fn of(opened: &Arc<Opened>) -> Self {
        Self(Mutex::new(Arc::downgrade(opened)))
    }

    /// The opened container of the entry; opens it if needed.
    pub(crate) fn get(&self, medium: &Medium, entry: &Entry) -> Result<Arc<Opened>> {
        let mut known = self.0.lock();
        if let Some(opened) = known.upgrade() {
            return Ok(opened);
        }
        let opened = Arc::new(Opened::read(medium, entry)?);
        *known = Arc::downgrade(&opened);
        Ok(opened)
    }
}

impl Opened {
    /// The container of this manifest in a file that was just written.
    pub(crate) fn new(file: Arc<dyn File>, manifest: Arc<Manifest>, manifest_bytes: Bytes, pad: usize) -> Self {
        Self { file, manifest_bytes, places: places(&manifest, pad as u64), manifest }
    }

    /// The block's offset, and its length without and with padding.
    pub(crate) fn place(&self, block: usize) -> Option<(u64, usize, usize)> {
        let (start, end) = (*self.places.get(block)?, *self.places.get(block + 1)?);
        let len = HEADER + self.manifest.blocks.get(block)?.stored as usize;
        Some((start, len, usize::try_from(end - start).ok()?))
    }

    /// The header of a container, if it is intact.
    pub(crate) fn header(medium: &Medium, number: u64) -> Option<Header> {
        let file = medium.disk.open(&complete_name(number), Mode::Read).ok()?;
        let beginning = read_some(&*file, &medium.pool, 0, medium.pad(), medium.pad()).ok()?;
        Header::decode(&beginning, medium.log).ok()?
    }

    /// Verifies that the bytes are this block, as it was written.
    pub(crate) fn check(&self, block: usize, bytes: &[u8]) -> Result<BlockHeader> {
        let bad = |what: &str| self.damaged(format!("block {block}: {what}"));
        let manifest = &self.manifest;
        let (Some((file, number)), Some(info)) = (manifest.file_of(block), manifest.blocks.get(block)) else {
            return Err(bad("the manifest does not have it"));
        };
        let header = BlockHeader::decode(bytes, manifest.id).ok_or_else(|| bad("its header"))?;
        let expected = (file, number, manifest.raw_len(file, number), info.stored, info.crc);
        let found = (header.file, header.number, header.raw as usize, header.stored, crate::block::u32_at(bytes, 0));
        if found != expected {
            return Err(bad("it is another"));
        }
        let stored = bytes.get(HEADER..HEADER + header.stored as usize).ok_or_else(|| bad("its end is missing"))?;
        if crc32fast::hash(stored) != header.stored_crc {
            return Err(bad("its bytes"));
        }
        Ok(header)
    }

    pub(crate) fn damaged(&self, what: impl Into<Arc<str>>) -> Error {
        Error::Damaged { shard: self.manifest.shard, id: self.manifest.id, what: what.into() }
    }

    fn read(medium: &Medium, entry: &Entry) -> Result<Self> {
        let reading = Reading::new(medium, entry)?;
        let header = reading.header()?;
        let manifest_bytes = reading.manifest(&header)?;
        let manifest = Manifest::decode(&manifest_bytes)?;
        let places = places(&manifest, header.pad.into());
        if manifest.shard != entry.shard || places.last() != Some(&header.manifest_at) {
            return Err(reading.damaged("its manifest does not fit it"));
        }
        Ok(Self { file: reading.file, manifest: Arc::new(manifest), manifest_bytes: manifest_bytes.into(), places })
    }
}

/// A container before anything of it is verified.
struct Reading<'r> {
    medium: &'r Medium,
    entry: &'r Entry,
    name: String,
    file: Arc<dyn File>,
}

impl<'r> Reading<'r> {
    fn new(medium: &'r Medium, entry: &'r Entry) -> Result<Self> {
        let name = complete_name(entry.registered.file);
        match medium.disk.open(&name, Mode::Read) {
            Ok(file) => Ok(Self { medium, entry, name, file }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(Error::Missing { shard: entry.shard, id: entry.registered.id })
            }
            Err(error) => Err(Error::io(format!("opening {name}"), error)),
        }
    }

    fn header(&self) -> Result<Header> {
        let pad = self.medium.pad();
        let header = Header::decode(&self.read(0, pad)?, self.medium.log)?;
        let header = header.ok_or_else(|| self.damaged("its header"))?;
        if (header.shard, header.registered) != (self.entry.shard, self.entry.registered) {
            return Err(self.damaged("it is another's"));
        }
        // The container was written for a device with smaller pad units, and copied here as a file.
        if header.pad == 0 || !(header.pad as usize).is_multiple_of(pad) {
            let what = format!("reading {}, which is padded to {} bytes, by {pad}", self.name, header.pad);
            return Err(Error::io(what, io::ErrorKind::Unsupported.into()));
        }
        Ok(header)
    }

    fn manifest(&self, header: &Header) -> Result<Vec<u8>> {
        let size = self.file.size().map_err(|error| self.failed(error))?;
        let end = header.manifest_at.checked_add(header.manifest_len);
        let fits = end.is_some_and(|end| end <= size) && header.manifest_at.is_multiple_of(header.pad.into());
        let len = usize::try_from(header.manifest_len).ok().filter(|_| fits);
        let len = len.ok_or_else(|| self.damaged("it ends too early"))?;
        let mut bytes = Vec::with_capacity(len);
        while bytes.len() < len {
            let piece = (len - bytes.len()).min(PIECE);
            bytes.extend_from_slice(&self.read(header.manifest_at + bytes.len() as u64, piece)?[..piece]);
        }
        if crc32fast::hash(&bytes) != self.entry.registered.manifest_crc {
            return Err(self.damaged("its manifest"));
        }
        Ok(bytes)
    }

    fn read(&self, offset: u64, len: usize) -> Result<Slice> {
        let read = read_some(&*self.file, &self.medium.pool, offset, len, self.medium.pad());
        read.map_err(|error| self.failed(error))
    }

    fn failed(&self, error: io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => self.damaged("it ends too early"),
            _ => Error::io(format!("reading {}", self.name), error),
        }
    }

    fn damaged(&self, what: &str) -> Error {
        let what = format!("{}: {what}", self.name).into();
        Error::Damaged { shard: self.entry.shard, id: self.entry.registered.id, what }
    }
}

/// The most bytes of a manifest per read.
const PIECE: usize = 1 << 20;

/// Where each block begins, and where the last one ends.
fn places(manifest: &Manifest, pad: u64) -> Vec<u64> {
    let mut end = pad;
    let mut places = Vec::with_capacity(manifest.blocks.len() + 1);
    for block in &manifest.blocks {
        places.push(end);
        end += padded(block.stored, pad);
    }
    places.push(end);
    places
}

/// Reads whole pad units that begin with the `len` bytes at `offset`.
fn read_some(file: &dyn File, pool: &Pool, offset: u64, len: usize, pad: usize) -> io::Result<Slice> {
    let mut region = pool.region(len.next_multiple_of(pad));
    file.read_at(&mut region, offset)?;
    Ok(region.freeze())
}
