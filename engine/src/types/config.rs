//! The configuration of an engine.

use std::{path::PathBuf, sync::Arc, time::Duration};

use logboom_disk::DiskOptions;

use crate::types::observer::Observer;

/// The configuration of an engine. Every field has a default, for a server with thousands of shards.
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
    /// Segments that are kept prepared, at most 4096, besides three that are reserved: one for the next opening, and on
    /// a full device one to move records to and one for the records that free space. Freed segments are kept too, as
    /// many as were begun in the last minute; the file system gets the others back. Default: 2.
    pub reserve_segments: u32,
    /// The most bytes of the log's segment files, prepared ones included: at least 8 segments of the log's own size. A
    /// submit that would exceed it [reclaims](crate::Engine::reclaim) first, and fails with
    /// [`Error::Full`](crate::Error::Full) if live data fills the log. Checkpoints are not counted, nor is the segment
    /// that an opening begins when none is free. Default: no limit.
    pub space_bytes_max: Option<u64>,
    /// Whether the engine moves live records out of mostly dead segments in the background. Otherwise only
    /// [`Engine::reclaim`](crate::Engine::reclaim) does, and a submit that finds the log full. Default: true.
    pub reclaim_in_background: bool,
    /// The bytes of the log's tail that are cached in memory for readers. Default: 64 MiB.
    pub cache_bytes: u64,
    /// The bytes of full segments that read-ahead may cache. The log interleaves the entries of shards, so scans of one
    /// shard after the other return to the same places: there the log reads 64 KiB at a time, and elsewhere only the
    /// requested bytes. Such scans need about 80 KiB for each record of a shard; with less, some records are read one
    /// by one. The chunks that an entry batch pins are not counted: see
    /// [`EntryBatch::pinned_bytes`](crate::EntryBatch::pinned_bytes). 0 disables read-ahead. Default: 64 MiB.
    pub read_ahead_bytes: u64,
    /// The bytes of cached footers, which have the places of entries in sealed segments; above it the least recently
    /// used are evicted. Default: 256 MiB.
    pub index_bytes: u64,
    /// The most bytes that may be accepted and not yet durable; above it a submit waits, or fails with
    /// [`Error::Busy`](crate::Error::Busy). Default: 64 MiB.
    pub admission_bytes: u64,
    /// The longest time until a lazy batch is written, if no durable one follows. Default: 50 ms.
    pub lazy_age: Duration,
    /// How long after its last group an idle log records that all of it is durable. Recovery can then tell damage from
    /// a write that a crash cut short. Default: 100 ms.
    pub idle_promise: Duration,
    /// While a disk operation of any thread takes longer than this, the engine does not
    /// [serve](crate::Health::serves), and the observer is notified. Not zero. Default: 2 s.
    pub stall_after: Duration,
    /// The period of the scrub, which reads all full segments in the background at an even pace: it finds rot while
    /// other replicas can still heal it. However short it is, the scrub waits for as long as it reads. `None` disables
    /// it. Default: a day.
    pub scrub_period: Option<Duration>,
    /// How many snapshots of a shard are kept, the newest by index and then term; at least 1. Leased ones are kept too.
    /// Default: 1.
    pub snapshots_kept: u32,
    /// How the disk is used: backend, direct IO, sync method, wait for the lock.
    pub disk: DiskOptions,
    /// Is notified of events that no call returns. Default: none.
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
            scrub_period: Some(Duration::from_secs(24 * 60 * 60)),
            snapshots_kept: 1,
            disk: DiskOptions::default(),
            observer: None,
        }
    }
}
