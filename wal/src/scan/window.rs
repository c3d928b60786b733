//! Reading a segment from front to back: a window that moves over it, with read-ahead.

use std::{collections::VecDeque, io, sync::Arc};

use logboom_disk::{Completion, Disk, Op, OpKind, Pool, Queue, Region, Slice, Wait};

use crate::{
    segments::{
        medium::Medium,
        segment::Segment,
        unreadable::{UnreadableRanges, read_or_zeros},
    },
    types::{error::Error, ids::round_up},
};

/// Segments are read in pieces of this many bytes. A request may begin in one piece and end in the next.
const PIECE: usize = 1 << 20;

/// Pieces in flight while one is processed.
const PIECES_AHEAD: usize = 3;

/// A window of a segment in memory.
pub(crate) struct Window<'s> {
    pub(crate) segment: &'s Segment,
    pub(crate) medium: &'s Medium,
    at: usize,
    bytes: Option<Slice>,
    ahead: Option<PieceReadAhead<'s>>,
    read_bytes: u64,
    /// The ranges that could not be read; they appear as zeros.
    pub(crate) unreadable: UnreadableRanges,
}

impl<'s> Window<'s> {
    pub(crate) fn new(segment: &'s Segment, medium: &'s Medium) -> Self {
        Self {
            segment,
            medium,
            at: 0,
            bytes: None,
            ahead: None,
            read_bytes: 0,
            unreadable: UnreadableRanges::default(),
        }
    }

    /// Reads ahead on `queue`, up to `limit`.
    pub(crate) fn read_ahead(&mut self, queue: Option<&'s mut ReadQueue>, limit: usize) {
        let limit = round_up(limit, self.pad()).min(self.segment.size as usize);
        self.ahead = queue.map(|queue| PieceReadAhead { queue, pieces: VecDeque::new(), first: 0, next: 0, limit });
    }

    /// The unit of reads, in bytes.
    pub(crate) fn pad(&self) -> usize {
        self.medium.framing.pad
    }

    pub(crate) fn read_bytes(&self) -> u64 {
        self.read_bytes
    }

    /// The bytes from `at`, a multiple of the pad unit, on: at least `len`, unless the segment ends first. What cannot
    /// be read is added to `unreadable`, and appears as zeros.
    pub(crate) fn bytes(&mut self, at: usize, len: usize) -> Result<Slice, Error> {
        let size = self.segment.size as usize;
        let len = round_up(len, self.pad()).min(size - at);
        if let Some(bytes) = slice_at(self.at, self.bytes.as_ref(), at, len) {
            return Ok(bytes);
        }
        let read = self.ahead.as_mut().and_then(|ahead| {
            let before = self.bytes.take().map(|bytes| (self.at, bytes));
            ahead.bytes(self.segment, &self.medium.pool, before, at..at + len)
        });
        let piece = at..at + len.max(PIECE).min(size - at);
        let (from, read) = match read {
            Some((from, Ok(bytes))) => (from, Ok(bytes)),
            _ => (at, read_or_zeros(&*self.segment.file, &self.medium.pool, self.pad(), piece, &mut self.unreadable)),
        };
        let bytes = read.map_err(|error| Error::io(format!("reading segment {}", self.segment.id), error))?;
        self.read_bytes += bytes.len() as u64;
        (self.at, self.bytes) = (from, Some(bytes.clone()));
        Ok(bytes.slice(at - from..))
    }
}

/// The bytes from `at` on, if `bytes`, which begin at `from`, have `len` of them.
fn slice_at(from: usize, bytes: Option<&Slice>, at: usize, len: usize) -> Option<Slice> {
    let (bytes, from) = (bytes?, at.checked_sub(from)?);
    (from + len <= bytes.len()).then(|| bytes.slice(from..))
}

/// A queue of reads, for one segment after another.
pub(crate) struct ReadQueue {
    queue: Box<dyn Queue>,
    done: Vec<Completion>,
    submitted: u64,
}

impl ReadQueue {
    /// `None` if the disk has no more queues: reads are synchronous then.
    pub(crate) fn new(disk: &dyn Disk) -> Option<Self> {
        let queue = disk.movable_queue().ok()?;
        Some(Self { queue, done: Vec::new(), submitted: 0 })
    }
}

