//! The lock by which one process at a time writes to a directory.

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use rustix::{
    fs::{self, FlockOperation, Mode, OFlags},
    io::Errno,
};

use super::open::refusal;
use crate::OpenError;

/// The name of the file that is locked. It holds the number of the process that locked it last, for messages only.
pub(crate) const LOCK_NAME: &str = "LOCK";

/// The directory's lock (`flock`), released when this is dropped.
///
/// It must outlive every write of its owner. While the process lives, that is because whatever writes holds it. When
/// the process is killed, the kernel goes on with the writes that are in flight in its rings, after all its
/// descriptors are closed (measured: for up to 58 ms with 256 MiB in flight, in half of all rounds past the moment
/// when the next owner had the lock). So each ring registers the descriptor among its files, and the lock falls with
/// the last operation.
#[derive(Debug)]
pub(crate) struct DirLock {
    file: OwnedFd,
}

impl DirLock {
    /// Locks the directory, trying again for as long as `wait` says.
    pub(super) fn acquire(dir: BorrowedFd<'_>, path: &Path, wait: Duration) -> Result<Self, OpenError> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = fs::openat(dir, LOCK_NAME, flags, Mode::from_raw_mode(0o644))
            .map_err(|errno| refusal(errno, path, &format!("open {LOCK_NAME} for writing")))?;
        let began = Instant::now();
        loop {
            match fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) if began.elapsed() < wait => thread::sleep(RETRY),
                Err(Errno::WOULDBLOCK) => return Err(OpenError::Locked { owner: owner(&file), dir: path.into() }),
                Err(errno) => return Err(refusal(errno, path, &format!("lock {LOCK_NAME}"))),
            }
        }
        let lock = DirLock { file };
        lock.leave_number().map_err(|errno| refusal(errno, path, &format!("write {LOCK_NAME}")))?;
        Ok(lock)
    }

    fn leave_number(&self) -> Result<(), Errno> {
        let number = format!("{:<1$}\n", std::process::id(), LOCK_BYTES - 1);
        fs::ftruncate(&self.file, 0)?;
        match rustix::io::pwrite(&self.file, number.as_bytes(), 0) {
            // A full disk must not keep the log from being opened: that is how space is reclaimed.
            Ok(_) | Err(Errno::NOSPC | Errno::DQUOT) => Ok(()),
            Err(errno) => Err(errno),
        }
    }
}

impl AsFd for DirLock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Drop for DirLock {
    fn drop(&mut self) {
        // Closing alone would leave the lock to those who still refer to the open file: a ring that the kernel tears
        // down in its own time, a child that was forked. If unlocking fails, closing has to do.
        fs::flock(&self.file, FlockOperation::Unlock).unwrap_or(());
    }
}

const RETRY: Duration = Duration::from_millis(5);

/// The file's size: the number, padded with blanks. Direct IO is probed on this file, and one of a few bytes may lie
/// within its inode (`inline_data` of ext4), where there is none, though there is for files of any size that matters.
const LOCK_BYTES: usize = 4096;

fn owner(file: &OwnedFd) -> Option<u32> {
    let mut text = [0; 16];
    let len = rustix::io::pread(file, &mut text, 0).ok()?;
    str::from_utf8(&text[..len]).ok()?.trim().parse().ok()
}
