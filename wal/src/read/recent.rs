//! The recent tail of the log in memory: the buffers that the groups were written from.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicU64, Ordering},
};

use logboom_disk::{Chunk, Slice};
use parking_lot::RwLock;

use crate::{
    format::record::{RECORD_HEADER, Record},
    types::ids::{Place, SegmentId},
};

/// The bytes of a record that are prefetched: its header, and the start of its body.
const PREFETCHED: usize = 2 * RECORD_HEADER;

/// Chunks in the order of the log. When their bytes exceed a bound, the oldest are evicted.
#[derive(Debug)]
pub(crate) struct Recent {
    bytes_max: u64,
    chunks: RwLock<Chunks>,
}

#[derive(Debug, Default)]
struct Chunks {
    bytes: u64,
    chunks: VecDeque<RecentChunk>,
}

/// A chunk with the bytes of a segment from `base` on.
#[derive(Debug)]
struct RecentChunk {
    segment: SegmentId,
    base: u32,
    chunk: Chunk,
    /// The last group that begins in it; `u64::MAX` while groups are added.
    last: AtomicU64,
}

impl Recent {
    pub(crate) fn new(bytes_max: u64) -> Self {
        Self { bytes_max, chunks: RwLock::default() }
    }

    /// Adds the chunk for the next groups; `last` is the last group of the chunk before.
    ///
    /// Evicts a chunk only if its groups are durable: until then they can be read from memory alone.
    pub(crate) fn begin(&self, segment: SegmentId, base: u32, chunk: Chunk, last: u64, durable: u64) {
        let mut chunks = self.chunks.write();
        if let Some(before) = chunks.chunks.back() {
            before.last.store(last, Ordering::Relaxed);
        }
        chunks.bytes += chunk.len() as u64;
        chunks.chunks.push_back(RecentChunk { segment, base, chunk, last: AtomicU64::new(u64::MAX) });
        while chunks.bytes > self.bytes_max
            && chunks.chunks.front().is_some_and(|front| front.last.load(Ordering::Relaxed) <= durable)
        {
            if let Some(front) = chunks.chunks.pop_front() {
                chunks.bytes -= front.chunk.len() as u64;
            }
        }
    }

    /// The record at `place`, if it is in memory and published.
    pub(crate) fn read(&self, place: Place) -> Option<Record> {
        Record::written_here(self.chunks.read().slice(place)?)
    }

    /// The records at `places`, if all are in memory and published.
    ///
    /// Prefetches the start of all records before it looks at the first: they are likely to be far apart in memory.
    pub(crate) fn read_all(&self, places: impl Iterator<Item = Place>) -> Option<Vec<Record>> {
        let chunks = self.chunks.read();
        let mut slices: Vec<Slice> = Vec::with_capacity(places.size_hint().1.unwrap_or(0));
        for place in places {
            let bytes = chunks.slice(place)?;
            bytes.prefetch(PREFETCHED);
            slices.push(bytes);
        }
        drop(chunks);
        slices.into_iter().map(Record::written_here).collect()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.chunks.read().bytes
    }
}

impl Chunks {
    fn slice(&self, place: Place) -> Option<Slice> {
        let at = (place.segment, place.offset);
        let after = self.chunks.partition_point(|chunk| (chunk.segment, chunk.base) <= at);
        let found = self.chunks.get(after.checked_sub(1)?)?;
        if found.segment != place.segment {
            return None;
        }
        let from = (place.offset - found.base) as usize;
        found.chunk.slice(from..from + place.len as usize)
    }
}
