//! The recent tail in memory: the very buffers that were written, found by place.

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

/// The header of a record, and the beginning of what the layer above put behind it.
const PREFETCHED: usize = 2 * RECORD_HEADER;

/// Chunks in the order of the log, the oldest leaving first when their bytes exceed a bound.
#[derive(Debug)]
pub(crate) struct Recent {
    bound: u64,
    chunks: RwLock<Chunks>,
}

#[derive(Debug, Default)]
struct Chunks {
    bytes: u64,
    held: VecDeque<Held>,
}

/// One chunk, an image of `chunk.len()` bytes of the segment from `base` on.
#[derive(Debug)]
struct Held {
    segment: SegmentId,
    base: u32,
    chunk: Chunk,
    /// The last group that begins in it; `u64::MAX` while it is being filled.
    last: AtomicU64,
}

impl Recent {
    pub(crate) fn new(bound: u64) -> Self {
        Self { bound, chunks: RwLock::default() }
    }

    /// Adds the chunk that the log goes on in; `last` is the last group of the one before.
    ///
    /// Chunks leave only below `durable`: what the device does not hold yet can be read nowhere else.
    pub(crate) fn begin(&self, segment: SegmentId, base: u32, chunk: Chunk, last: u64, durable: u64) {
        let mut chunks = self.chunks.write();
        if let Some(before) = chunks.held.back() {
            before.last.store(last, Ordering::Relaxed);
        }
        chunks.bytes += chunk.len() as u64;
        chunks.held.push_back(Held { segment, base, chunk, last: AtomicU64::new(u64::MAX) });
        while chunks.bytes > self.bound
            && chunks.held.front().is_some_and(|front| front.last.load(Ordering::Relaxed) <= durable)
        {
            if let Some(front) = chunks.held.pop_front() {
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
    /// Each is likely to be far from the one before, and what a reader looks at first is at its beginning: all of that
    /// is asked for before any of it is looked at.
    pub(crate) fn read_all(&self, places: impl Iterator<Item = Place>) -> Option<Vec<Record>> {
        let chunks = self.chunks.read();
        let mut asked: Vec<Slice> = Vec::with_capacity(places.size_hint().1.unwrap_or(0));
        for place in places {
            let bytes = chunks.slice(place)?;
            bytes.prefetch(PREFETCHED);
            asked.push(bytes);
        }
        drop(chunks);
        asked.into_iter().map(Record::written_here).collect()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.chunks.read().bytes
    }
}

impl Chunks {
    fn slice(&self, place: Place) -> Option<Slice> {
        let behind = self.held.partition_point(|held| (held.segment, held.base) <= (place.segment, place.offset));
        let held = self.held.get(behind.checked_sub(1)?)?;
        if held.segment != place.segment {
            return None;
        }
        let from = (place.offset - held.base) as usize;
        held.chunk.slice(from..from + place.len as usize)
    }
}
