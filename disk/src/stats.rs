//! Counters of the operations of a disk.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of a disk's operations since it was opened. Each operation counts once, when it is submitted, however many
/// system calls it takes and whether or not it succeeds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DiskStats {
    /// All writes, including those with [`Sync::Data`](crate::Sync::Data).
    pub writes: u64,
    /// Writes with [`Sync::Data`](crate::Sync::Data).
    pub writes_durable: u64,
    /// Bytes of all writes.
    pub write_bytes: u64,
    /// Syncs of files and of the directory.
    pub syncs: u64,
    /// Reads.
    pub reads: u64,
    /// Bytes of all reads.
    pub read_bytes: u64,
    /// Files created.
    pub creates: u64,
    /// Files renamed.
    pub renames: u64,
    /// Files removed.
    pub removes: u64,
    /// Calls of [`File::allocate`](crate::File::allocate).
    pub allocates: u64,
}

/// The counters behind [`DiskStats`]. Each is exact; together they need not be of one moment.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    writes: AtomicU64,
    writes_durable: AtomicU64,
    write_bytes: AtomicU64,
    syncs: AtomicU64,
    reads: AtomicU64,
    read_bytes: AtomicU64,
    creates: AtomicU64,
    renames: AtomicU64,
    removes: AtomicU64,
    allocates: AtomicU64,
}

impl Counters {
    pub(crate) fn write(&self, bytes: usize, durable: bool) {
        add(&self.writes, 1);
        add(&self.writes_durable, durable.into());
        add(&self.write_bytes, bytes as u64);
    }

    pub(crate) fn read(&self, bytes: usize) {
        add(&self.reads, 1);
        add(&self.read_bytes, bytes as u64);
    }

    pub(crate) fn sync(&self) {
        add(&self.syncs, 1);
    }

    pub(crate) fn create(&self) {
        add(&self.creates, 1);
    }

    pub(crate) fn rename(&self) {
        add(&self.renames, 1);
    }

    pub(crate) fn remove(&self) {
        add(&self.removes, 1);
    }

    pub(crate) fn allocate(&self) {
        add(&self.allocates, 1);
    }

    pub(crate) fn snapshot(&self) -> DiskStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        DiskStats {
            writes: read(&self.writes),
            writes_durable: read(&self.writes_durable),
            write_bytes: read(&self.write_bytes),
            syncs: read(&self.syncs),
            reads: read(&self.reads),
            read_bytes: read(&self.read_bytes),
            creates: read(&self.creates),
            renames: read(&self.renames),
            removes: read(&self.removes),
            allocates: read(&self.allocates),
        }
    }
}

fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}
