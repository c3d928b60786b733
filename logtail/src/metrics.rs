//! Counters of a tail.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use logboom_logtail_core::{
    TableId, Timestamp,
    store::StoreHealth,
    table::{MemoryBytes, Table},
};

/// Counters since the tail was opened, and gauges. Each is exact, but they are not read at one instant. The prefixes
/// `commit_`, `flush_`, `load_`, `checkpoint_` and `read_` are stages of the data path.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct TailMetrics {
    /// The newest timestamp that can be read.
    pub watermark: Timestamp,
    /// The oldest timestamp that can be read.
    pub horizon: Timestamp,
    /// How far timestamps are ahead of the wall clock, as after it was set back.
    pub drift: Duration,
    /// Transactions that got their place in the log.
    pub commit_transactions: u64,
    /// The bytes of their records, about.
    pub commit_bytes: u64,
    /// Transactions that were refused for what they write: a key that is there, a conflict, a snapshot that is too old,
    /// a schema that has changed, a row that is not there, a record that is too long, or no memory without threads that
    /// would free some. Those of [`Tail::change`](crate::Tail::change) that it tries again are among them.
    pub commit_refused: u64,
    /// Transactions that had no effect as something failed: the log, a read of the store where keys were looked up; or
    /// the tail has stopped. Those of which the end [is not known](crate::Error::Unknown) got their place, and are not
    /// among them.
    pub commit_failed: u64,
    /// Whether commits wait now, as rows take all the memory that they may.
    pub commit_waits: bool,
    /// Flushes of a table.
    pub flush_runs: u64,
    /// Flushes that failed. Their rows stay in memory, and they are tried again.
    pub flush_failed: u64,
    /// Tables whose last flush failed: see [`Tail::flush_failures`](crate::Tail::flush_failures).
    pub flush_failing: usize,
    /// Pauses that flushes made for commits: see [`Options::flush_share`](crate::Options::flush_share).
    pub flush_pauses: u64,
    /// Bulk loads committed.
    pub load_runs: u64,
    /// How often a bulk load let transactions of its table go on, as it had to read objects before it could commit.
    pub load_give_ways: u64,
    /// Checkpoints written.
    pub checkpoint_runs: u64,
    /// Checkpoints that failed.
    pub checkpoint_failed: u64,
    /// Scans begun.
    pub read_scans: u64,
    /// Keys that were looked for by [`Tail::get`](crate::Tail::get).
    pub read_keys: u64,
    /// Reads of objects that the store was asked for.
    pub read_requests: u64,
    /// The bytes that it was asked for.
    pub read_bytes: u64,
    /// Footers of objects that were cached.
    pub read_footer_hits: u64,
    /// Footers of objects that were not cached.
    pub read_footer_misses: u64,
    /// Ranges of pages that were cached.
    pub read_page_hits: u64,
    /// Ranges of pages that were not cached.
    pub read_page_misses: u64,
    /// What goes wrong with the store now.
    pub store: StoreHealth,
    /// The tables that there are, or were after the horizon, by id; those of the catalog left out.
    pub tables: Vec<TableMetrics>,
}

/// What a table has now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TableMetrics {
    /// The table.
    pub table: TableId,
    /// The memory that it takes.
    pub memory: MemoryBytes,
    /// Its memtables: some are being flushed, or are of other columns.
    pub memtables: usize,
    /// Its objects.
    pub objects: usize,
    /// The bytes of its objects.
    pub object_bytes: u64,
    /// The blocks of its objects.
    pub blocks: usize,
    /// The blocks with deletes in memory.
    pub dirty_blocks: usize,
    /// The tombstone objects that its blocks name.
    pub tombstone_objects: usize,
}

impl TailMetrics {
    /// The memory that all tables take, in bytes.
    pub fn memory_bytes(&self) -> usize {
        self.tables.iter().map(|table| table.memory.total()).sum()
    }
}

impl TableMetrics {
    pub(crate) fn of(table: &Table) -> Self {
        let version = table.version();
        let objects = version.objects();
        let tombstones = objects.iter().flat_map(|object| object.tombstones()).map(|object| object.id);
        Self {
            table: table.id(),
            memory: version.memory(),
            memtables: version.memtables().len(),
            objects: objects.len(),
            object_bytes: objects.iter().map(|object| object.meta().bytes).sum(),
            blocks: objects.iter().map(|object| object.meta().blocks.len()).sum(),
            dirty_blocks: objects.iter().map(|object| object.dirty_blocks().len()).sum(),
            tombstone_objects: tombstones.collect::<BTreeSet<_>>().len(),
        }
    }
}

/// A counter.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counters of commits, flushes and reads.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) transactions: Count,
    pub(crate) bytes: Count,
    pub(crate) refused: Count,
    pub(crate) failed: Count,
    pub(crate) flushes: Count,
    pub(crate) flushes_failed: Count,
    pub(crate) pauses: Count,
    pub(crate) loads: Count,
    pub(crate) give_ways: Count,
    pub(crate) checkpoints: Count,
    pub(crate) checkpoints_failed: Count,
    pub(crate) scans: Count,
    pub(crate) keys: Count,
}

/// Counters of reads of objects.
#[derive(Debug, Default)]
pub(crate) struct ReadCounts {
    pub(crate) requests: Count,
    pub(crate) bytes: Count,
    pub(crate) footer_hits: Count,
    pub(crate) footer_misses: Count,
    pub(crate) page_hits: Count,
    pub(crate) page_misses: Count,
}
