//! The cache of read-ahead: chunks of segments, and the decision what to read ahead.
//!
//! Records of many owners lie side by side, so scans of one owner after the other read the same parts of the log again
//! and again, each time a little further on. A read that begins where an earlier one ended is taken for the next step
//! of such a scan: it fetches the rest of its chunk as well. Later steps are served from that, and the next chunk is
//! fetched before they need it. Any other read fetches its own blocks only.
//!
//! The cache holds only bytes that are not written any more. A record that is taken from it is verified, as one from
//! the device is. No decision depends on time or chance.

use std::{
    collections::BTreeMap,
    ops::{Bound, Range},
};

use logboom_disk::{Pool, Slice};
use parking_lot::Mutex;

use crate::{
    read::access_pattern::{AccessPattern, NEAR},
    types::ids::SegmentId,
};

/// The size of a chunk in bytes; segments are divided into chunks.
const CHUNK: u32 = 64 << 10;

/// A scan that has read this many bytes of a chunk causes the next chunk to be fetched.
const HALF_WAY: u32 = CHUNK / 2;

/// The most chunks that are considered for eviction each time that room is needed.
const EVICTION_TRIES: usize = 32;

/// A chunk may be evicted when this many reads for each cached chunk have passed since its last use. If there are more
/// scans than fit, they would otherwise evict each other's chunks before these are used.
const READS_BEFORE_EVICTION: u64 = 16;

/// The value of [`Chunk::used`] after a scan has passed the chunk.
const PASSED: u64 = 0;

/// Chunks of segments, up to a bound on their bytes. Threads share it, and do no IO while they hold its lock.
pub(crate) struct ChunkCache {
    bytes_max: u64,
    state: Mutex<State>,
}

/// A read of whole blocks of a segment, of which the first `stable` bytes are not written any more.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    pub(crate) segment: SegmentId,
    pub(crate) range: Range<u32>,
    pub(crate) stable: u32,
}

/// The source of the bytes of an access.
#[derive(Clone, Debug)]
pub(crate) enum Lookup {
    /// The cache.
    Hit(Buffer),
    /// A fill in flight: the caller waits and looks up again.
    InFlight,
    /// The device: the caller fetches this part of a chunk and passes it to [`ChunkCache::fill`]. If there is a buffer,
    /// the access begins with it.
    MissAndFill(Fill, Option<Buffer>),
    /// The device: the caller fetches its own blocks.
    Miss,
}

/// A part of a segment to fetch and cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fill {
    pub(crate) segment: SegmentId,
    pub(crate) at: u32,
    pub(crate) end: u32,
    /// Identifies the fill: its bytes are cached only if the chunk still waits for this fill.
    number: u64,
}

/// Bytes of a segment from `at` on: one slice, or two, of which the second begins at or before the end of the first.
#[derive(Clone, Debug)]
pub(crate) struct Buffer {
    at: u32,
    bytes: Slice,
    rest: Option<(u32, Slice)>,
}

/// A segment, and the index of a chunk in it.
type Key = (SegmentId, u32);

#[derive(Debug, Default)]
struct State {
    chunks: BTreeMap<Key, Chunk>,
    bytes: u64,
    pattern: AccessPattern,
    /// The clock hand: the last chunk that was considered for eviction.
    hand: Key,
    /// The number of reads so far.
    now: u64,
    /// The number of fills so far.
    fills: u64,
}

/// The rest of a chunk, from the position of a scan on.
#[derive(Debug)]
struct Chunk {
    fill: Fill,
    /// `None` while it is in flight.
    bytes: Option<Slice>,
    /// The number of reads at its last use, or [`PASSED`].
    used: u64,
}

impl ChunkCache {
    pub(crate) fn new(bytes_max: u64) -> Self {
        Self { bytes_max, state: Mutex::default() }
    }

