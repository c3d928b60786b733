//! The real disk: a directory of the operating system.

use std::{
    fmt, io,
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
    sync::Arc,
};

use rustix::fs::{self, AtFlags, Dir, FileType, OFlags};

use crate::{
    blocking::BlockingQueue,
    disk::{Disk, File, Mode, Queue},
    facts::{Facts, Geometry},
    lock::DirLock,
    stats::{Counters, DiskStats},
};
#[cfg(target_os = "linux")]
use crate::{buffer::Region, disk::read_each, facts::Backend, ring};

mod file;
mod open;
mod probe;

pub use open::{is_vacant, open, open_read_only};

use file::OsFile;

/// An open directory. Its queues, and its files that are open for writing, keep it locked as long as they live.
pub(crate) struct OsDisk {
    path: PathBuf,
    dir: OwnedFd,
    /// None on a disk that was opened for reading only.
    lock: Option<Arc<DirLock>>,
    facts: Facts,
    counters: Arc<Counters>,
    queue_depth: u32,
    #[cfg(target_os = "linux")]
    readers: ring::Readers,
}

impl Disk for OsDisk {
    fn open(&self, name: &str, mode: Mode) -> io::Result<Arc<dyn File>> {
        let lock = match mode {
            Mode::Read => None,
            _ => Some(Arc::clone(self.require_writable()?)),
        };
        if mode == Mode::Create {
            self.counters.create();
        }
        let (fd, geometry) = self.open_fitting(check(name)?, mode)?;
        Ok(Arc::new(OsFile::new(name, fd, lock, geometry, Arc::clone(&self.counters))))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.dir)? {
            let entry = entry?;
            let name = String::from_utf8_lossy(entry.file_name().to_bytes()).into_owned();
            if self.is_file(&name, entry.file_type())? {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.require_writable()?;
        self.counters.rename();
        Ok(fs::renameat(&self.dir, check(from)?, &self.dir, check(to)?)?)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.require_writable()?;
        self.counters.remove();
        Ok(fs::unlinkat(&self.dir, check(name)?, AtFlags::empty())?)
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.require_writable()?;
        self.counters.sync();
        file::sync_all(self.dir.as_fd())
    }

    fn queue(&self) -> io::Result<Box<dyn Queue>> {
        #[cfg(target_os = "linux")]
        if self.facts.backend == Backend::Ring {
            return self.ring(ring::Issuer::Maker);
        }
        Ok(Box::new(BlockingQueue::new(self.queue_depth, self.facts.geometry(), self.lock.clone())))
    }

    #[cfg(target_os = "linux")]
    fn movable_queue(&self) -> io::Result<Box<dyn Queue>> {
        if self.facts.backend == Backend::Ring { self.ring(ring::Issuer::Anyone) } else { self.queue() }
    }

    fn still_ours(&self) -> io::Result<()> {
        self.lock.as_ref().map_or(Ok(()), |lock| lock.look())
    }

    fn facts(&self) -> &Facts {
        &self.facts
    }

    #[cfg(target_os = "linux")]
    fn read_many(&self, reads: Vec<(Arc<dyn File>, Region, u64)>) -> Vec<(Region, io::Result<()>)> {
        match self.facts.backend {
            Backend::Ring if reads.len() > 1 => self.readers.read_many(reads, self.facts.geometry(), &self.counters),
            _ => read_each(reads),
        }
    }

    fn stats(&self) -> DiskStats {
        self.counters.snapshot()
    }
}

impl OsDisk {
    #[cfg(target_os = "linux")]
    fn ring(&self, issuer: ring::Issuer) -> io::Result<Box<dyn Queue>> {
        let (geometry, lock) = (self.facts.geometry(), self.lock.clone());
        let counters = Arc::clone(&self.counters);
        Ok(Box::new(ring::RingQueue::new(self.queue_depth, issuer, geometry, lock, counters)?))
    }

    /// Opens a file, without direct IO if this one needs a coarser alignment than the others.
    fn open_fitting(&self, name: &str, mode: Mode) -> io::Result<(OwnedFd, Geometry)> {
        let geometry = self.facts.geometry();
        if mode != Mode::Create {
            self.require_regular(name)?;
        }
        let fd = self.open_fd(name, mode, geometry.direct)?;
        #[cfg(target_os = "linux")]
        if geometry.direct && probe::needs_more(fd.as_fd(), geometry) {
            let buffered = self.open_fd(name, if mode == Mode::Create { Mode::Write } else { mode }, false)?;
            if mode != Mode::Read {
                // Cached pages need not be on the device: an earlier write-back may have failed.
                file::sync_all(buffered.as_fd())?;
                fs::fadvise(&buffered, 0, None, fs::Advice::DontNeed)?;
            }
            return Ok((buffered, Geometry { direct: false, ..geometry }));
        }
        Ok((fd, geometry))
    }

    /// Refuses what is no regular file: opening a pipe waits for a writer, and a device has no end.
    fn require_regular(&self, name: &str) -> io::Result<()> {
        let stat = fs::statat(&self.dir, name, AtFlags::empty())?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Ok(()),
            _ => Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{name} is not a regular file"))),
        }
    }

    fn open_fd(&self, name: &str, mode: Mode, direct: bool) -> io::Result<OwnedFd> {
        let mut flags = match mode {
            Mode::Read => OFlags::RDONLY,
            Mode::Write => OFlags::RDWR,
            Mode::Create => OFlags::RDWR | OFlags::CREATE | OFlags::EXCL,
        };
        flags |= OFlags::CLOEXEC;
        if direct {
            #[cfg(target_os = "linux")]
            {
                flags |= OFlags::DIRECT;
            }
        }
        Ok(fs::openat(&self.dir, name, flags, fs::Mode::from_raw_mode(0o600))?)
    }

    /// Whether the entry is a regular file; not every file system says so in the directory itself.
    fn is_file(&self, name: &str, kind: FileType) -> io::Result<bool> {
        if kind != FileType::Unknown {
            return Ok(kind == FileType::RegularFile);
        }
        match fs::statat(&self.dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile),
            Err(rustix::io::Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn require_writable(&self) -> io::Result<&Arc<DirLock>> {
        let lock = self.lock.as_ref().ok_or_else(read_only)?;
        lock.require().map(|()| lock)
    }
}

impl fmt::Debug for OsDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OsDisk").field("path", &self.path).field("facts", &self.facts).finish_non_exhaustive()
    }
}

/// A name that stays within the directory.
fn check(name: &str) -> io::Result<&str> {
    if matches!(name, "" | "." | "..") || name.contains(['/', '\0']) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{name:?} is no name of a file")));
    }
    Ok(name)
}

fn read_only() -> io::Error {
    io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "the directory was opened for reading only")
}
