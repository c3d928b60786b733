//! The traits: a directory, a file in it, and a queue of operations in flight.

use std::{fmt, io, os::fd::BorrowedFd, sync::Arc, time::Duration};

use crate::{
    buffer::{Region, Slice},
    facts::Facts,
    stats::DiskStats,
};

/// The directory of one log: opens its files and makes queues that operate on them.
///
/// All methods block the calling thread and may be called from several threads at once. No method is on the append
/// path: files are opened, prepared and listed before they are used.
pub trait Disk: Send + std::marker::Sync + fmt::Debug + 'static {
    /// Opens the file `name` in the directory.
    ///
    /// A file that is created is empty, and neither its content nor its name is durable before [`File::sync_all`] and
    /// then [`Disk::sync_dir`] have returned.
    ///
    /// # Errors
    /// `NotFound` for [`Mode::Read`] and [`Mode::Write`] when there is no such file, `AlreadyExists` for
    /// [`Mode::Create`] when there is one; `InvalidInput` for a name that leads out of the directory, and for what is
    /// no regular file; anything else is the device's or the file system's.
    fn open(&self, name: &str, mode: Mode) -> io::Result<Arc<dyn File>>;

    /// The names of the regular files in the directory, sorted.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Gives `from` the name `to`, replacing what had it. Durable only after [`Disk::sync_dir`].
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes the file `name`. Durable only after [`Disk::sync_dir`].
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes every creation, renaming and removal that has returned survive power loss.
    fn sync_dir(&self) -> io::Result<()>;

    /// A queue of operations, to be used by the calling thread alone: an io_uring ring belongs to the thread that
    /// made it.
    fn queue(&self) -> io::Result<Box<dyn Queue>>;

    /// A queue that threads may use one after the other, for work that moves between threads.
    fn movable_queue(&self) -> io::Result<Box<dyn Queue>> {
        self.queue()
    }

    /// Checks that this disk still owns the directory: it was neither removed nor moved, and its lock file is in it.
    /// Otherwise another process could open this directory, or another one of the same name. After the first check that
    /// fails, every operation that would change the directory or a file in it fails too; reads still work.
    ///
    /// Costs a few system calls, which may block. Always succeeds on a disk that was opened for reading only.
    ///
    /// # Errors
    /// `NotFound`, with the reason; `PermissionDenied` in a child that was forked from the process that opened the
    /// directory. The child cannot change anything either.
    fn still_ours(&self) -> io::Result<()> {
        Ok(())
    }

    /// The facts about the device and the file system, as found when the directory was opened.
    fn facts(&self) -> &Facts;

    /// Performs many reads in the calling thread: each fills its region from the offset in the file, as
    /// [`File::read_at`] does. The regions come back in the same order, each with its result.
    ///
    /// With io_uring many reads are in flight at once, which on most devices is several times faster than one after the
    /// other, and needs no extra thread.
    fn read_many(&self, reads: Vec<(Arc<dyn File>, Region, u64)>) -> Vec<(Region, io::Result<()>)> {
        read_each(reads)
    }

    /// Counts of the operations so far; all zero if the disk does not count.
    fn stats(&self) -> DiskStats {
        DiskStats::default()
    }
}

/// How [`Disk::open`] opens a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// To read an existing file.
    Read,
    /// To read and write an existing file.
    Write,
    /// To create a file that must not exist yet, and to read and write it.
    Create,
}

/// A file, read and written at offsets; it has no cursor, and any number of threads may use it at once.
///
/// On a disk with direct IO ([`Facts::direct`]), offsets and lengths must be multiples of [`Facts::pad_unit`]; that is
/// asserted, because some devices accept misaligned requests and are slow or wrong. Two writes that are in flight at
/// once must not touch the same pad unit.
pub trait File: Send + std::marker::Sync + fmt::Debug {
    /// The name that the file was opened by.
    fn name(&self) -> &str;

    /// The file's size in bytes.
    fn size(&self) -> io::Result<u64>;

    /// Grows the file to `size` bytes and reserves their blocks; the new bytes read as zeros. Not durable before
    /// [`File::sync_all`].
    ///
    /// # Errors
    /// `StorageFull` when there are not enough free blocks; the file may have grown in part.
    fn allocate(&self, size: u64) -> io::Result<()>;

    /// Truncates the file to `size` bytes. Not durable before [`File::sync_all`]. Does nothing where the kind of file
    /// does not support it.
    ///
    /// # Errors
    /// Errors of the file system; the file is unchanged.
    fn shrink(&self, size: u64) -> io::Result<()> {
        let _ = size;
        Ok(())
    }

    /// Writes `slices`, one after the other, at `offset`, inside the file's size. Short writes and interrupted calls
    /// are continued until all is written.
    ///
    /// On return with [`Sync::Data`] these bytes survive power loss; other writes may not. With [`Sync::None`] they are
    /// readable, and survive after a [`File::sync_data`] that began after this returned.
    ///
    /// # Errors
    /// After an error the range holds old bytes, new bytes or a mixture.
    fn write_at(&self, slices: &[Slice], offset: u64, sync: Sync) -> io::Result<()>;

    /// Fills the region from `offset`.
    ///
    /// # Errors
    /// `UnexpectedEof` when the file ends first.
    fn read_at(&self, region: &mut Region, offset: u64) -> io::Result<()>;

