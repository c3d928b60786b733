//! Options of a tail.

use std::{sync::Arc, time::Duration};

use logboom::Clock;
use logboom_logtail_blocks::WriteOptions;
use logboom_logtail_core::{
    flush::{FlushLimits, FlushPolicy},
    store::ObjectStore,
};
use logboom_logtail_objects::Options as StoreOptions;

/// Options of a [`Tail`](crate::Tail). Fields are assigned after [`new`](Options::new).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// Where objects are.
    pub store: StoreChoice,
    /// Whether a thread of the tail flushes tables and writes checkpoints. Without, [`Tail::flush`](crate::Tail::flush)
    /// and [`Tail::checkpoint`](crate::Tail::checkpoint) do, on the thread that calls them.
    pub threads: bool,
    /// When tables are flushed: by its bytes, and at half of what they may take at the latest.
    pub flush: FlushPolicy,
    /// The part of its time that each of the two threads of a flush works while transactions commit, above 0 and up to
    /// 1: it pauses for the rest, so that they do not wait for the processor and the disk. One thread sorts the rows,
    /// and the other encodes them; two tables are flushed at a time, so that flushes take up to four times the share of
    /// a processor. Pauses come between pieces of work, which take a fraction of a millisecond unless values are large.
    /// An object whose put begins then is put [in the background](logboom_logtail_core::store::Urgency). There are no
    /// pauses without commits, when rows take three quarters of the memory that they may, while somebody waits in
    /// [`Tail::flush`](crate::Tail::flush) for the table, and without threads. Default: 0.5.
    pub flush_share: f64,
    /// How many deletes a flush has in its record and in a tombstone object.
    pub flush_limits: FlushLimits,
    /// How often a checkpoint is written, where something was committed. Default: 1 minute.
    pub checkpoint_interval: Duration,
    /// How long rows may be in memory and in the log alone. Those of a table with older ones, which cannot be flushed,
    /// are written to checkpoints, so that the log does not grow with what others write. Default: 10 minutes.
    pub pinned: Duration,
    /// How objects are written. Those of a flush, and their row groups, end at a 32nd part of
    /// [`memory_bytes_max`](Self::memory_bytes_max), or at 256 KiB where that is more, whatever this says: a flush has
    /// up to three of them in memory. Those of bulk loads are as large as this says.
    pub objects: WriteOptions,
    /// The clock whose wall clock the timestamps follow, and whose nonces tell openings apart; `None` for those of the
    /// system.
    pub clock: Option<Arc<dyn Clock>>,
    /// How far back readers may ask. Flushes drop versions of rows that were replaced or deleted before that. Default:
    /// 5 minutes, of the clock that is not set: what the wall clock says meanwhile changes nothing.
    pub history: Duration,
    /// The memory that rows may take, in bytes, until commits wait for a flush: as when the store is down. Without
    /// threads they are refused with [`Error::Full`](crate::Error::Full). Changes of the catalog do not wait, and rows
    /// of dropped tables, which stay while readers may ask for them, do not count. It bounds the objects of flushes
    /// too: see [`objects`](Self::objects). 0 counts as 1. Default: 1 GiB.
    pub memory_bytes_max: usize,
    /// The memory that rows of a bulk load take until they are sorted and written to an object, in bytes. With the
    /// objects that are being written a load takes about three times as much, whatever
    /// [`memory_bytes_max`](Self::memory_bytes_max) is. Default: 64 MiB.
    pub load_bytes: usize,
    /// How long a bulk load that is being committed looks for its keys among rows that others write meanwhile, and does
    /// not come nearer to them: while each look takes less than half as long as the one before, they are not counted.
    /// Then it fails with [`Error::Overtaken`](crate::Error::Overtaken). Default: 5 minutes.
    pub load_patience: Duration,
    /// The memory that rows of a table may take, in bytes, until commits that write it wait for its flush: a table that
    /// cannot be flushed leaves the rest to the others. 0 counts as 1. Default: 512 MiB.
    pub table_bytes_max: usize,
    /// The memory for footers of objects, in bytes. Default: 64 MiB.
    pub footer_cache_bytes: u64,
    /// The memory for pages of objects, in bytes. Default: 256 MiB.
    pub page_cache_bytes: u64,
    /// The memory for bloom filters of keys, in bytes: two for each row of an object whose keys are looked up. Default:
    /// 64 MiB.
    pub key_filter_cache_bytes: u64,
    /// The memory for tombstones that were read, in bytes: 12 each. Default: 64 MiB.
    pub tombstone_cache_bytes: u64,
    /// The memory of a scan for what it reads ahead of objects, in bytes; one row group is read ahead whatever its size
    /// is, and with 0 none. Default: 32 MiB.
    pub read_ahead_bytes: u64,
}

/// Where objects are. A store belongs to one tail.
#[derive(Clone, Debug)]
pub enum StoreChoice {
    /// A directory, or a URL.
    Location {
        /// A [location](logboom_logtail_objects).
        location: String,
        /// How it is reached.
        options: StoreOptions,
    },
    /// Another store, of which nobody else's objects are: a simulated one, say.
    Given(Arc<dyn ObjectStore>),
}

impl Options {
    /// Objects at `location`, and the rest as it usually is.
    pub fn new(location: impl Into<String>) -> Self {
        Self {
            store: StoreChoice::Location { location: location.into(), options: StoreOptions::default() },
            threads: true,
            flush: FlushPolicy::default(),
            flush_share: 0.5,
            flush_limits: FlushLimits::default(),
            checkpoint_interval: Duration::from_secs(60),
            pinned: Duration::from_secs(600),
            objects: WriteOptions::default(),
            clock: None,
            history: Duration::from_secs(300),
            memory_bytes_max: 1 << 30,
            table_bytes_max: 512 << 20,
            load_bytes: 64 << 20,
            load_patience: Duration::from_secs(300),
            footer_cache_bytes: 64 << 20,
            page_cache_bytes: 256 << 20,
            key_filter_cache_bytes: 64 << 20,
            tombstone_cache_bytes: 64 << 20,
            read_ahead_bytes: 32 << 20,
        }
    }
}
