//! Counters of an engine.

use std::sync::atomic::{AtomicU64, Ordering};

use logboom_wal::WalMetrics;

use crate::maintenance::core::Core;

/// Counters since the engine was opened, and gauges. Each is exact, but they are not read at one instant. The prefixes
/// `append_`, `index_` and `read_` are stages of the data path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// Batches accepted.
    pub append_batches: u64,
    /// The log below: groups, writes, syncs, cold reads, segments.
    pub log: WalMetrics,
    /// Shards in memory: those that were written to. A destroyed one is removed by the next checkpoint.
    pub index_shards: u64,
    /// Shards in quarantine.
    pub index_quarantined: u64,
    /// Bytes of cached footers.
    pub index_bytes: u64,
    /// Segments sealed with a footer.
    pub index_sealed: u64,
    /// Checkpoints written.
    pub index_checkpoints: u64,
    /// Reads answered from memory.
    pub read_hot: u64,
    /// Reads that needed the disk.
    pub read_cold: u64,
    /// Segments whose live entries were moved to others, by reclaiming; see [`WalMetrics::moved_bytes`].
    pub segments_emptied: u64,
    /// Segments freed, for the log to use again.
    pub segments_freed: u64,
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
            segments_emptied: read(&core.counts.emptied),
            segments_freed: read(&core.counts.retired),
        }
    }
}
