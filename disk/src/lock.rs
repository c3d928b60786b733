//! The locks by which one process at a time writes to a directory.

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

/// The name of the file that is locked. It says which process locked it last, for messages only.
pub(crate) const LOCK_NAME: &str = "LOCK";

/// The directory's two locks (`flock`), released when this is dropped: on the directory itself, which no process
/// can replace without its being seen, and on `LOCK`, which file systems over a network pass on to their server.
///
/// They must outlive every write of their owner. While the process lives, that is because whatever writes holds this.
/// When the process is killed, the kernel goes on with the writes that are in flight in its rings, after all its
/// descriptors are closed (measured: for up to 58 ms with 256 MiB in flight, in half of all rounds past the moment when
/// the next owner had the lock). So each ring registers the descriptors among its files, and the locks fall with the
/// last operation.
///
/// A child that is forked shares the open files, and the locks with them: they stay until the last of the descriptors
/// is closed. Who may write is the process that locked, and none that is forked from it.
#[derive(Debug)]
pub(crate) struct DirLock {
    process: Process,
    dir: OwnedFd,
    file: OwnedFd,
    /// None where the path cannot be followed: one may use a directory and not those that it is in.
    place: Option<Place>,
    /// Why the directory is not held any more.
    lost: OnceLock<String>,
}

impl DirLock {
    /// Locks the directory `dir`, which was found at `path`, trying again until `patience` ends. `None` if something
    /// else is there now: what was locked then keeps no other process out.
    pub(crate) fn acquire(dir: BorrowedFd<'_>, path: &Path, patience: Patience) -> Result<Option<Self>, OpenError> {
        let fail = |what: &str| refuse(path, format!("{what} {LOCK_NAME}"));
        let here = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        // A description of its own: that of `dir` is not locked, and may be closed before this is.
        let dir = fs::openat(dir, ".", here, Mode::empty()).map_err(refuse(path, "open the directory".into()))?;
        // First, so that who is kept out leaves nothing there. A file system that cannot lock it has the other lock.
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

    /// Looks whether the directory is still held, and remembers if it is not.
    pub(crate) fn look(&self) -> io::Result<()> {
        if self.process.is_this()
            && let Some(loss) = self.loss()
        {
            self.lost.get_or_init(|| loss);
        }
        self.require()
    }

    /// That this process may write, as far as is known.
    ///
    /// # Errors
    /// `PermissionDenied` in a process that was forked from the one that locked, `NotFound` when a [look](Self::look)
    /// has found the directory not to be held any more.
    pub(crate) fn require(&self) -> io::Result<()> {
        self.process.require()?;
        self.lost.get().map_or(Ok(()), |loss| Err(io::Error::new(io::ErrorKind::NotFound, loss.as_str())))
    }

    /// What a ring must keep open.
    #[cfg(target_os = "linux")]
    pub(crate) fn descriptors(&self) -> [BorrowedFd<'_>; 2] {
        [self.dir.as_fd(), self.file.as_fd()]
    }

    /// Why the locks keep other processes out no more. That a question cannot be answered is no reason.
    fn loss(&self) -> Option<String> {
        let dir = fs::fstat(&self.dir).ok()?;
        let file = fs::fstat(&self.file).ok()?;
        match fs::statat(&self.dir, LOCK_NAME, AtFlags::SYMLINK_NOFOLLOW) {
            // Nothing is found in a directory that was removed.
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
        // A lock belongs to the open file, which a child that was forked shares: unlocked by it, the parent would go on
        // without one. For the parent, closing alone would leave the lock to those who still refer to the open file: a
        // ring that the kernel tears down in its own time, a child. If unlocking fails, closing has to do.
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
    /// `WOULDBLOCK` if somebody else has it locked all the time.
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