    /// Makes every write to this file that completed before the call durable; a change of its size is not.
    ///
    /// # Errors
    /// After an error any write since the last successful sync may be lost, and a later success does not prove
    /// otherwise: the kernel may have dropped the dirty pages (Rebello et al., "Can Applications Recover from fsync
    /// Failures?", ATC '20).
    fn sync_data(&self) -> io::Result<()>;

    /// [`File::sync_data`], plus the file's size and block map.
    fn sync_all(&self) -> io::Result<()>;

    /// Drops the file's clean pages from the page cache (`posix_fadvise(2)`, `POSIX_FADV_DONTNEED`), so that later
    /// reads come from the device. Without direct IO, pages whose write-back failed stay in the cache as if they were
    /// on the disk; call [`File::sync_all`] first, so that all pages are clean. Does nothing with direct IO, and where
    /// the system has no such call.
    fn forget_cached(&self) -> io::Result<()> {
        Ok(())
    }

    /// The file descriptor that queues of the real disk use: the same one for as long as the file lives. `None` for a
    /// file of another kind of disk, whose operations such a queue refuses with `Unsupported`.
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// The file's number on a simulated disk; `None` for a file of another kind of disk.
    fn simulated(&self) -> Option<u64> {
        None
    }
}

/// Operations in flight on the files of one disk, used by one thread.
///
/// A queue owns the buffers and files of an operation until its completion is reaped. Dropping a queue waits for the
/// operations in flight.
pub trait Queue: Send {
    /// Starts an operation. Operations in flight complete in any order; a caller that needs an order waits for
    /// completions.
    ///
    /// Never waits for the device; an operation that cannot be started completes with its error. The queue may hold
    /// operations back until the next [`Queue::reap`], and start several with one system call.
    fn submit(&mut self, op: Op);

    /// Moves the completions that have arrived to `completions`, after waiting for the first as `wait` says.
    fn reap(&mut self, wait: Wait, completions: &mut Vec<Completion>);

    /// The number of operations submitted and not yet reaped.
    fn in_flight(&self) -> usize;

    /// A handle with which any thread ends a waiting [`Queue::reap`], or the next one that would wait.
    fn waker(&self) -> Arc<dyn Wake>;
}

/// See [`Queue::waker`].
pub trait Wake: Send + std::marker::Sync {
    /// Ends the current wait, or the next one if there is none. Cheap when no thread waits.
    fn wake(&self);
}

/// How long [`Queue::reap`] waits for a first completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Not at all.
    No,
    /// Until a completion, or until woken.
    Forever,
    /// Until a completion, until woken, or for this long.
    For(Duration),
}

/// How durable a write is when it completes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// The bytes can be read; nothing more.
    None,
    /// These bytes survive power loss (`RWF_DSYNC`).
    Data,
}

/// One operation for [`Queue::submit`].
#[derive(Debug)]
pub struct Op {
    /// An identifier that the completion returns.
    pub token: u64,
    /// The file that is operated on.
    pub file: Arc<dyn File>,
    /// The kind of operation.
    pub kind: OpKind,
}

/// The kind of an [`Op`]; the contracts are those of the [`File`] methods of the same names.
#[derive(Debug)]
pub enum OpKind {
    /// [`File::write_at`].
    Write {
        /// The bytes to write, one slice after the other.
        slices: Vec<Slice>,
        /// The offset of the first byte in the file.
        offset: u64,
        /// The durability on completion.
        sync: Sync,
    },
    /// [`File::read_at`].
    Read {
        /// The memory to fill.
        region: Region,
        /// The offset of the first byte in the file.
        offset: u64,
    },
    /// [`File::sync_data`]: covers the writes whose completions had arrived when it was submitted, no others.
    SyncData,
}

/// The end of an operation.
#[derive(Debug)]
pub struct Completion {
    /// The token of its [`Op`].
    pub token: u64,
    /// Whether it succeeded; after an error of a write its range is undefined.
    pub result: io::Result<()>,
    /// The region of an [`OpKind::Read`], filled if the read succeeded.
    pub region: Option<Region>,
}

impl Op {
    /// The completion of an operation that was refused before it began.
    pub(crate) fn refuse(self, error: io::Error) -> Completion {
        let region = match self.kind {
            OpKind::Read { region, .. } => Some(region),
            OpKind::Write { .. } | OpKind::SyncData => None,
        };
        Completion { token: self.token, result: Err(error), region }
    }

    /// Performs the operation in the calling thread.
    pub(crate) fn perform(self) -> Completion {
        let (result, region) = match self.kind {
            OpKind::Write { slices, offset, sync } => (self.file.write_at(&slices, offset, sync), None),
            OpKind::Read { mut region, offset } => (self.file.read_at(&mut region, offset), Some(region)),
            OpKind::SyncData => (self.file.sync_data(), None),
        };
        Completion { token: self.token, result, region }
    }
}

/// Refuses a range beyond what a file can have. An offset that the kernel takes for negative must not reach it: -1
/// stands for the file's cursor.
pub(crate) fn check_range(offset: u64, len: usize) -> io::Result<()> {
    match offset.checked_add(len as u64).map(i64::try_from) {
        Some(Ok(_)) => Ok(()),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, format!("no file has {len} bytes at {offset}"))),
    }
}

/// [`Disk::read_many`], one read after the other.
pub(crate) fn read_each(reads: Vec<(Arc<dyn File>, Region, u64)>) -> Vec<(Region, io::Result<()>)> {
    let read = |(file, mut region, offset): (Arc<dyn File>, Region, u64)| {
        let result = file.read_at(&mut region, offset);
        (region, result)
    };
    reads.into_iter().map(read).collect()
}
