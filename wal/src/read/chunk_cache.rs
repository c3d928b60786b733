//! The chunks of segments that read-ahead keeps in memory, and what it reads when.
//!
//! Records of many owners lie side by side, so a scan of one owner after the other reads the same places of the log
//! again and again, each time a little further on. A read that begins where an earlier one ended is taken for the next
//! step of such a scan, and reads on to the end of its chunk; the steps after it are served from that, and the next
//! chunk is read before they need it. A read without such evidence reads what it wants.
//!
//! Only bytes that are not written any more are kept, and a record is verified whenever it is taken from them, as one
//! from the device is. Nothing here is decided by time or chance.

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

/// Segments are divided into chunks of so many bytes.
const CHUNK: u32 = 64 << 10;

/// A scan that is so far into a chunk has the next one read.
const HALF_WAY: u32 = CHUNK / 2;

/// Chunks that are looked at for one to evict, each time that room is needed.
const LOOKS: usize = 32;

/// A chunk may be evicted when so many reads for each cached chunk have passed since its last use: more scans than
/// there is room for would otherwise evict each other's chunks before any of them is used.
const PATIENCE: u64 = 16;

/// In place of when a chunk was last used: a scan has gone on behind it.
const SPENT: u64 = 0;

/// Chunks of segments, up to a bound on their bytes. Any number of threads may use it; none waits for the device
/// meanwhile.
pub(crate) struct ChunkCache {
    bytes_max: u64,
    state: Mutex<State>,
}

/// What is to be read: whole blocks of a segment, of which the first `stable` bytes are not written any more.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    pub(crate) segment: SegmentId,
    pub(crate) range: Range<u32>,
    pub(crate) stable: u32,
}

/// Where the bytes of an access come from.
#[derive(Clone, Debug)]
pub(crate) enum Lookup {
    /// Memory.
    Hit(Buffer),
    /// A read that was started: to be looked up again when something has come.
    InFlight,
    /// The device, which is read on to the end of a chunk, for [`ChunkCache::fill`]; the access begins with the
    /// buffer, if there is one.
    ReadOn(Fill, Option<Buffer>),
    /// The device, which is read for nothing else.
    Miss,
}

/// A part of a segment that is to be read and kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fill {
    pub(crate) segment: SegmentId,
    pub(crate) at: u32,
    pub(crate) end: u32,
    /// What is read is kept if it was asked for under this number.
    number: u64,
}

/// Bytes of a segment from `at` on: one slice, or two of which the second begins where the first ends or before.
#[derive(Clone, Debug)]
pub(crate) struct Buffer {
    at: u32,
    bytes: Slice,
    rest: Option<(u32, Slice)>,
}

/// A segment, and which of its chunks.
type Key = (SegmentId, u32);

#[derive(Debug, Default)]
struct State {
    chunks: BTreeMap<Key, Chunk>,
    bytes: u64,
    pattern: AccessPattern,
    /// The last chunk that was looked at for whether it may be evicted.
    hand: Key,
    /// Reads so far.
    now: u64,
    /// Fills so far.
    fills: u64,
}

/// The rest of a chunk, from where a scan was.
#[derive(Debug)]
struct Chunk {
    fill: Fill,
    /// `None` while it is in flight.
    bytes: Option<Slice>,
    /// When it was last used: after so many reads, or [`SPENT`].
    used: u64,
}

impl ChunkCache {
    pub(crate) fn new(bytes_max: u64) -> Self {
        Self { bytes_max, state: Mutex::default() }
    }

    /// Where the bytes of each access come from, in their order, and what is to be read besides, which is not waited
    /// for.
    pub(crate) fn look_up(&self, accesses: impl Iterator<Item = Access>) -> (Vec<Lookup>, Vec<Fill>) {
        if self.bytes_max == 0 {
            return (accesses.map(|_| Lookup::Miss).collect(), Vec::new());
        }
        let (mut state, mut fills) = (self.state.lock(), Vec::new());
        let lookups = accesses.map(|access| {
            let lookup = state.look_up(&access, self.bytes_max);
            if !matches!(lookup, Lookup::Miss) {
                fills.extend(state.next(&access, self.bytes_max));
            }
            lookup
        });
        (lookups.collect(), fills)
    }

    /// What was in flight before: in memory, still in flight, or to be read.
    pub(crate) fn look_up_again(&self, access: &Access) -> Lookup {
        self.state.lock().held(access).unwrap_or(Lookup::Miss)
    }

    /// Keeps what was read for `fill`, if there is still room for it; without bytes, it is not in flight any more.
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

    /// Drops what is kept of a segment.
    pub(crate) fn forget(&self, segment: SegmentId) {
        self.state.lock().forget(segment);
    }

    /// The bytes that are kept or in flight.
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

