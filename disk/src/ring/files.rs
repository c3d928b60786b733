//! The registered files of a ring.

use std::{
    io,
    os::fd::{AsRawFd, RawFd},
    ptr,
    sync::{Arc, Weak},
};

use io_uring::{IoUring, types};

use crate::{disk::File, lock::DirLock};

/// The ring's registered files. They save the kernel a look-up for each operation. The first ones are the lock
/// descriptors, so that the directory stays locked as long as operations of the ring are in flight, even after the
/// process has ended.
pub(super) struct Files {
    entries: Vec<Entry>,
    /// Counts look-ups, to find out which entry was not used for longest.
    now: u64,
    registered: bool,
}

/// How an operation names its file.
#[derive(Clone, Copy)]
pub(super) enum Target {
    Fixed(types::Fixed),
    Fd(types::Fd),
}

impl Files {
    /// Registers the locks, and room for files. Where room is refused (before Linux 5.19), files are named by
    /// descriptor.
    ///
    /// # Errors
    /// If the locks cannot be registered: writes that outlive their process would outlive its locks.
    pub(super) fn new(ring: &IoUring, lock: Option<&DirLock>) -> io::Result<Self> {
        let submitter = ring.submitter();
        let registered = submitter.register_files_sparse(FILES_AT + FILES_MAX).is_ok();
        if let Some(lock) = lock {
            let locks = lock.descriptors().map(|fd| fd.as_raw_fd());
            if registered {
                submitter.register_files_update(0, &locks)?;
            } else {
                submitter.register_files(&locks)?;
            }
        }
        Ok(Files { entries: Vec::new(), now: 0, registered })
    }

    /// No table: each operation names its file by descriptor.
    pub(super) fn unregistered() -> Self {
        Files { entries: Vec::new(), now: 0, registered: false }
    }

    /// How to name `file`, whose descriptor is `fd`, in the next operation that is submitted.
    pub(super) fn target(&mut self, ring: &mut IoUring, file: &Arc<dyn File>, fd: RawFd) -> Target {
        self.now += 1;
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.is_of(file)) {
            entry.used = self.now;
            return Target::Fixed(types::Fixed(entry.number));
        }
        // An entry may change only while no operation is on its way into the kernel: one that was not submitted yet
        // would find the new file under its number.
        if self.registered && ring.submission().is_empty() {
            let number = self.victim();
            if ring.submitter().register_files_update(number, &[fd]).is_ok() {
                self.put(Entry { number, file: Arc::downgrade(file), used: self.now });
                return Target::Fixed(types::Fixed(number));
            }
        }
        Target::Fd(types::Fd(fd))
    }

    /// The number to register a file under: a new one, or that of a file that is closed, or not used for longest.
    fn victim(&self) -> u32 {
        let used = |entry: &&Entry| if entry.file.strong_count() == 0 { 0 } else { entry.used };
        match self.entries.iter().min_by_key(used) {
            Some(entry) if entry.file.strong_count() == 0 || self.entries.len() >= FILES_MAX as usize => entry.number,
            _ => (FILES_AT..FILES_AT + FILES_MAX).nth(self.entries.len()).unwrap_or(FILES_AT),
        }
    }

    fn put(&mut self, entry: Entry) {
        self.entries.retain(|old| old.number != entry.number);
        self.entries.push(entry);
    }
}

/// More files than a log writes to at once. A closed file keeps its blocks until its entry is reused.
const FILES_MAX: u32 = 15;

/// The first number that is not a lock's.
const FILES_AT: u32 = 2;

struct Entry {
    number: u32,
    /// Weak, so that files can be closed; and as long as it is here, no other file can have the address by which
    /// this one is recognised.
    file: Weak<dyn File>,
    used: u64,
}

impl Entry {
    fn is_of(&self, file: &Arc<dyn File>) -> bool {
        ptr::addr_eq(self.file.as_ptr(), Arc::as_ptr(file))
    }
}
