//! Reading ahead: what lies behind the reads of a scan that goes on, in memory before the scan comes by.
//!
//! Records of many owners lie side by side, so whoever scans one owner after the other comes by the same places of the
//! log again and again, each time a little further on. A read that begins where an earlier one was is taken for the
//! next step of such a scan, and brings the rest of the chunk that it is in; the steps after it are served from that,
//! and have the next chunk on its way before they need it. A read without such evidence brings what it wants.
//!
//! Only bytes that nobody writes any more are kept, and what is kept is verified whenever a record is taken from it,
//! as what comes from the device is. Nothing here is decided by time or chance.

use std::{
    collections::BTreeMap,
    ops::{Bound, Range},
};

use logboom_disk::{Pool, Slice};
use parking_lot::Mutex;

use crate::{
    read::{access_pattern::Trail, read_ahead::Prefetch},
    types::ids::SegmentId,
};

/// Segments are divided into chunks of so many bytes.
pub(crate) const CHUNK: u32 = 64 << 10;

/// Records of a segment with at most so many bytes between them are neighbours: they are read from the device at once,
/// and who reads one after the other is taken to go on.
pub const NEAR: u32 = 16 << 10;

/// Who has come so far into a chunk has the next one on its way.
const HALF_WAY: u32 = CHUNK / 2;

/// Chunks that are looked at for one that may go, each time that room is needed.
const LOOKS: usize = 32;

/// A chunk that nobody came by stays while so many reads for each chunk go elsewhere: else more scans than there is
/// room for would throw out each other's chunks before any of them is used.
const PATIENCE: u64 = 16;

/// In place of when a chunk was last of use: somebody went on behind it.
const SPENT: u64 = 0;

/// Chunks of segments, up to a bound on their bytes. Any number of threads may use it; nobody waits for the device
/// meanwhile.
pub(crate) struct Ahead {
    bytes_max: u64,
    state: Mutex<State>,
    pub(crate) prefetch: Prefetch,
}

/// What is to be read: whole blocks of a segment, in whose first `still` bytes nothing is written any more.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) segment: SegmentId,
    pub(crate) range: Range<u32>,
    pub(crate) still: u32,
}

/// How it is to be read.
#[derive(Clone, Debug)]
pub(crate) enum Way {
    /// It is in memory.
    Held(Stretch),
    /// It is on its way: to be looked for again when something has come.
    Coming,
    /// This part of a segment is read, for [`Ahead::bring`]; what is wanted begins with the piece, if there is one.
    Ahead(Part, Option<Piece>),
    /// The device is read for nothing else.
    Alone,
}

/// A part of a segment that is to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) segment: SegmentId,
    pub(crate) at: u32,
    pub(crate) end: u32,
    /// What is brought for a part is kept if it was asked for under this number.
    number: u64,
}

/// Bytes of a segment from `at` on.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub(crate) at: u32,
    pub(crate) bytes: Slice,
}

/// One piece, or two of which the second begins where the first ends.
#[derive(Clone, Debug)]
pub(crate) struct Stretch {
    pub(crate) first: Piece,
    pub(crate) second: Option<Piece>,
}

/// A segment, and which of its chunks.
type Key = (SegmentId, u32);

#[derive(Debug, Default)]
struct State {
    chunks: BTreeMap<Key, Chunk>,
    bytes: u64,
    trail: Trail,
    /// The last chunk that was looked at for whether it may go.
    hand: Key,
    /// Reads so far.
    now: u64,
    /// Parts so far.
    parts: u64,
}

/// The rest of a chunk, from where somebody was.
#[derive(Debug)]
struct Chunk {
    part: Part,
    /// `None` while it is on its way.
    bytes: Option<Slice>,
    /// When it was last of use: after so many reads, or [`SPENT`].
    used: u64,
}

impl Ahead {
    /// With no bytes to keep nothing is read ahead.
    pub(crate) fn new(bytes_max: u64) -> Self {
        Self { bytes_max, state: Mutex::default(), prefetch: Prefetch::default() }
    }

    /// How each of these is to be read, in their order, and what is to be brought besides, without being waited for.
    pub(crate) fn ways(&self, all: impl Iterator<Item = Wanted>) -> (Vec<Way>, Vec<Part>) {
        if self.bytes_max == 0 {
            return (all.map(|_| Way::Alone).collect(), Vec::new());
        }
        let (mut state, mut later) = (self.state.lock(), Vec::new());
        let ways = all.map(|wanted| {
            let way = state.way(&wanted, self.bytes_max);
            if !matches!(way, Way::Alone) {
                later.extend(state.next(&wanted, self.bytes_max));
            }
            way
        });
        (ways.collect(), later)
    }