    /// The source of each access's bytes, in their order, and fills that the caller starts and does not wait for.
    pub(crate) fn look_up(&self, accesses: impl Iterator<Item = Access>) -> (Vec<Lookup>, Vec<Fill>) {
        if self.bytes_max == 0 {
            return (accesses.map(|_| Lookup::Miss).collect(), Vec::new());
        }
        let (mut state, mut fills) = (self.state.lock(), Vec::new());
        let lookups = accesses.map(|access| {
            let lookup = state.look_up(&access, self.bytes_max);
            if !matches!(lookup, Lookup::Miss) {
                fills.extend(state.fill_next(&access, self.bytes_max));
            }
            lookup
        });
        (lookups.collect(), fills)
    }

    /// Looks up an access again that was in flight.
    pub(crate) fn look_up_again(&self, access: &Access) -> Lookup {
        self.state.lock().look_up_cached(access).unwrap_or(Lookup::Miss)
    }

    /// Caches the bytes that were read for `fill`, unless it was dropped meanwhile. `None` if the read failed.
    pub(crate) fn fill(&self, fill: Fill, bytes: Option<Slice>) {
        let mut state = self.state.lock();
        let key = (fill.segment, fill.at / CHUNK);
        if let Some(chunk) = state.chunks.get_mut(&key)
            && chunk.fill.number == fill.number
        {
            chunk.bytes = bytes;
            if chunk.bytes.is_none() {
                state.remove(key);
            }
        }
    }

    /// Drops the cached bytes of a segment.
    pub(crate) fn forget(&self, segment: SegmentId) {
        self.state.lock().forget(segment);
    }

    /// The bytes that are cached or in flight.
    pub(crate) fn bytes(&self) -> u64 {
        self.state.lock().bytes
    }
}

impl Buffer {
    pub(crate) fn new(at: u32, bytes: Slice) -> Self {
        Self { at, bytes, rest: None }
    }

    pub(crate) fn followed_by(self, rest: Self) -> Self {
        Self { rest: Some((rest.at, rest.bytes)), ..self }
    }

    /// The bytes of `range`, which must lie in the buffer; copies them if they are in both slices.
    pub(crate) fn slice(&self, range: Range<u32>, pool: &Pool) -> Slice {
        let of = |bytes: &Slice, at: u32, part: Range<u32>| {
            bytes.slice((part.start - at) as usize..(part.end - at) as usize)
        };
        match &self.rest {
            Some((at, rest)) if range.start >= *at => of(rest, *at, range),
            Some((at, rest)) if range.end > *at => {
                let (front, back) = (of(&self.bytes, self.at, range.start..*at), of(rest, *at, *at..range.end));
                let mut region = pool.region(front.len() + back.len());
                region[..front.len()].copy_from_slice(&front);
                region[front.len()..front.len() + back.len()].copy_from_slice(&back);
                region.freeze().slice(..front.len() + back.len())
            }
            _ => of(&self.bytes, self.at, range),
        }
    }
}

impl State {
    fn look_up(&mut self, access: &Access, bytes_max: u64) -> Lookup {
        let Access { segment, range, stable } = access.clone();
        self.now += 1;
        if let Some(lookup) = self.look_up_cached(access) {
            return lookup;
        }
        let last = (range.end - 1) / CHUNK;
        let front = self.front(access);
        let is_sequential = front.is_some() || self.mark_passed(segment, range.start);
        // Always called: this read replaces the remembered one.
        let is_sequential = self.pattern.take_before(segment, range.start) || is_sequential;
        let at = if front.is_some() { last * CHUNK } else { range.start };
        if is_sequential
            && at / CHUNK == last
            && let Some(fill) = self.reserve_chunk(segment, at..stable, range.end, bytes_max)
        {
            return Lookup::MissAndFill(fill, front);
        }
        self.pattern.add(segment, range);
        Lookup::Miss
    }