    /// The bytes of `range`, which lies in it; copied where that is in both slices.
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
        if let Some(lookup) = self.held(access) {
            return lookup;
        }
        let last = (range.end - 1) / CHUNK;
        let front = self.front(access);
        let goes_on = front.is_some() || self.leave_chunk(segment, range.start);
        // What is remembered goes on here or nowhere.
        let goes_on = self.pattern.take_before(segment, range.start) || goes_on;
        let at = if front.is_some() { last * CHUNK } else { range.start };
        if goes_on
            && at / CHUNK == last
            && let Some(fill) = self.reserve_chunk(segment, at..stable, range.end, bytes_max)
        {
            return Lookup::ReadOn(fill, front);
        }
        self.pattern.add(segment, range);
        Lookup::Miss
    }

    /// An access, if all of it is in memory or in flight.
    fn held(&mut self, access: &Access) -> Option<Lookup> {
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

    /// What a chunk has of itself, if that is or will be all of `range`; `Some(None)` while it is in flight.
    fn use_chunk(&mut self, key: Key, range: Range<u32>) -> Option<Option<Buffer>> {
        let chunk = self.chunks.get_mut(&key)?;
        if range.start < chunk.fill.at || range.end > chunk.fill.end {
            return None;
        }
        chunk.used = self.now;
        let at = chunk.fill.at;
        Some(chunk.bytes.clone().map(|bytes| Buffer::new(at, bytes)))
    }

    /// The beginning of an access that goes from one chunk to the next, if it is in memory in the first.
    fn front(&mut self, Access { segment, range, .. }: &Access) -> Option<Buffer> {
        let first = range.start / CHUNK;
        let parted_at = (first + 1) * CHUNK;
        let is_parted = range.end > parted_at && range.end - parted_at <= CHUNK;
        if is_parted { self.use_chunk((*segment, first), range.start..parted_at)? } else { None }
    }

    /// Whether a chunk ends shortly before `at`, or somewhere behind it.
    fn leave_chunk(&mut self, segment: SegmentId, at: u32) -> bool {
        let chunks = self.chunks.range_mut((segment, 0)..=(segment, at / CHUNK)).map(|(_, chunk)| chunk);
        let Some(chunk) = chunks.rev().find(|chunk| chunk.fill.at <= at) else { return false };
        let goes_on = at <= chunk.fill.end.saturating_add(NEAR);
        if goes_on && at >= chunk.fill.end {
            chunk.used = SPENT;
        }
        goes_on
    }

    /// The chunk behind the one in which the access ends, when it is time for that.
    fn next(&mut self, Access { segment, range, stable }: &Access, bytes_max: u64) -> Option<Fill> {
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
        // Another scan may have begun further on in it.
        self.remove((segment, chunk));
        self.bytes += u64::from(until - from.start);
        self.chunks.insert((segment, chunk), Chunk { fill, bytes: None, used: self.now });
        Some(fill)
    }

    /// Evicts chunks until so many bytes fit, if enough may be evicted.
    fn make_room(&mut self, bytes: u64, bytes_max: u64) -> bool {
        let patience = PATIENCE * self.chunks.len() as u64;
        for _ in 0..LOOKS {
            if self.bytes + bytes <= bytes_max {
                return true;
            }
            let behind = (Bound::Excluded(self.hand), Bound::Unbounded);
            let next = self.chunks.range(behind).next().or_else(|| self.chunks.first_key_value());
            let Some((&key, chunk)) = next else { return false };
            self.hand = key;
            // The scan that was in it has gone on to the next one.
            let is_spent = self.chunks.get(&(key.0, key.1 + 1)).is_some_and(|next| next.used > chunk.used);
            if is_spent || chunk.used == SPENT || self.now - chunk.used > patience {
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
                Lookup::ReadOn(fill, front) => {
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
    fn a_read_that_goes_on_brings_what_the_next_ones_want() {
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
    fn what_did_not_come_in_time_is_waited_for_or_brought_in_part() {
        let mut reader = Reader::new(1 << 20);
        (0..2).for_each(|block| assert!(!reader.read(SEGMENT, block..block + 1, 1000)));
        assert!(reader.read(SEGMENT, 12..13, 1000));
        let next = reader.fills.pop().unwrap();
        assert!(matches!(reader.look_up(SEGMENT, 15..17, 1000), Lookup::InFlight));
        reader.cache.fill(next, None);
        assert!(matches!(reader.cache.look_up_again(&access(15..17)), Lookup::Miss), "it could not be read");
        let Lookup::ReadOn(fill, front) = reader.look_up(SEGMENT, 15..17, 1000) else { panic!("the front is there") };
        assert_eq!((fill.at / BLOCK, fill.end / BLOCK, front.unwrap().at / BLOCK), (16, 32, 1));
        assert!(matches!(reader.cache.look_up_again(&access(15..17)), Lookup::InFlight));
        reader.fill(fill);
        assert!(matches!(reader.cache.look_up_again(&access(15..17)), Lookup::Hit(_)));
    }

    fn access(blocks: Range<u32>) -> Access {
        Access { segment: SEGMENT, range: blocks.start * BLOCK..blocks.end * BLOCK, stable: 1000 * BLOCK }
    }

    #[test]
    fn what_may_still_be_written_is_not_kept() {
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
    fn a_segment_that_is_no_more_leaves_nothing() {
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
    fn nothing_is_kept_where_nothing_may_be() {
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
    fn scans_that_there_is_room_for_are_served_from_memory() {
        for (streams, chunks) in [(1, 2), (50, 75), (300, 512)] {
            let (held, _) = scans(streams, chunks);
            assert!(held >= 80, "{streams} scans, {chunks} chunks: {held} %");
        }
    }

    #[test]
    fn more_scans_than_there_is_room_for_do_not_throw_out_each_others_chunks() {
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
    fn whatever_is_read_it_is_what_lies_there() {
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
