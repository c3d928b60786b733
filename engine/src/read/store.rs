//! The state that reads need: shards, log and footers. Handles to shards hold no more of the engine.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use logboom_wal::{Error as WalError, FooterParts, Place, Reader, Record, Scanned, SegmentId, SegmentInfo, Wal, marks};

use crate::{
    index::{
        footer::{Footer, FooterRebuilder},
        footer_cache::FooterCache,
    },
    read::{lost::Losses, readers::Readers},
    shard_state::{published::View, shard_map::ShardMap},
    types::ids::ShardId,
};

/// An engine, or a read-only view of one, shares it with all handles to its shards.
pub(crate) struct Store {
    pub(crate) source: Source,
    pub(crate) shards: ShardMap,
    pub(crate) footers: FooterCache,
    pub(crate) readers: Arc<Readers>,
    pub(crate) counts: ReadCounts,
    pub(crate) losses: Arc<Losses>,
}

/// The log, open for writing or read-only.
pub(crate) enum Source {
    Log(Wal),
    Reader(Box<Reader>),
}

/// Counts of reads, from memory (hot) and from the disk (cold).
#[derive(Debug, Default)]
pub(crate) struct ReadCounts {
    pub(crate) hot: AtomicU64,
    pub(crate) cold: AtomicU64,
}

impl Store {
    pub(crate) fn new(
        source: Source,
        shards: ShardMap,
        index_bytes: u64,
        readers: Arc<Readers>,
        losses: Arc<Losses>,
    ) -> Arc<Self> {
        let footers = FooterCache::new(index_bytes);
        Arc::new(Self { source, shards, footers, readers, counts: ReadCounts::default(), losses })
    }

    /// The shards that hold anything, sorted.
    pub(crate) fn shard_ids(&self) -> Vec<ShardId> {
        let mut ids = self.shards.ids();
        ids.retain(|id| {
            self.shards.get(*id).is_some_and(|cell| {
                let view: View = cell.published.load();
                !view.extent.is_vacant() || !cell.state.lock().is_bare()
            })
        });
        ids
    }

    /// The footer of a sealed segment: cached, read from the segment, or rebuilt from the segment's records.
    pub(crate) fn footer(&self, segment: SegmentId) -> Result<Arc<Footer>, WalError> {
        if let Some(footer) = self.footers.get(segment) {
            return Ok(footer);
        }
        let read = match self.source.read_footer(segment) {
            Ok(read) => read.and_then(|parts| Footer::decode(&parts).ok()),
            // A footer that the device cannot read counts as damaged. If it can read nothing, the rebuild fails too.
            Err(WalError::Io { .. }) => None,
            Err(error) => return Err(error),
        };
        let footer = match read {
            Some(footer) => Arc::new(footer),
            None => Arc::new(self.rebuild_footer(segment)?),
        };
        self.footers.keep(segment, Arc::clone(&footer));
        Ok(footer)
    }

    pub(crate) fn count_read(&self, cold: bool) {
        let count = if cold { &self.counts.cold } else { &self.counts.hot };
        count.fetch_add(1, Ordering::Relaxed);
    }

    fn rebuild_footer(&self, segment: SegmentId) -> Result<Footer, WalError> {
        marks::hit("read: a segment is read in place of its footer");
        let mut rebuilder = FooterRebuilder::default();
        self.source.scan(segment, &mut |scanned| {
            rebuilder.add(&scanned);
            Ok(())
        })?;
        rebuilder.finish().map_err(|error| {
            let what = format!("what segment {segment} holds does not fit in a footer: {error:#}");
            WalError::Bug { what: what.into() }
        })
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.readers.stop();
    }
}

impl Source {
    /// The record at `place`, if the log has it in memory.
    pub(crate) fn read_recent(&self, place: Place) -> Option<Record> {
        match self {
            Self::Log(wal) => wal.read_recent(place),
            Self::Reader(_) => None,
        }
    }

    /// The records at `places`, if the log has all of them in memory.
    pub(crate) fn read_all_recent(&self, places: impl Iterator<Item = Place>) -> Option<Vec<Record>> {
        match self {
            Self::Log(wal) => wal.read_all_recent(places),
            Self::Reader(_) => None,
        }
    }

    pub(crate) fn read(&self, places: &[Place], out: &mut Vec<Record>) -> Result<(), WalError> {
        match self {
            Self::Log(wal) => wal.read(places, out),
            Self::Reader(reader) => reader.read(places, out),
        }
    }

    /// Drops cached bytes of these segments: the next read goes to the device.
    pub(crate) fn forget_read(&self, segments: impl Iterator<Item = SegmentId>) {
        match self {
            Self::Log(wal) => wal.forget_read(segments),
            Self::Reader(reader) => reader.forget_read(segments),
        }
    }

    /// Wakes the machines, if the log is open for writing.
    pub(crate) fn kick(&self) {
        if let Self::Log(wal) = self {
            wal.worker().kick();
        }
    }

    /// The identity of the log.
    pub(crate) fn log_id(&self) -> [u64; 2] {
        match self {
            Self::Log(wal) => wal.log_id(),
            Self::Reader(reader) => reader.log_id(),
        }
    }

    pub(crate) fn segments(&self) -> Vec<SegmentInfo> {
        match self {
            Self::Log(wal) => wal.segments(),
            Self::Reader(reader) => reader.segments(),
        }
    }

    /// The highest durable group.
    pub(crate) fn durable(&self) -> u64 {
        match self {
            Self::Log(wal) => wal.durable(),
            Self::Reader(_) => u64::MAX,
        }
    }

    fn read_footer(&self, segment: SegmentId) -> Result<Option<FooterParts>, WalError> {
        match self {
            Self::Log(wal) => wal.read_footer(segment),
            Self::Reader(reader) => reader.read_footer(segment),
        }
    }

    fn scan(&self, segment: SegmentId, each: &mut dyn FnMut(Scanned) -> Result<(), WalError>) -> Result<(), WalError> {
        match self {
            Self::Log(wal) => wal.scan(segment, each),
            Self::Reader(reader) => reader.scan(segment, each),
        }
    }
}