    /// Looks up an access; `None` unless all of it is cached or in flight.
    fn look_up_cached(&mut self, access: &Access) -> Option<Lookup> {
        let Access { segment, range, .. } = access;
        let (first, last) = (range.start / CHUNK, (range.end - 1) / CHUNK);
        if last - first > 1 {
            return None;
        }
        let front = self.use_chunk((*segment, first), range.start..range.end.min((first + 1) * CHUNK))?;
        let back = match last > first {
            true => Some(self.use_chunk((*segment, last), last * CHUNK..range.end)?),
            false => None,
        };
        Some(match (front, back) {
            (Some(first), None) => Lookup::Hit(first),
            (Some(first), Some(Some(second))) => Lookup::Hit(first.followed_by(second)),
            _ => Lookup::InFlight,
        })
    }

    /// The cached part of a chunk, if it covers `range`; `Some(None)` while it is in flight.
    fn use_chunk(&mut self, key: Key, range: Range<u32>) -> Option<Option<Buffer>> {
        let chunk = self.chunks.get_mut(&key)?;
        if range.start < chunk.fill.at || range.end > chunk.fill.end {
            return None;
        }
        chunk.used = self.now;
        let at = chunk.fill.at;
        Some(chunk.bytes.clone().map(|bytes| Buffer::new(at, bytes)))
    }

    /// The start of an access that crosses into the next chunk, if it is cached in the first.
    fn front(&mut self, Access { segment, range, .. }: &Access) -> Option<Buffer> {
        let first = range.start / CHUNK;
        let boundary = (first + 1) * CHUNK;
        let crosses = range.end > boundary && range.end - boundary <= CHUNK;
        if crosses { self.use_chunk((*segment, first), range.start..boundary)? } else { None }
    }

    /// Whether a cached part of a chunk contains `at`, or ends shortly before it, in which case it is marked as passed.
    fn mark_passed(&mut self, segment: SegmentId, at: u32) -> bool {
        let chunks = self.chunks.range_mut((segment, 0)..=(segment, at / CHUNK)).map(|(_, chunk)| chunk);
        let Some(chunk) = chunks.rev().find(|chunk| chunk.fill.at <= at) else { return false };
        let is_sequential = at <= chunk.fill.end.saturating_add(NEAR);
        if is_sequential && at >= chunk.fill.end {
            chunk.used = PASSED;
        }
        is_sequential
    }

    /// The fill of the next chunk, if the access has read enough of the one in which it ends.
    fn fill_next(&mut self, Access { segment, range, stable }: &Access, bytes_max: u64) -> Option<Fill> {
        let chunk = (range.end - 1) / CHUNK;
        let at = (chunk + 1) * CHUNK;
        if range.end - chunk * CHUNK > HALF_WAY {
            self.reserve_chunk(*segment, at..*stable, at, bytes_max)
        } else {
            None
        }
    }

    /// Reserves room for the rest of the chunk that `from` begins in, up to the end of `from`. `None` if the chunk is
    /// cached already, if the rest has no bytes beyond `end`, where the access ends, or if there is no room.
    fn reserve_chunk(&mut self, segment: SegmentId, from: Range<u32>, end: u32, bytes_max: u64) -> Option<Fill> {
        let chunk = from.start / CHUNK;
        let until = from.end.min((chunk + 1) * CHUNK);
        let is_there = self.chunks.get(&(segment, chunk)).is_some_and(|chunk| chunk.fill.at <= from.start);
        if is_there || until <= end || !self.make_room(u64::from(until - from.start), bytes_max) {
            return None;
        }
        self.fills += 1;
        let fill = Fill { segment, at: from.start, end: until, number: self.fills };
        // A scan that began further on may have cached a shorter part.
        self.remove((segment, chunk));
        self.bytes += u64::from(until - from.start);
        self.chunks.insert((segment, chunk), Chunk { fill, bytes: None, used: self.now });
        Some(fill)
    }