/// Read-ahead of the pieces after the window.
struct PieceReadAhead<'s> {
    queue: &'s mut ReadQueue,
    pieces: VecDeque<Piece>,
    /// Where the run of consecutive pieces begins, and where the next one will.
    first: usize,
    next: usize,
    limit: usize,
}

struct Piece {
    at: usize,
    end: usize,
    token: u64,
    /// Space as large as a piece, directly before it: for the rest of the previous piece.
    headroom: Region,
    read: Option<(io::Result<()>, Region)>,
}

impl PieceReadAhead<'_> {
    /// The bytes of `range`, with all that was read around them and where that begins. `before` is the content of the
    /// window. `None` if the range is not read in pieces.
    fn bytes(
        &mut self,
        segment: &Segment,
        pool: &Pool,
        before: Option<(usize, Slice)>,
        range: std::ops::Range<usize>,
    ) -> Option<(usize, io::Result<Slice>)> {
        if range.len() > PIECE || range.end > self.limit {
            return None;
        }
        while self.pieces.front().is_some_and(|piece| piece.end <= range.start) {
            self.pieces.pop_front();
        }
        let rest = before.and_then(|(at, bytes)| {
            let first = self.pieces.front()?;
            let len = first.at.checked_sub(range.start)?;
            slice_at(at, Some(&bytes), range.start, len).map(|bytes| bytes.slice(..len))
        });
        let continues = self.pieces.front().is_some_and(|first| {
            range.end <= first.end && (first.at <= range.start || rest.as_ref().is_some_and(|rest| rest.len() <= PIECE))
        });
        if !continues {
            self.pieces.clear();
            (self.first, self.next) = (range.start, range.start);
        }
        self.fill(segment, pool);
        let piece = self.pieces.pop_front()?;
        // Starts the next read while the caller processes this piece.
        self.fill(segment, pool);
        Some(self.finish(piece, rest.filter(|_| continues)))
    }

    /// Starts reads until enough are in flight.
    fn fill(&mut self, segment: &Segment, pool: &Pool) {
        while self.pieces.len() < PIECES_AHEAD && self.next < self.limit {
            let (at, end) = (self.next, (self.next + PIECE).min(self.limit));
            let headroom = PIECE.min(at - self.first);
            let (headroom, region) = pool.region(headroom + end - at).split_at(headroom);
            self.queue.submitted += 1;
            let token = self.queue.submitted;
            let kind = OpKind::Read { region, offset: at as u64 };
            self.queue.queue.submit(Op { token, file: Arc::clone(&segment.file), kind });
            self.pieces.push_back(Piece { at, end, token, headroom, read: None });
            self.next = end;
        }
        self.reap(Wait::No);
    }

    /// Waits for a piece that was taken out, and puts `rest` before it.
    fn finish(&mut self, mut piece: Piece, rest: Option<Slice>) -> (usize, io::Result<Slice>) {
        loop {
            let done = std::mem::take(&mut self.queue.done);
            for Completion { token, result, region } in done {
                let of = self.pieces.iter_mut().chain([&mut piece]).find(|piece| piece.token == token);
                if let (Some(piece), Some(region)) = (of, region) {
                    piece.read = Some((result, region));
                }
            }
            match piece.read.take() {
                Some((Ok(()), region)) => return join(piece.at, piece.headroom, region, rest.as_ref()),
                Some((Err(error), _)) => return (piece.at, Err(error)),
                None if self.queue.queue.in_flight() == 0 => {
                    return (piece.at, Err(io::Error::other("a read was never answered")));
                }
                None => self.reap(Wait::Forever),
            }
        }
    }

    fn reap(&mut self, wait: Wait) {
        self.queue.queue.reap(wait, &mut self.queue.done);
    }
}

impl Drop for PieceReadAhead<'_> {
    /// The reads of the next segment must not receive completions of this one's.
    fn drop(&mut self) {
        while self.queue.queue.in_flight() > 0 {
            self.reap(Wait::Forever);
        }
        self.queue.done.clear();
    }
}

