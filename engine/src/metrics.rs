//! Counters, read without stopping anything.

use std::sync::atomic::{AtomicU64, Ordering};

use logboom_wal::WalMetrics;

use crate::maintenance::core::Core;

/// What the engine has done since it was opened, and what it holds. Each number is exact; together they are not one
/// instant's. The prefixes are the stages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// Batches accepted.
    pub append_batches: u64,
    /// The log below: groups, writes, syncs, cold reads, segments.
    pub log: WalMetrics,
    /// Shards that the engine keeps in memory: that were written to, and have not been destroyed for long.
    pub index_shards: u64,
    /// Shards in quarantine.
    pub index_quarantined: u64,
    /// Bytes of loaded footers.
    pub index_bytes: u64,
    /// Segments sealed with a footer.
    pub index_sealed: u64,
    /// Checkpoints written.
    pub index_checkpoints: u64,
    /// Reads answered from memory.
    pub read_hot: u64,
    /// Reads for which the disk was needed.
    pub read_cold: u64,
    /// Segments whose live entries were moved to others; see [`WalMetrics::moved_bytes`].
    pub compact_emptied: u64,
    /// Segments given back.
    pub compact_segments: u64,
}

impl Metrics {
    pub(crate) fn of(core: &Core) -> Self {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Self {
            append_batches: read(&core.counts.batches),
            log: core.wal.metrics(),
            index_shards: u64::from(core.store.shards.len()),
            index_quarantined: core.store.shards.count_quarantined() as u64,
            index_bytes: core.store.footers.bytes(),
            index_sealed: read(&core.counts.sealed),
            index_checkpoints: read(&core.counts.checkpoints),
            read_hot: read(&core.store.counts.hot),
            read_cold: read(&core.store.counts.cold),
            compact_emptied: read(&core.counts.emptied),
            compact_segments: read(&core.counts.retired),
        }
    }
}
