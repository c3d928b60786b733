//! `DirLock`: one process at a time writes to a directory.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use rustix::{
    fs::{self, AtFlags, FlockOperation, Mode, OFlags},
    io::Errno,
};

use crate::{
    options::{OpenError, refusal},
    owner::{self, RECORD_BYTES},
    place::{Inode, Place},
    process::Process,
};

/// The name of the lock file. Its content names the process that locked it last, for messages only.
pub(crate) const LOCK_NAME: &str = "LOCK";

/// The directory's two locks (`flock`), released when this is dropped: on the directory itself, which no process
/// can replace without its being seen, and on `LOCK`, which file systems over a network pass on to their server.
///
/// The locks must outlive every write of their owner. While the process lives, everything that writes holds this. When
/// the process is killed, the kernel continues the writes in flight in its rings after it has closed all descriptors
/// (measured: for up to 58 ms with 256 MiB in flight, in half of all rounds past the moment when the next owner had the
/// lock). So each ring registers the lock descriptors among its files, and the locks are released with the last
/// operation.
///
/// A forked child shares the open files and their locks, which stay until the last descriptor is closed. Only the
/// process that locked may write, and no child of it.
#[derive(Debug)]
pub(crate) struct DirLock {
    process: Process,
    dir: OwnedFd,
    file: OwnedFd,
    /// `None` where the path cannot be resolved: a process may be allowed to use a directory and not its parents.
    place: Option<Place>,
    /// Why the lock was lost, if it was.
    lost: OnceLock<String>,
}

impl DirLock {
    /// Locks the directory `dir`, which was found at `path`, trying again until `patience` ends. `None` if another
    /// directory is at `path` now: the lock would then keep no other process out.
    pub(crate) fn acquire(dir: BorrowedFd<'_>, path: &Path, patience: Patience) -> Result<Option<Self>, OpenError> {
        let fail = |what: &str| refuse(path, format!("{what} {LOCK_NAME}"));
        let here = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        // A separate open file: that of `dir` is not locked, and may be closed earlier.
        let dir = fs::openat(dir, ".", here, Mode::empty()).map_err(refuse(path, "open the directory".into()))?;
        // The directory first, so that a process that is kept out leaves no file behind. On a file system that cannot
        // lock directories the lock file alone has to do.
        if matches!(patience.lock(&dir), Err(Errno::WOULDBLOCK)) {
            return Err(locked(&dir, path));
        }
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = fs::openat(&dir, LOCK_NAME, flags, Mode::from_raw_mode(0o600)).map_err(fail("open"))?;
        match patience.lock(&file) {
            Err(Errno::WOULDBLOCK) => return Err(locked(&dir, path)),
            locked => locked.map_err(fail("lock"))?,
        }
        let Ok(place) = Place::of(path) else { return Ok(None) };
        let lock = DirLock { process: Process::this(), dir, file, place, lost: OnceLock::new() };
        if lock.loss().is_some() {
            return Ok(None);
        }
        lock.leave_record().map_err(fail("write"))?;
        Ok(Some(lock))
    }

    /// Checks that the directory is still held, and remembers if it is not.
    pub(crate) fn look(&self) -> io::Result<()> {
        if self.process.is_this()
            && let Some(loss) = self.loss()
        {
            self.lost.get_or_init(|| loss);
        }
        self.require()
    }

    /// Checks that this process may write, as far as is known.
    ///
    /// # Errors
    /// `PermissionDenied` in a child that was forked from the process that locked, `NotFound` after a
    /// [check](Self::look) found that the lock is lost.
    pub(crate) fn require(&self) -> io::Result<()> {
        self.process.require()?;
        self.lost.get().map_or(Ok(()), |loss| Err(io::Error::new(io::ErrorKind::NotFound, loss.as_str())))
    }

    /// The descriptors that a ring must keep open.
    #[cfg(target_os = "linux")]
    pub(crate) fn descriptors(&self) -> [BorrowedFd<'_>; 2] {
        [self.dir.as_fd(), self.file.as_fd()]
    }

    /// Why the locks no longer keep other processes out; `None` if they do, or if that cannot be found out.
    fn loss(&self) -> Option<String> {
        let dir = fs::fstat(&self.dir).ok()?;
        let file = fs::fstat(&self.file).ok()?;
        match fs::statat(&self.dir, LOCK_NAME, AtFlags::SYMLINK_NOFOLLOW) {
            // A removed directory has no entries.
            Err(Errno::NOENT | Errno::STALE) if dir.st_nlink == 0 => return Some("the directory was removed".into()),
            Err(Errno::NOENT | Errno::STALE) => return Some(format!("{LOCK_NAME} was removed from the directory")),
            Ok(found) if Inode::of(&found) != Inode::of(&file) => {
                return Some(format!("{LOCK_NAME} in the directory was replaced"));
            }
            Ok(_) | Err(_) => {}
        }
        self.place.as_ref().and_then(|place| place.misses(Inode::of(&dir)))
    }

    fn leave_record(&self) -> Result<(), Errno> {
        fs::ftruncate(&self.file, 0)?;
        match rustix::io::pwrite(&self.file, owner::record().as_bytes(), 0) {
            // A full disk must not keep the log from being opened: that is how space is reclaimed.
            Ok(_) | Err(Errno::NOSPC | Errno::DQUOT) => Ok(()),
            Err(errno) => Err(errno),
        }
    }
}

impl Drop for DirLock {
    fn drop(&mut self) {
        // A lock belongs to the open file, which a forked child shares: if the child unlocked it, the parent would go
        // on without a lock. In the parent, closing alone would leave the lock to other references to the open file: a
        // ring that the kernel tears down later, or a child. If unlocking fails, closing has to do.
        if self.process.is_this() {
            for fd in [&self.file, &self.dir] {
                fs::flock(fd, FlockOperation::Unlock).unwrap_or(());
            }
        }
    }
}

/// For how long to try to lock.
#[derive(Clone, Copy)]
pub(crate) struct Patience {
    began: Instant,
    wait: Duration,
}

impl Patience {
    pub(crate) fn new(wait: Duration) -> Self {
        Patience { began: Instant::now(), wait }
    }

    /// # Errors
    /// `WOULDBLOCK` if it stays locked all the time.
    fn lock(self, fd: &OwnedFd) -> Result<(), Errno> {
        loop {
            match fs::flock(fd, FlockOperation::NonBlockingLockExclusive) {
                Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) if self.began.elapsed() < self.wait => thread::sleep(RETRY),
                outcome => return outcome,
            }
        }
    }
}

const RETRY: Duration = Duration::from_millis(5);

fn refuse(path: &Path, what: String) -> impl FnOnce(Errno) -> OpenError + '_ {
    move |errno| refusal(errno, path, &what)
}

fn locked(dir: &OwnedFd, path: &Path) -> OpenError {
    let read = || {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = fs::openat(dir, LOCK_NAME, flags, Mode::empty()).ok()?;
        let mut text = [0; RECORD_BYTES];
        let len = rustix::io::pread(file, &mut text, 0).ok()?;
        owner::judge(&text[..len])
    };
    OpenError::Locked { owner: read(), dir: path.into() }
}