/// The bytes of a piece at `at`, preceded by `rest`.
fn join(at: usize, mut headroom: Region, read: Region, rest: Option<&Slice>) -> (usize, io::Result<Slice>) {
    let Some(rest) = rest else { return (at, Ok(read.freeze())) };
    let from = headroom.len() - rest.len();
    headroom[from..].copy_from_slice(rest);
    let mut bytes = headroom.freeze().slice(from..);
    let is_whole = bytes.extend_to(&read.freeze());
    (at - rest.len(), if is_whole { Ok(bytes) } else { Err(io::Error::other("a piece of two chunks")) })
}

#[cfg(test)]
mod tests {
    use logboom_disk::{Mode, Pool, SimDisk, SimOptions, Sync};

    use super::*;
    use crate::{
        format::{framing::Framing, group::Life},
        types::ids::SegmentId,
    };

    const PAD: usize = 4096;
    const SIZE: usize = 9 * PIECE / 2;

    /// Walks and leaps, with and without a queue, by parts of any length.
    #[test]
    fn a_window_returns_the_bytes_of_the_file() {
        let mut content = vec![0; SIZE];
        fastrand::Rng::with_seed(1).fill(&mut content);
        for seed in 0..40 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let medium = medium(seed);
            let segment = segment(&medium, &content);
            let mut queue = ReadQueue::new(&*medium.disk);
            let mut window = Window::new(&segment, &medium);
            if rng.u8(..4) > 0 {
                window.read_ahead(queue.as_mut(), rng.usize(..2 * SIZE));
            }
            let longest = [PAD, 100 * PAD, PIECE, 2 * PIECE][rng.usize(..4)];
            let mut at = 0;
            for _ in 0..60 {
                let len = rng.usize(1..=longest);
                let bytes = window.bytes(at, len).unwrap();
                assert!(bytes.len() >= len.min(SIZE - at), "seed {seed}: {} of {len} bytes at {at}", bytes.len());
                assert!(*bytes == content[at..at + bytes.len()], "seed {seed}: {len} bytes at {at}");
                let next = at + round_up(len, PAD);
                at = if rng.u8(..20) == 0 || next >= SIZE { rng.usize(..SIZE / PAD) * PAD } else { next };
            }
        }
    }

    #[test]
    fn a_walk_reads_every_byte_once_and_none_beyond_its_limit() {
        let medium = medium(1);
        let segment = segment(&medium, &vec![7; SIZE]);
        let limit = 3 * PIECE + 5 * PAD;
        let mut queue = ReadQueue::new(&*medium.disk);
        let mut window = Window::new(&segment, &medium);
        window.read_ahead(queue.as_mut(), limit);
        let groups = (0..limit - 7 * PAD).step_by(7 * PAD);
        groups.for_each(|at| assert!(window.bytes(at, 7 * PAD).unwrap().len() >= 7 * PAD));
        drop(window);
        assert_eq!(queue.map(|queue| queue.submitted), Some(4));
    }

    #[test]
    fn a_range_that_cannot_be_read_is_recorded_when_it_is_needed() {
        let medium = medium(1);
        let segment = segment(&medium, &vec![7; 2 * PIECE]);
        // The file ends before the segment does.
        let mut queue = ReadQueue::new(&*medium.disk);
        let mut window = Window::new(&segment, &medium);
        window.read_ahead(queue.as_mut(), SIZE);
        assert!(window.bytes(0, PAD).is_ok() && window.bytes(PIECE, PAD).is_ok() && window.unreadable.is_empty());
        let beyond = window.bytes(2 * PIECE, PAD).unwrap();
        assert!(beyond.iter().all(|&byte| byte == 0) && window.unreadable.covers(2 * PIECE..2 * PIECE + PAD, PAD));
    }

    fn medium(seed: u64) -> Medium {
        let disk = SimDisk::new(seed, SimOptions::default());
        Medium { disk, pool: Pool::new(16 << 20), framing: Framing { pad: PAD, seed: 0 } }
    }

    fn segment(medium: &Medium, content: &[u8]) -> Segment {
        let file = medium.disk.open("segment-000000", Mode::Create).unwrap();
        file.allocate(content.len() as u64).unwrap();
        for (nth, piece) in content.chunks(PIECE).enumerate() {
            file.write_at(&[Slice::copy_from(&medium.pool, piece)], (nth * PIECE) as u64, Sync::None).unwrap();
        }
        let life = Life { segment: SegmentId(1), ..Life::default() };
        Segment::new(life, 0, file, u32::try_from(SIZE).unwrap(), 0, (1, 0))
    }
}