    /// Evicts chunks until `bytes` more bytes fit; false if not enough chunks may be evicted.
    fn make_room(&mut self, bytes: u64, bytes_max: u64) -> bool {
        let reads_min = READS_BEFORE_EVICTION * self.chunks.len() as u64;
        for _ in 0..EVICTION_TRIES {
            if self.bytes + bytes <= bytes_max {
                return true;
            }
            let after = (Bound::Excluded(self.hand), Bound::Unbounded);
            let next = self.chunks.range(after).next().or_else(|| self.chunks.first_key_value());
            let Some((&key, chunk)) = next else { return false };
            self.hand = key;
            // The scan that used it has moved to the next chunk.
            let is_passed = self.chunks.get(&(key.0, key.1 + 1)).is_some_and(|next| next.used > chunk.used);
            if is_passed || chunk.used == PASSED || self.now - chunk.used > reads_min {
                self.remove(key);
            }
        }
        self.bytes + bytes <= bytes_max
    }

    fn remove(&mut self, key: Key) {
        if let Some(Chunk { fill, .. }) = self.chunks.remove(&key) {
            self.bytes -= u64::from(fill.end - fill.at);
        }
    }

    fn forget(&mut self, segment: SegmentId) {
        let of_it = self.chunks.range((segment, 0)..=(segment, u32::MAX));
        let keys: Vec<Key> = of_it.map(|(&key, _)| key).collect();
        keys.into_iter().for_each(|key| self.remove(key));
    }
}

#[cfg(test)]
mod tests {
    use logboom_disk::Pool;

    use super::*;

    const BLOCK: u32 = 4096;
    const SEGMENT: SegmentId = SegmentId(3);

    /// A reader of segments in which each block holds its number.
    struct Reader {
        cache: ChunkCache,
        pool: Pool,
        /// Blocks that were read from the device.
        blocks: u32,
        /// What is in flight.
        fills: Vec<Fill>,
    }

    impl Reader {
        fn new(bytes_max: u64) -> Self {
            Self { cache: ChunkCache::new(bytes_max), pool: Pool::new(0), blocks: 0, fills: Vec::new() }
        }

        fn look_up(&mut self, segment: SegmentId, blocks: Range<u32>, stable: u32) -> Lookup {
            let range = blocks.start * BLOCK..blocks.end * BLOCK;
            let access = Access { segment, range, stable: stable * BLOCK };
            let (mut lookups, fills) = self.cache.look_up([access].into_iter());
            assert!(fills.iter().all(|fill| fill.end <= stable * BLOCK && fill.at < fill.end), "{fills:?} of {stable}");
            self.fills.extend(fills);
            lookups.pop().unwrap()
        }

        fn fetch(&mut self, blocks: Range<u32>) -> Buffer {
            self.blocks += blocks.end - blocks.start;
            let mut region = self.pool.region(((blocks.end - blocks.start) * BLOCK) as usize);
            for (block, bytes) in blocks.clone().zip(region.chunks_exact_mut(BLOCK as usize)) {
                bytes[..4].copy_from_slice(&block.to_le_bytes());
            }
            Buffer::new(blocks.start * BLOCK, region.freeze())
        }

        fn fill(&mut self, fill: Fill) -> Buffer {
            let buffer = self.fetch(fill.at / BLOCK..fill.end / BLOCK);
            self.cache.fill(fill, Some(buffer.bytes.clone()));
            buffer
        }

        fn arrive(&mut self) {
            for fill in std::mem::take(&mut self.fills) {
                self.fill(fill);
            }
        }

        /// Reads blocks, and returns whether they were in memory. They are what they should be.
        fn read(&mut self, segment: SegmentId, blocks: Range<u32>, stable: u32) -> bool {
            let lookup = self.look_up(segment, blocks.clone(), stable);
            let is_held = matches!(lookup, Lookup::Hit(_));
            let buffer = match lookup {
                Lookup::Hit(buffer) => buffer,
                Lookup::Miss | Lookup::InFlight => self.fetch(blocks.clone()),
                Lookup::MissAndFill(fill, front) => {
                    assert!(fill.end > blocks.end * BLOCK && fill.end <= stable * BLOCK, "{fill:?} of {stable}");
                    let read = self.fill(fill);
                    front.map_or(read.clone(), |front| front.followed_by(read))
                }
            };
            let bytes = buffer.slice(blocks.start * BLOCK..blocks.end * BLOCK, &self.pool);
            for (block, bytes) in blocks.zip(bytes.chunks_exact(BLOCK as usize)) {
                assert_eq!(bytes[..4], block.to_le_bytes());
            }
            is_held
        }
    }

