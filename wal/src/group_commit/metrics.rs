//! Counters of the log: atomics, read without locks.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::{group_commit::log::Shared, read::cold_read::ReadStats};

/// The counters.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) groups: AtomicU64,
    pub(crate) writes: AtomicU64,
    pub(crate) syncs: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) cold_reads: AtomicU64,
    pub(crate) cold_read_bytes: AtomicU64,
    pub(crate) read_ahead_bytes: AtomicU64,
    pub(crate) reads_spared: AtomicU64,
    pub(crate) moved_bytes: AtomicU64,
    pub(crate) moved_records: AtomicU64,
    pub(crate) scrubbed_bytes: AtomicU64,
    pub(crate) scrub_damages: AtomicU64,
}

impl Metrics {
    pub(crate) fn cold_read(&self, stats: &ReadStats) {
        let counts = [
            (&self.cold_reads, u64::from(stats.bytes > 0)),
            (&self.cold_read_bytes, stats.bytes),
            (&self.read_ahead_bytes, stats.ahead),
            (&self.reads_spared, stats.saved),
        ];
        for (counter, amount) in counts {
            counter.fetch_add(amount, Ordering::Relaxed);
        }
    }

    pub(crate) fn moved(&self, bytes: u64, records: u64) {
        self.moved_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.moved_records.fetch_add(records, Ordering::Relaxed);
    }
}

/// A snapshot of the log's counters since it was opened. Each is exact; together they are not from one instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WalMetrics {
    /// Groups that became durable.
    pub groups: u64,
    /// Writes of groups that completed; one may hold several groups.
    pub writes: u64,
    /// Syncs that completed, besides those in durable writes.
    pub syncs: u64,
    /// Bytes of groups submitted, framing and padding included.
    pub written_bytes: u64,
    /// Reads of the device.
    pub cold_reads: u64,
    /// Bytes read from the device.
    pub cold_read_bytes: u64,
    /// Those of them that were read ahead of sequential reads.
    pub read_ahead_bytes: u64,
    /// Reads of the device that read-ahead saved.
    pub reads_spared: u64,
    /// Bytes written to cold segments, framing and padding included.
    pub moved_bytes: u64,
    /// Records that were moved to cold segments.
    pub moved_records: u64,
    /// Bytes of full segments that the scrubber has checked.
    pub scrubbed_bytes: u64,
    /// Damages that the scrubber found.
    pub scrub_damages: u64,
    /// Caught panics of foreign code: of wakers, callbacks, listeners.
    pub caught_panics: u64,
    /// Bytes that are accepted and not yet durable.
    pub admitted_bytes: u64,
    /// Bytes of recent records in memory.
    pub cached_bytes: u64,
    /// Bytes in memory that were read ahead.
    pub ahead_bytes: u64,
    /// Bytes of the buffers: cached, read ahead, handed out, in whole chunks, and kept for reuse.
    pub buffer_bytes: u64,
    /// Those of them that are kept for reuse.
    pub idle_buffer_bytes: u64,
    /// Live segments, the active one included.
    pub segments: u64,
    /// Segments that are prepared and unused.
    pub prepared_segments: u64,
}

impl Shared {
    pub(crate) fn metrics_now(&self) -> WalMetrics {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        WalMetrics {
            groups: read(&self.metrics.groups),
            writes: read(&self.metrics.writes),
            syncs: read(&self.metrics.syncs),
            written_bytes: read(&self.metrics.bytes),
            cold_reads: read(&self.metrics.cold_reads),
            cold_read_bytes: read(&self.metrics.cold_read_bytes),
            read_ahead_bytes: read(&self.metrics.read_ahead_bytes),
            reads_spared: read(&self.metrics.reads_spared),
            moved_bytes: read(&self.metrics.moved_bytes),
            moved_records: read(&self.metrics.moved_records),
            scrubbed_bytes: read(&self.metrics.scrubbed_bytes),
            scrub_damages: read(&self.metrics.scrub_damages),
            caught_panics: self.notices.panics(),
            admitted_bytes: self.state.admission.used(),
            cached_bytes: self.state.recent.bytes(),
            ahead_bytes: self.state.read_ahead.bytes(),
            buffer_bytes: self.env.medium.pool.bytes() as u64,
            idle_buffer_bytes: self.env.medium.pool.idle_bytes() as u64,
            segments: self.state.segments.lock().len() as u64,
            prepared_segments: self.state.supply.len() as u64,
        }
    }
}