    /// What was on its way before: in memory, still on its way, or to be read.
    pub(crate) fn again(&self, wanted: &Wanted) -> Way {
        self.state.lock().held(wanted).unwrap_or(Way::Alone)
    }

    /// Keeps what was read for a part, if there is still room for it; without bytes, nothing is on its way any more.
    pub(crate) fn bring(&self, part: Part, bytes: Option<Slice>) {
        let mut state = self.state.lock();
        let key = (part.segment, part.at / CHUNK);
        if let Some(chunk) = state.chunks.get_mut(&key)
            && chunk.part.number == part.number
        {
            chunk.bytes = bytes;
            if chunk.bytes.is_none() {
                state.remove(key);
            }
        }
    }

    /// Drops what is kept of a segment: it is no more, or it does not hold what it should.
    pub(crate) fn forget(&self, segment: SegmentId) {
        self.state.lock().forget(segment);
    }

    /// The bytes that are kept or on their way.
    pub(crate) fn bytes(&self) -> u64 {
        self.state.lock().bytes
    }
}

impl Stretch {
    /// The bytes of `range`, which lies in it; copied where that is parted.
    pub(crate) fn slice(&self, range: Range<u32>, pool: &Pool) -> Slice {
        let parted_at = self.second.as_ref().map_or(u32::MAX, |second| second.at);
        match &self.second {
            Some(second) if range.start >= parted_at => second.slice(range),
            Some(second) if range.end > parted_at => {
                let (front, back) = (self.first.slice(range.start..parted_at), second.slice(parted_at..range.end));
                let mut region = pool.region(front.len() + back.len());
                region[..front.len()].copy_from_slice(&front);
                region[front.len()..front.len() + back.len()].copy_from_slice(&back);
                region.freeze().slice(..front.len() + back.len())
            }
            _ => self.first.slice(range),
        }
    }
}

impl Piece {
    fn slice(&self, range: Range<u32>) -> Slice {
        self.bytes.slice((range.start - self.at) as usize..(range.end - self.at) as usize)
    }
}

impl From<Piece> for Stretch {
    fn from(first: Piece) -> Self {
        Self { first, second: None }
    }
}

impl State {
    fn way(&mut self, wanted: &Wanted, bytes_max: u64) -> Way {
        let Wanted { segment, range, still } = wanted.clone();
        self.now += 1;
        if let Some(way) = self.held(wanted) {
            return way;
        }
        let last = (range.end - 1) / CHUNK;
        let front = self.front(wanted);
        let goes_on = front.is_some() || self.leave_chunk(segment, range.start);
        // What is noted goes on here or nowhere.
        let goes_on = self.trail.follow(segment, range.start) || goes_on;
        let at = if front.is_some() { last * CHUNK } else { range.start };
        if goes_on
            && at / CHUNK == last
            && let Some(part) = self.part(segment, at..still, range.end, bytes_max)
        {
            return Way::Ahead(part, front);
        }
        self.trail.note(segment, range);
        Way::Alone
    }