    #[test]
    fn a_sequential_read_fetches_what_the_next_ones_need() {
        let mut reader = Reader::new(1 << 20);
        let held = |reader: &mut Reader, blocks: Range<u32>| reader.read(SEGMENT, blocks, 1000);
        assert!(!held(&mut reader, 100..102));
        assert_eq!(reader.blocks, 2, "nothing speaks for more");
        assert!(!held(&mut reader, 101..103));
        assert_eq!(reader.blocks, 2 + 11, "the rest of the chunk");
        assert!(held(&mut reader, 103..104) && reader.fills.is_empty());
        assert!((104..112).all(|block| held(&mut reader, block..block + 1)));
        assert_eq!(reader.fills.len(), 1, "the next one, once");
        reader.arrive();
        assert!(held(&mut reader, 110..114), "from one to the next");
        assert!((113..120).all(|block| held(&mut reader, block..block + 1)));
        assert!(!held(&mut reader, 50..51) && !held(&mut reader, 300..301), "before, and far behind");
        assert_eq!((reader.blocks, reader.cache.bytes()), (2 + 11 + 16 + 2, 27 * u64::from(BLOCK)));
    }

    #[test]
    fn a_fill_in_flight_is_waited_for_or_fetched_in_part() {
        let mut reader = Reader::new(1 << 20);
        (0..2).for_each(|block| assert!(!reader.read(SEGMENT, block..block + 1, 1000)));
        assert!(reader.read(SEGMENT, 12..13, 1000));
        let next = reader.fills.pop().unwrap();
        assert!(matches!(reader.look_up(SEGMENT, 15..17, 1000), Lookup::InFlight));
        reader.cache.fill(next, None);
        assert!(matches!(reader.cache.look_up_again(&access(15..17)), Lookup::Miss), "it could not be read");
        let Lookup::MissAndFill(fill, front) = reader.look_up(SEGMENT, 15..17, 1000) else {
            panic!("the front is there")
        };
        assert_eq!((fill.at / BLOCK, fill.end / BLOCK, front.unwrap().at / BLOCK), (16, 32, 1));
        assert!(matches!(reader.cache.look_up_again(&access(15..17)), Lookup::InFlight));
        reader.fill(fill);
        assert!(matches!(reader.cache.look_up_again(&access(15..17)), Lookup::Hit(_)));
    }

    fn access(blocks: Range<u32>) -> Access {
        Access { segment: SEGMENT, range: blocks.start * BLOCK..blocks.end * BLOCK, stable: 1000 * BLOCK }
    }

    #[test]
    fn bytes_that_may_still_be_written_are_not_cached() {
        let mut reader = Reader::new(1 << 20);
        for block in 0..20 {
            assert!(!reader.read(SEGMENT, block..block + 1, 0));
        }
        assert_eq!((reader.blocks, reader.cache.bytes(), reader.fills.len()), (20, 0, 0));
        // The segment is full when ten more blocks are.
        assert!(!reader.read(SEGMENT, 20..21, 30));
        assert!((21..30).all(|block| reader.read(SEGMENT, block..block + 1, 30)));
        assert_eq!((reader.blocks, reader.fills.len()), (30, 0));
    }

