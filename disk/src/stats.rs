//! How often a disk was asked to do what.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a disk has done since it was opened. Operations count once, when they are asked for, however many system
/// calls they took and whether or not they succeeded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DiskStats {
    /// Writes, those included that are durable by themselves.
    pub writes: u64,
    /// Writes with [`Sync::Data`](crate::Sync::Data).
    pub writes_durable: u64,
    /// Bytes that were to be written.
    pub write_bytes: u64,
    /// Syncs of files and of the directory.
    pub syncs: u64,
    /// Reads.
    pub reads: u64,
    /// Bytes that were to be read.
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

/// The counters behind [`DiskStats`]. They order nothing: each is exact, a snapshot of all need not be.
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
