//! What an engine is opened with.

use std::{path::PathBuf, sync::Arc, time::Duration};

use logboom_disk::DiskOptions;

use crate::types::observer::Observer;

/// What an engine is opened with; every field has a default that suits a server with thousands of shards.
///
/// # Example
/// ```
/// let mut config = logboom::Config::new("/var/lib/node/log");
/// config.segment_bytes = 16 << 20;
/// config.cache_bytes = 256 << 20;
/// # assert!(config.create);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// The directory that holds the log and nothing else. One process at a time may have it open for writing.
    pub dir: PathBuf,
    /// Whether the log is created when absent, and with it the directory, unless
    /// [`DiskOptions::create`] says that this must be there: a mount point, say. Default: true.
    pub create: bool,
    /// The size of a segment file in bytes: a power of two from 256 KiB to 1 GiB. It bounds a batch (a quarter of it)
    /// and is fixed when the log is created: an existing log keeps its own. Default: 64 MiB.
    pub segment_bytes: u64,
    /// Segments that are kept prepared, besides three: one for the next opening, and two to move records to and to free
    /// others on a full device; at most 4096. What has been used once is kept besides, as far as the last minute began
    /// segments; what is left goes back to the file system. Default: 2.
    pub reserve_segments: u32,
    /// The most bytes that the log's segment files may take, those that are prepared included: at least 8 segments of
    /// the log's own size. A writer that fills it makes room first, by [reclaiming](crate::Engine::reclaim), and is
    /// refused with [`Error::Full`](crate::Error::Full) when shards hold all of it. Checkpoints come on top, and the
    /// one segment that an opening begins when none is free. Default: no bound.
    pub space_bytes_max: Option<u64>,
    /// Whether the engine moves what is live out of segments that are mostly dead by itself, in the background; without
    /// that, only [`Engine::reclaim`](crate::Engine::reclaim) does, and whoever finds the log full. Default: true.
    pub reclaim_in_background: bool,
    /// The bytes of the recent tail that stay in memory for readers. Default: 64 MiB.
    pub cache_bytes: u64,
    /// The bytes of full segments that may be in memory ahead of scans. Shards' entries lie side by side in the log, so
    /// whoever scans one shard after the other comes by the same places again and again: there 64 KiB are read at a
    /// time, and anywhere else what is wanted. Such scans want room for about 80 KiB for each record of a shard; with
    /// less, some of the records are read one by one. A batch that was read keeps the chunks that its entries lie in,
    /// see [`EntryBatch::pinned_bytes`](crate::EntryBatch::pinned_bytes), besides. 0 reads nothing ahead. Default:
    /// 64 MiB.
    pub read_ahead_bytes: u64,
    /// The bytes that the loaded places of sealed segments may take; the least recently used are dropped beyond that
    /// and loaded again when needed. Default: 256 MiB.
    pub index_bytes: u64,
    /// The bytes that may be accepted and not yet durable; beyond that, submitting waits or is refused.
    /// Default: 64 MiB.
    pub admission_bytes: u64,
    /// A lazy batch is written after at most this, whether or not a durable one follows. Default: 50 ms.
    pub lazy_age: Duration,
    /// How long after its last group an idle log writes down that all of it is durable, which makes damage to any of
    /// it distinguishable from a write that a crash cut short. Default: 100 ms.
    pub idle_promise: Duration,
    /// While an operation of the disk lasts longer, whichever thread waits for it, the engine does not
    /// [serve](crate::Health::serves), and the observer is told. Not zero. Default: 2 s.
    pub stall_after: Duration,
    /// How long a reading of all full segments in the background takes, at an even pace; it finds rot while other
    /// replicas can still heal it. Zero for none. Default: a day.
    pub scrub_period: Duration,
    /// The snapshots of a shard that are kept, newest first by index and then term; at least 1. Leased ones stay
    /// besides. Default: 1.
    pub snapshots_kept: u32,
    /// How the disk is used: backend, direct IO, sync method, wait for the lock.
    pub disk: DiskOptions,
    /// Is told what nobody waits for. Default: none.
    pub observer: Option<Arc<dyn Observer>>,
}

impl Config {
    /// The defaults, for the log in `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            create: true,
            segment_bytes: 64 << 20,
            reserve_segments: 2,
            space_bytes_max: None,
            reclaim_in_background: true,
            cache_bytes: 64 << 20,
            read_ahead_bytes: 64 << 20,
            index_bytes: 256 << 20,
            admission_bytes: 64 << 20,
            lazy_age: Duration::from_millis(50),
            idle_promise: Duration::from_millis(100),
            stall_after: Duration::from_secs(2),
            scrub_period: Duration::from_secs(24 * 60 * 60),
            snapshots_kept: 1,
            disk: DiskOptions::default(),
            observer: None,
        }
    }
}