    #[test]
    fn a_forgotten_segment_leaves_nothing() {
        let mut reader = Reader::new(1 << 20);
        for segment in [2, 3, 4].map(SegmentId) {
            (0..2).for_each(|block| assert!(!reader.read(segment, block..block + 1, 1000)));
            assert!(reader.read(segment, 12..13, 1000));
        }
        assert_eq!(reader.cache.bytes(), 3 * 31 * u64::from(BLOCK));
        reader.cache.forget(SEGMENT);
        assert_eq!(reader.cache.bytes(), 2 * 31 * u64::from(BLOCK));
        reader.arrive();
        let held = [2, 3, 4].map(|segment| reader.read(SegmentId(segment), 16..17, 1000));
        assert_eq!(held, [true, false, true], "what comes for a segment that is no more is not kept");
    }

    #[test]
    fn nothing_is_cached_without_room() {
        for bytes_max in [0, u64::from(BLOCK)] {
            let mut reader = Reader::new(bytes_max);
            assert!((0..100).all(|block| !reader.read(SEGMENT, block..block + 1, 1000)));
            assert_eq!((reader.blocks, reader.cache.bytes()), (100, 0));
        }
    }

    /// Scans of `streams` places, one block further on each time, with room for so many chunks: how many of 100 reads
    /// were served from memory, and how many blocks were read for them.
    fn scans(streams: u32, chunks: u64) -> (u32, u32) {
        let mut reader = Reader::new(chunks * u64::from(CHUNK));
        let (mut held, mut all) = (0, 0);
        for step in 0..100 {
            for stream in 0..streams {
                let block = stream * 200 + step;
                held += u32::from(reader.read(SEGMENT, block..block + 2, u32::MAX / BLOCK));
                all += 1;
                reader.arrive();
                assert!(reader.cache.bytes() <= chunks * u64::from(CHUNK));
            }
        }
        (held * 100 / all, reader.blocks * 100 / all)
    }

    #[test]
    fn scans_that_fit_are_served_from_memory() {
        for (streams, chunks) in [(1, 2), (50, 75), (300, 512)] {
            let (held, _) = scans(streams, chunks);
            assert!(held >= 80, "{streams} scans, {chunks} chunks: {held} %");
        }
    }

    #[test]
    fn more_scans_than_fit_do_not_evict_each_others_chunks() {
        for (streams, chunks) in [(10, 10), (20, 10), (60, 20), (500, 512), (1000, 300), (3000, 100)] {
            let (held, blocks) = scans(streams, chunks);
            let share = u32::try_from(80 * chunks).unwrap() / streams;
            assert!(held + 1 >= share / 2, "{streams} scans, {chunks} chunks: {held} % of {share}");
            assert!(blocks <= 250, "{streams} scans, {chunks} chunks: {blocks} blocks, and 200 are wanted");
        }
    }

    #[test]
    fn room_is_made_when_scans_end_halfway() {
        let mut reader = Reader::new(4 * u64::from(CHUNK));
        for stream in 0..4 {
            (0..2).for_each(|step| assert!(!reader.read(SEGMENT, stream * 50 + step..stream * 50 + step + 1, 1000)));
        }
        let mut held = 0;
        for block in 300..400 {
            held += u32::from(reader.read(SEGMENT, block..block + 1, 1000));
            reader.arrive();
        }
        assert!(held > 60, "{held}");
    }

    #[test]
    fn every_read_returns_the_bytes_of_the_segment() {
        let seed = fastrand::u64(..);
        let mut rng = fastrand::Rng::with_seed(seed);
        let bound = u64::from(CHUNK) * rng.u64(1..12);
        let mut reader = Reader::new(bound);
        for _ in 0..20_000 {
            let (segment, at) = (SegmentId(rng.u64(0..3)), rng.u32(0..200));
            reader.read(segment, at..at + rng.u32(1..20), if rng.bool() { 220 } else { rng.u32(0..220) });
            if rng.u8(0..100) == 0 {
                reader.cache.forget(segment);
            }
            if rng.bool() {
                reader.arrive();
            }
            assert!(reader.cache.bytes() <= bound, "seed {seed}");
        }
        (0..3).for_each(|segment| reader.cache.forget(SegmentId(segment)));
        assert_eq!(reader.cache.bytes(), 0, "seed {seed}");
    }
}
