//! A container whose header and manifest were read and verified.

use std::{
    io,
    sync::{Arc, Weak},
};

use bytes::Bytes;
use logboom_disk::{File, Mode, Pool, Slice};
use parking_lot::Mutex;

use crate::{
    Error, Manifest, Result,
    block::{BlockHeader, HEADER, seeded_crc},
    header::Header,
    manifest::padded,
    shared::{Entry, Shared, complete_name},
};

/// A container, ready to be read.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) file: Arc<dyn File>,
    pub(crate) manifest: Arc<Manifest>,
    pub(crate) manifest_bytes: Bytes,
    /// Where each block begins, and at the end where the last one ends.
    places: Vec<u64>,
}

/// What was read of a container, for as long as anybody needs it.
#[derive(Debug, Default)]
pub(crate) struct Cache(Mutex<Weak<Opened>>);

impl Cache {
    pub(crate) fn of(opened: &Arc<Opened>) -> Self {
        Self(Mutex::new(Arc::downgrade(opened)))
    }

    /// What is known of the entry's container, or what is read of it now.
    pub(crate) fn get(&self, shared: &Shared, entry: &Entry) -> Result<Arc<Opened>> {
        let mut known = self.0.lock();
        if let Some(opened) = known.upgrade() {
            return Ok(opened);
        }
        let opened = Arc::new(Opened::read(shared, entry)?);
        *known = Arc::downgrade(&opened);
        Ok(opened)
    }
}

impl Opened {
    /// A container of this manifest, in a file that it was written to.
    pub(crate) fn new(file: Arc<dyn File>, manifest: Arc<Manifest>, manifest_bytes: Bytes, pad: usize) -> Self {
        let pad = u32::try_from(pad).unwrap_or(u32::MAX);
        Self { file, manifest_bytes, places: places(&manifest, pad), manifest }
    }

    /// Where the block lies, and its length without and with padding.
    pub(crate) fn place(&self, block: usize) -> Option<(u64, usize, usize)> {
        let (start, end) = (*self.places.get(block)?, *self.places.get(block + 1)?);
        let len = HEADER + self.manifest.blocks.get(block)?.stored as usize;
        Some((start, len, usize::try_from(end - start).ok()?))
    }

    /// What the header of a container says, if there is an intact one.
    pub(crate) fn header(shared: &Shared, number: u64) -> Option<Header> {
        let file = shared.disk.open(&complete_name(number), Mode::Read).ok()?;
        let beginning = read_some(&*file, &shared.pool, 0, shared.pad(), shared.pad()).ok()?;
        Header::decode(&beginning, shared.log).ok()?
    }

    /// Verifies what was read of a block: that it is this one, and as it was written.
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

    fn read(shared: &Shared, entry: &Entry) -> Result<Self> {
        let (shard, id) = (entry.shard, entry.registered.id);
        let name = complete_name(entry.registered.file);
        let damaged = |what: &str| Error::Damaged { shard, id, what: format!("{name}: {what}").into() };
        let file = match shared.disk.open(&name, Mode::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Error::Missing { shard, id }),
            opened => opened.map_err(|error| Error::io(format!("opening {name}"), error))?,
        };
        let read = |offset, len| read_some(&*file, &shared.pool, offset, len, shared.pad());
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::UnexpectedEof => damaged("it ends too early"),
            _ => Error::io(format!("reading {name}"), error),
        };
        let header = Header::decode(&read(0, shared.pad()).map_err(failed)?, shared.log)?;
        let header = header.ok_or_else(|| damaged("its header"))?;
        let pad = header.pad;
        if (header.shard, header.registered) != (shard, entry.registered) || !(pad as usize).is_power_of_two() {
            return Err(damaged("it is another's"));
        }
        let size = file.size().map_err(failed)?;
        if header.manifest_len > size || header.manifest_at > size || header.manifest_at % u64::from(pad) != 0 {
            return Err(damaged("it ends too early"));
        }
        let len = usize::try_from(header.manifest_len).map_err(|_| damaged("its header"))?;
        let manifest_bytes = read_long(len, |at, len| read(header.manifest_at + at as u64, len)).map_err(failed)?;
        if seeded_crc(&manifest_bytes, 0) != entry.registered.manifest_crc {
            return Err(damaged("its manifest"));
        }
        let manifest = Manifest::decode(&manifest_bytes)?;
        let places = places(&manifest, pad);
        if manifest.shard != shard || places.last() != Some(&header.manifest_at) {
            return Err(damaged("its manifest does not fit it"));
        }
        Ok(Self { file, manifest: Arc::new(manifest), manifest_bytes: manifest_bytes.into(), places })
    }
}

/// The most that is read of a manifest at once.
const PIECE: usize = 1 << 20;

/// Where each block begins, and where the last one ends.
fn places(manifest: &Manifest, pad: u32) -> Vec<u64> {
    let mut end = u64::from(pad);
    let mut places = Vec::with_capacity(manifest.blocks.len() + 1);
    for block in &manifest.blocks {
        places.push(end);
        end += padded(block.stored, pad);
    }
    places.push(end);
    places
}

fn read_long(len: usize, read: impl Fn(usize, usize) -> io::Result<Slice>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(len);
    while bytes.len() < len {
        let piece = (len - bytes.len()).min(PIECE);
        bytes.extend_from_slice(&read(bytes.len(), piece)?[..piece]);
    }
    Ok(bytes)
}

/// Reads whole pad units that begin with the `len` bytes at `offset`.
fn read_some(file: &dyn File, pool: &Pool, offset: u64, len: usize, pad: usize) -> io::Result<Slice> {
    let mut region = pool.region(len.next_multiple_of(pad));
    file.read_at(&mut region, offset)?;
    Ok(region.freeze())
}
