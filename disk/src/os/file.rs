//! A file of the operating system, read and written by system calls that block.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
    thread,
};

use rustix::{fs, io::Errno};

use crate::{
    buffer::{Region, Slice},
    disk::{File, Sync, check_range},
    facts::Geometry,
    lock::DirLock,
    stats::Counters,
    transfer::{RETRIES_MAX, can_continue, remaining},
};

/// An open file. If it was opened for writing, it keeps the directory locked.
#[derive(Debug)]
pub(crate) struct OsFile {
    name: String,
    fd: OwnedFd,
    lock: Option<Arc<DirLock>>,
    geometry: Geometry,
    counters: Arc<Counters>,
}

impl File for OsFile {
    fn name(&self) -> &str {
        &self.name
    }

    fn size(&self) -> io::Result<u64> {
        let size = fs::fstat(&self.fd)?.st_size;
        u64::try_from(size).map_err(|_| io::Error::other("the file system reports a negative size"))
    }

    fn allocate(&self, size: u64) -> io::Result<()> {
        self.require_writable()?;
        self.counters.allocate();
        allocate(self.fd.as_fd(), size)
    }

    fn shrink(&self, size: u64) -> io::Result<()> {
        self.require_writable()?;
        self.counters.allocate();
        Ok(rustix::io::retry_on_intr(|| fs::ftruncate(&self.fd, size))?)
    }

    fn write_at(&self, slices: &[Slice], offset: u64, sync: Sync) -> io::Result<()> {
        self.require_writable()?;
        self.geometry.assert_write(slices, offset);
        let len = slices.iter().map(|slice| slice.len()).sum();
        self.counters.write(len, sync == Sync::Data);
        check_range(offset, len)?;
        write_all(self.fd.as_fd(), slices, len, offset, sync)
    }

    fn read_at(&self, region: &mut Region, offset: u64) -> io::Result<()> {
        self.geometry.assert_read(region, offset);
        self.counters.read(region.len());
        check_range(offset, region.len())?;
        read_all(self.fd.as_fd(), region, offset, self.geometry)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.counters.sync();
        sync_data(self.fd.as_fd())
    }

    fn sync_all(&self) -> io::Result<()> {
        self.counters.sync();
        sync_all(self.fd.as_fd())
    }

    #[cfg(any(target_os = "linux", target_os = "freebsd"))]
    fn forget_cached(&self) -> io::Result<()> {
        if !self.geometry.direct {
            fs::fadvise(&self.fd, 0, None, fs::Advice::DontNeed)?;
        }
        Ok(())
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.fd.as_fd())
    }
}

impl OsFile {
    pub(super) fn new(
        name: &str,
        fd: OwnedFd,
        lock: Option<Arc<DirLock>>,
        geometry: Geometry,
        counters: Arc<Counters>,
    ) -> Self {
        OsFile { name: name.into(), fd, lock, geometry, counters }
    }

    fn require_writable(&self) -> io::Result<()> {
        let for_reading =
            || io::Error::new(io::ErrorKind::PermissionDenied, format!("{} was opened for reading", self.name));
        self.lock.as_ref().ok_or_else(for_reading)?.require()
    }
}

pub(super) fn sync_all(fd: BorrowedFd<'_>) -> io::Result<()> {
    // Never continued after an error, not even an interruption: it would prove nothing.
    #[cfg(target_vendor = "apple")]
    return Ok(fs::fcntl_fullfsync(fd)?);
    #[cfg(not(target_vendor = "apple"))]
    Ok(fs::fsync(fd)?)
}

fn sync_data(fd: BorrowedFd<'_>) -> io::Result<()> {
    #[cfg(target_vendor = "apple")]
    return Ok(fs::fcntl_fullfsync(fd)?);
    #[cfg(not(target_vendor = "apple"))]
    Ok(fs::fdatasync(fd)?)
}

fn allocate(fd: BorrowedFd<'_>, size: u64) -> io::Result<()> {
    if size == 0 {
        return Ok(());
    }
    #[cfg(target_os = "linux")]
    match rustix::io::retry_on_intr(|| fs::fallocate(fd, fs::FallocateFlags::empty(), 0, size)) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => {}
        result => return Ok(result?),
    }
    // The blocks are not reserved then, which does not matter for a file that is filled with zeros before its use.
    let now = u64::try_from(fs::fstat(fd)?.st_size).unwrap_or(u64::MAX);
    if now < size {
        rustix::io::retry_on_intr(|| fs::ftruncate(fd, size))?;
    }
    Ok(())
}

fn write_all(fd: BorrowedFd<'_>, slices: &[Slice], len: usize, offset: u64, sync: Sync) -> io::Result<()> {
    let mut writer = Writer { fd, durable: sync == Sync::Data };
    let mut retries = 0;
    let mut done = 0;
    while done < len {
        match writer.write_some(remaining(slices, done), offset + done as u64) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => (done, retries) = (done + count, 0),
            Err(errno) => retry(errno, &mut retries)?,
        }
    }
    // Either each write carried the flag, or the sync is still to be done.
    if sync == Sync::Data && !writer.durable { sync_data(fd) } else { Ok(()) }
}

struct Writer<'a> {
    fd: BorrowedFd<'a>,
    /// Whether each write is durable by itself; cleared when the kernel cannot do that.
    durable: bool,
}

impl Writer<'_> {
    #[cfg(target_os = "linux")]
    fn write_some<'s>(&mut self, pieces: impl Iterator<Item = &'s [u8]>, offset: u64) -> Result<usize, Errno> {
        use rustix::io::{ReadWriteFlags, pwritev, pwritev2};

        let pieces: Vec<_> = pieces.map(io::IoSlice::new).collect();
        if self.durable {
            match pwritev2(self.fd, &pieces, offset, ReadWriteFlags::DSYNC) {
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => self.durable = false,
                result => return result,
            }
        }
        pwritev(self.fd, &pieces, offset)
    }

    #[cfg(not(target_os = "linux"))]
    fn write_some<'s>(&mut self, mut pieces: impl Iterator<Item = &'s [u8]>, offset: u64) -> Result<usize, Errno> {
        self.durable = false;
        rustix::io::pwrite(self.fd, pieces.next().unwrap_or_default(), offset)
    }
}

fn read_all(fd: BorrowedFd<'_>, region: &mut Region, offset: u64, geometry: Geometry) -> io::Result<()> {
    let mut retries = 0;
    let mut done = 0;
    while done < region.len() {
        let end = offset + done as u64;
        match rustix::io::pread(fd, &mut region[done..], end) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => (done, retries) = (done + count, 0),
            Err(errno) => retry(errno, &mut retries)?,
        }
        if done < region.len() && !can_continue(offset + done as u64, geometry) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

fn retry(errno: Errno, retries: &mut u32) -> io::Result<()> {
    *retries += 1;
    match errno {
        Errno::INTR | Errno::AGAIN if *retries <= RETRIES_MAX => {
            thread::yield_now();
            Ok(())
        }
        _ => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trying_again_has_an_end() {
        let mut retries = 0;
        for _ in 0..RETRIES_MAX {
            retry(Errno::INTR, &mut retries).unwrap();
        }
        assert!(retry(Errno::INTR, &mut retries).is_err());
        assert!(retry(Errno::IO, &mut 0).is_err());
    }
}