    /// What is wanted, if all of it is in memory or on its way.
    fn held(&mut self, wanted: &Wanted) -> Option<Way> {
        let Wanted { segment, range, .. } = wanted;
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
            (Some(first), None) => Way::Held(first.into()),
            (Some(first), Some(Some(second))) => Way::Held(Stretch { first, second: Some(second) }),
            _ => Way::Coming,
        })
    }

    /// What a chunk has of itself, if that is or will be all of `range`; `Some(None)` while it is on its way.
    fn use_chunk(&mut self, key: Key, range: Range<u32>) -> Option<Option<Piece>> {
        let chunk = self.chunks.get_mut(&key)?;
        if range.start < chunk.part.at || range.end > chunk.part.end {
            return None;
        }
        chunk.used = self.now;
        let at = chunk.part.at;
        Some(chunk.bytes.clone().map(|bytes| Piece { at, bytes }))
    }

    /// The beginning of what is wanted, where that goes from one chunk to the next and is in memory in the first.
    fn front(&mut self, Wanted { segment, range, .. }: &Wanted) -> Option<Piece> {
        let first = range.start / CHUNK;
        let parted_at = (first + 1) * CHUNK;
        let is_parted = range.end > parted_at && range.end - parted_at <= CHUNK;
        if is_parted { self.use_chunk((*segment, first), range.start..parted_at)? } else { None }
    }

    /// Whether a chunk ends shortly before `at`, or somewhere behind it.
    fn leave_chunk(&mut self, segment: SegmentId, at: u32) -> bool {
        let chunks = self.chunks.range_mut((segment, 0)..=(segment, at / CHUNK)).map(|(_, chunk)| chunk);
        let Some(chunk) = chunks.rev().find(|chunk| chunk.part.at <= at) else { return false };
        let goes_on = at <= chunk.part.end.saturating_add(NEAR);
        if goes_on && at >= chunk.part.end {
            chunk.used = SPENT;
        }
        goes_on
    }

    /// The chunk behind the one in which the wanted ends, when it is time for that.
    fn next(&mut self, Wanted { segment, range, still }: &Wanted, bytes_max: u64) -> Option<Part> {
        let chunk = (range.end - 1) / CHUNK;
        let at = (chunk + 1) * CHUNK;
        if range.end - chunk * CHUNK > HALF_WAY { self.part(*segment, at..*still, at, bytes_max) } else { None }
    }

    /// Takes room for the rest of the chunk that `from` begins in, as far as that is still, if it is not there, it is
    /// more than what is wanted up to `end`, and there is room.
    fn part(&mut self, segment: SegmentId, from: Range<u32>, end: u32, bytes_max: u64) -> Option<Part> {
        let chunk = from.start / CHUNK;
        let until = from.end.min((chunk + 1) * CHUNK);
        let is_there = self.chunks.get(&(segment, chunk)).is_some_and(|chunk| chunk.part.at <= from.start);
        if is_there || until <= end || !self.make_room(u64::from(until - from.start), bytes_max) {
            return None;
        }
        self.parts += 1;
        let part = Part { segment, at: from.start, end: until, number: self.parts };
        // Another scan may have begun further on in it.
        self.remove((segment, chunk));
        self.bytes += u64::from(until - from.start);
        self.chunks.insert((segment, chunk), Chunk { part, bytes: None, used: self.now });
        Some(part)
    }

    /// Lets chunks go until so many bytes fit, if enough may go.
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
            // Whoever was in it has gone on to the next one.
            let is_spent = self.chunks.get(&(key.0, key.1 + 1)).is_some_and(|next| next.used > chunk.used);
            if is_spent || chunk.used == SPENT || self.now - chunk.used > patience {
                self.remove(key);
            }
        }
        self.bytes + bytes <= bytes_max
    }

    fn remove(&mut self, key: Key) {
        if let Some(Chunk { part, .. }) = self.chunks.remove(&key) {
            self.bytes -= u64::from(part.end - part.at);
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
        ahead: Ahead,
        pool: Pool,
        /// Blocks that were read from the device.
        blocks: u32,
        /// What is on its way.
        later: Vec<Part>,
    }

    impl Reader {
        fn new(bytes_max: u64) -> Self {
            Self { ahead: Ahead::new(bytes_max), pool: Pool::new(0), blocks: 0, later: Vec::new() }
        }

        fn way(&mut self, segment: SegmentId, blocks: Range<u32>, still: u32) -> Way {
            let range = blocks.start * BLOCK..blocks.end * BLOCK;
            let (mut ways, later) = self.ahead.ways([Wanted { segment, range, still: still * BLOCK }].into_iter());
            assert!(later.iter().all(|part| part.end <= still * BLOCK && part.at < part.end), "{later:?} of {still}");
            self.later.extend(later);
            ways.pop().unwrap()
        }

        fn fetch(&mut self, blocks: Range<u32>) -> Piece {
            self.blocks += blocks.end - blocks.start;
            let mut region = self.pool.region(((blocks.end - blocks.start) * BLOCK) as usize);
            for (block, bytes) in blocks.clone().zip(region.chunks_exact_mut(BLOCK as usize)) {
                bytes[..4].copy_from_slice(&block.to_le_bytes());
            }
            Piece { at: blocks.start * BLOCK, bytes: region.freeze() }
        }

        fn bring(&mut self, part: Part) -> Piece {
            let piece = self.fetch(part.at / BLOCK..part.end / BLOCK);
            self.ahead.bring(part, Some(piece.bytes.clone()));
            piece
        }

        fn arrive(&mut self) {
            for part in std::mem::take(&mut self.later) {
                self.bring(part);
            }
        }

        /// Reads blocks, and returns whether they were in memory. They are what they should be.
        fn read(&mut self, segment: SegmentId, blocks: Range<u32>, still: u32) -> bool {
            let way = self.way(segment, blocks.clone(), still);
            let is_held = matches!(way, Way::Held(_));
            let stretch = match way {
                Way::Held(stretch) => stretch,
                Way::Alone | Way::Coming => self.fetch(blocks.clone()).into(),
                Way::Ahead(part, front) => {
                    assert!(part.end > blocks.end * BLOCK && part.end <= still * BLOCK, "{part:?} of {still}");
                    let piece = self.bring(part);
                    front.map_or(piece.clone().into(), |first| Stretch { first, second: Some(piece) })
                }
            };
            let bytes = stretch.slice(blocks.start * BLOCK..blocks.end * BLOCK, &self.pool);
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
        assert!(held(&mut reader, 103..104) && reader.later.is_empty());
        assert!((104..112).all(|block| held(&mut reader, block..block + 1)));
        assert_eq!(reader.later.len(), 1, "the next one, once");
        reader.arrive();
        assert!(held(&mut reader, 110..114), "from one to the next");
        assert!((113..120).all(|block| held(&mut reader, block..block + 1)));
        assert!(!held(&mut reader, 50..51) && !held(&mut reader, 300..301), "before, and far behind");
        assert_eq!((reader.blocks, reader.ahead.bytes()), (2 + 11 + 16 + 2, 27 * u64::from(BLOCK)));
    }

    #[test]
    fn what_did_not_come_in_time_is_waited_for_or_brought_in_part() {
        let mut reader = Reader::new(1 << 20);
        (0..2).for_each(|block| assert!(!reader.read(SEGMENT, block..block + 1, 1000)));
        assert!(reader.read(SEGMENT, 12..13, 1000));
        let next = reader.later.pop().unwrap();
        assert!(matches!(reader.way(SEGMENT, 15..17, 1000), Way::Coming));
        reader.ahead.bring(next, None);
        assert!(matches!(reader.ahead.again(&wanted(15..17)), Way::Alone), "it could not be read");
        let Way::Ahead(part, front) = reader.way(SEGMENT, 15..17, 1000) else { panic!("the front is there") };
        assert_eq!((part.at / BLOCK, part.end / BLOCK, front.unwrap().at / BLOCK), (16, 32, 1));
        assert!(matches!(reader.ahead.again(&wanted(15..17)), Way::Coming));
        reader.bring(part);
        assert!(matches!(reader.ahead.again(&wanted(15..17)), Way::Held(_)));
    }

    fn wanted(blocks: Range<u32>) -> Wanted {
        Wanted { segment: SEGMENT, range: blocks.start * BLOCK..blocks.end * BLOCK, still: 1000 * BLOCK }
    }

    #[test]
    fn what_may_still_be_written_is_not_kept() {
        let mut reader = Reader::new(1 << 20);
        for block in 0..20 {
            assert!(!reader.read(SEGMENT, block..block + 1, 0));
        }
        assert_eq!((reader.blocks, reader.ahead.bytes(), reader.later.len()), (20, 0, 0));
        // The segment is full when ten more blocks are.
        assert!(!reader.read(SEGMENT, 20..21, 30));
        assert!((21..30).all(|block| reader.read(SEGMENT, block..block + 1, 30)));
        assert_eq!((reader.blocks, reader.later.len()), (30, 0));
    }

    #[test]
    fn a_segment_that_is_no_more_leaves_nothing() {
        let mut reader = Reader::new(1 << 20);
        for segment in [2, 3, 4].map(SegmentId) {
            (0..2).for_each(|block| assert!(!reader.read(segment, block..block + 1, 1000)));
            assert!(reader.read(segment, 12..13, 1000));
        }
        assert_eq!(reader.ahead.bytes(), 3 * 31 * u64::from(BLOCK));
        reader.ahead.forget(SEGMENT);
        assert_eq!(reader.ahead.bytes(), 2 * 31 * u64::from(BLOCK));
        reader.arrive();
        let held = [2, 3, 4].map(|segment| reader.read(SegmentId(segment), 16..17, 1000));
        assert_eq!(held, [true, false, true], "what comes for a segment that is no more is not kept");
    }

    #[test]
    fn nothing_is_kept_where_nothing_may_be() {
        for bytes_max in [0, u64::from(BLOCK)] {
            let mut reader = Reader::new(bytes_max);
            assert!((0..100).all(|block| !reader.read(SEGMENT, block..block + 1, 1000)));
            assert_eq!((reader.blocks, reader.ahead.bytes()), (100, 0));
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
                assert!(reader.ahead.bytes() <= chunks * u64::from(CHUNK));
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
                reader.ahead.forget(segment);
            }
            if rng.bool() {
                reader.arrive();
            }
            assert!(reader.ahead.bytes() <= bound, "seed {seed}");
        }
        (0..3).for_each(|segment| reader.ahead.forget(SegmentId(segment)));
        assert_eq!(reader.ahead.bytes(), 0, "seed {seed}");
    }
}
