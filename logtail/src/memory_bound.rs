//! `MemoryBound`: how much memory rows may take before commits wait.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use event_listener::{Event, EventListener};
use logboom_logtail_blocks::WriteOptions;
use logboom_logtail_core::{TableId, flush::FlushPolicy, table::Table};

use crate::options::Options;

/// An object of a flush has at most this part of the memory that rows may take, but for its last row group.
const OBJECTS: usize = 32;
/// Where that is less than this, it may have as much.
const OBJECT_BYTES_MIN: usize = 256 << 10;

/// What rows take in memory, beside what they may take.
#[derive(Debug)]
pub(crate) struct MemoryBound {
    max: usize,
    table_max: usize,
    /// As of the last look, and what was committed since.
    bytes: AtomicUsize,
    /// Somebody has looked, or flushes have ended.
    changed: Event,
    /// The flusher's thread has ended.
    is_closed: AtomicBool,
}

/// Rows take all the memory that they may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full {
    /// The table whose rows do; `None` for those of all.
    pub(crate) table: Option<TableId>,
    pub(crate) bytes: usize,
    pub(crate) max: usize,
}

impl MemoryBound {
    pub(crate) fn new(options: &Options) -> Self {
        // With 0 nothing would ever be committed, as there is nothing that a flush could move.
        let max = options.memory_bytes_max.max(1);
        Self {
            max,
            table_max: options.table_bytes_max.clamp(1, max),
            bytes: AtomicUsize::new(0),
            changed: Event::new(),
            is_closed: AtomicBool::new(false),
        }
    }

    /// The policy, by which tables are due before commits wait for them.
    pub(crate) fn policy(&self, policy: &FlushPolicy) -> FlushPolicy {
        let mut policy = policy.clone();
        policy.table_bytes = policy.table_bytes.min(self.table_max / 2);
        policy.memory_bytes = policy.memory_bytes.min(self.max / 2);
        policy
    }

    /// How a flush writes objects: it has up to three of them in memory, which are not counted.
    pub(crate) fn objects(&self, options: &WriteOptions) -> WriteOptions {
        let bytes_max = (self.max / OBJECTS).max(OBJECT_BYTES_MIN);
        let mut options = options.clone();
        options.row_group_bytes = options.row_group_bytes.min(bytes_max);
        options.object_bytes = options.object_bytes.min(bytes_max as u64);
        options
    }

    /// Rows of about this many bytes are in memory now.
    pub(crate) fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// All rows take this many bytes: those who wait look again.
    pub(crate) fn look(&self, bytes: usize) {
        self.bytes.store(bytes, Ordering::Relaxed);
        self.changed.notify(usize::MAX);
    }

    /// The flusher's thread has ended: commits that wait get an error.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
        self.changed.notify(usize::MAX);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Relaxed)
    }

    /// Ends when something has changed after this call.
    pub(crate) fn listen(&self) -> EventListener {
        self.changed.listen()
    }

    /// Whether rows of all tables take what they may.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) >= self.max
    }

    /// Whether commits will soon wait: rows of all tables, or of this one, take most of what they may.
    pub(crate) fn is_scarce(&self, table: Option<&Table>) -> bool {
        let is_most = |bytes: usize, max: usize| bytes >= max / 4 * 3;
        is_most(self.bytes.load(Ordering::Relaxed), self.max)
            || table.is_some_and(|table| is_most(bytes_of(table), self.table_max))
    }

    /// What a transaction that writes `tables`, none of them the catalog's, has to wait for, if anything. Tables are
    /// looked at only if one can take what it may.
    pub(crate) fn full(&self, tables: impl Iterator<Item = Arc<Table>>) -> Option<Full> {
        // Without rows there is nothing to wait for: to drop a table is how the memory of one that cannot be flushed is
        // got back.
        let mut tables = tables.peekable();
        tables.peek()?;
        let bytes = self.bytes.load(Ordering::Relaxed);
        if bytes >= self.max {
            return Some(Full { table: None, bytes, max: self.max });
        }
        if bytes < self.table_max {
            return None;
        }
        let full = tables.map(|table| (table.id(), bytes_of(&table))).find(|(_, bytes)| *bytes >= self.table_max);
        full.map(|(table, bytes)| Full { table: Some(table), bytes, max: self.table_max })
    }
}

fn bytes_of(table: &Table) -> usize {
    let version = table.version();
    version.row_bytes() + version.delete_bytes()
}
