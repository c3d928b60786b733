//! A disk in memory, without a simulation of time or crashes: cheap inputs let a fuzzer try many.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use logboom_disk::{Disk, Facts, File, InlineQueue, Mode, Queue, Region, SimDisk, Slice, Sync};
use parking_lot::Mutex;

use super::{Image, PAD, fixtures::options};

/// The largest file, in bytes.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// A directory in memory. Every write is durable at once.
#[derive(Debug)]
pub struct MemoryDisk {
    files: Mutex<BTreeMap<String, Arc<Content>>>,
    read_bytes: Arc<AtomicU64>,
    facts: Facts,
}

#[derive(Debug, Default)]
struct Content(Mutex<Vec<u8>>);

#[derive(Debug)]
struct MemoryFile {
    name: String,
    content: Arc<Content>,
    writable: bool,
    read_bytes: Arc<AtomicU64>,
}

impl MemoryDisk {
    /// A disk with the files of an image.
    pub fn new(image: Image) -> Arc<Self> {
        let files = image.files.into_iter().map(|(name, bytes)| (name, Arc::new(Content(Mutex::new(bytes)))));
        Arc::new(Self {
            files: Mutex::new(files.collect()),
            read_bytes: Arc::default(),
            facts: SimDisk::new(0, Image::options()).facts().clone(),
        })
    }

    /// The bytes of all files; a truncated segment counts with its whole size.
    ///
    /// The log reads a segment by the size in its options and meets the end of the file on the way, so a short segment
    /// costs as much as a whole one.
    pub fn bytes(&self) -> u64 {
        let segment_bytes = |name: &str| if name.starts_with("segment-") { options().segment_bytes } else { 0 };
        let files = self.files.lock();
        files.iter().map(|(name, content)| (content.0.lock().len() as u64).max(segment_bytes(name))).sum()
    }

    /// Whether there is such a file.
    pub fn has(&self, name: &str) -> bool {
        self.files.lock().contains_key(name)
    }

    /// The number of bytes read so far.
    pub fn read_bytes(&self) -> u64 {
        self.read_bytes.load(Ordering::Relaxed)
    }
}

impl Disk for MemoryDisk {
    fn open(&self, name: &str, mode: Mode) -> io::Result<Arc<dyn File>> {
        let mut files = self.files.lock();
        if mode == Mode::Create {
            if files.contains_key(name) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            files.insert(name.to_owned(), Arc::default());
        }
        let content = files.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(MemoryFile {
            name: name.to_owned(),
            content: Arc::clone(content),
            writable: mode != Mode::Read,
            read_bytes: Arc::clone(&self.read_bytes),
        }))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.files.lock().keys().cloned().collect())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = self.files.lock();
        let content = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), content);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.files.lock().remove(name).map(drop).ok_or(io::ErrorKind::NotFound.into())
    }

    fn sync_dir(&self) -> io::Result<()> {
        Ok(())
    }

    fn queue(&self) -> io::Result<Box<dyn Queue>> {
        Ok(Box::new(InlineQueue::default()))
    }

    fn facts(&self) -> &Facts {
        &self.facts
    }
}

impl File for MemoryFile {
    fn name(&self) -> &str {
        &self.name
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.content.0.lock().len() as u64)
    }

    fn allocate(&self, size: u64) -> io::Result<()> {
        if size > FILE_BYTES_MAX {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let mut bytes = self.content.0.lock();
        let size = bytes.len().max(size as usize);
        bytes.resize(size, 0);
        Ok(())
    }

    fn write_at(&self, slices: &[Slice], offset: u64, _: Sync) -> io::Result<()> {
        assert!(self.writable, "{} was opened for reading", self.name);
        let mut bytes = self.content.0.lock();
        let mut at = offset as usize;
        for slice in slices {
            assert!(at.is_multiple_of(PAD) && slice.len().is_multiple_of(PAD), "{} bytes at {at}", slice.len());
            bytes[at..at + slice.len()].copy_from_slice(slice);
            at += slice.len();
        }
        Ok(())
    }

    fn read_at(&self, region: &mut Region, offset: u64) -> io::Result<()> {
        let (at, len) = (offset as usize, region.len());
        assert!(at.is_multiple_of(PAD) && len.is_multiple_of(PAD), "{len} bytes at {at}");
        let bytes = self.content.0.lock();
        // A forged LOGBOOM may state larger segments: nothing is read past the end of a file.
        let there = bytes.len().saturating_sub(at).min(len);
        self.read_bytes.fetch_add(there as u64, Ordering::Relaxed);
        region.copy_from_slice(bytes.get(at..at + len).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        Ok(())
    }
}
