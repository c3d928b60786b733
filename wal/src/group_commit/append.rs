//! Stage *append*: from the layer above; leads to *group_commit*. Records find their place in the order of the log and
//! in an aligned buffer; accepted, readable, not yet durable.
//!
//! The section under the lock only counts: it hands out sequences and bytes of the open group. The records are copied
//! in and checksummed by their callers, outside, side by side.

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering},
};

use logboom_disk::{Carver, Chunk, LINE, Region};

use crate::{
    format::{
        group::{FLAG_EPOCH, GROUP_HEADER, Life, Origin, Shape, in_segment},
        listed::{Listed, Stretches},
        record::{BodyWriter, Meta, RecordWriter, Written, record_bytes},
    },
    group_commit::{env::Env, log::Shared, ticket::Ticket},
    runtime::sync::{AtomicU32, AtomicU64},
    segments::{
        segment::Segment,
        supply::{KEPT_BACK, Prepared, Supply, Use},
    },
    types::{
        error::Error,
        ids::{GROUP_RECORDS_MAX, Place, SegmentId, Sequence, round_up},
        marks,
    },
};

/// What is asked for, what a footer may have to list for it, and what a segment is begun for that it needs.
pub(crate) type Asked<'r> = (&'r Request, &'r Stretches, Use);

/// Groups share chunks of this size; one that is larger has a chunk to itself.
const CHUNK: usize = 256 << 10;

/// Whether a batch asks to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It is written as soon as the device can take it.
    Durable,
    /// It rides with the next durable one, or is written when it has become old.
    Lazy,
}

/// What [`crate::Wal::reserve`] is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// The number of records.
    pub records: u32,
    /// The sum of their [`record_bytes`].
    pub bytes: usize,
    /// Whether they ask to be written.
    pub durability: Durability,
    /// Whether they let space be reclaimed: such batches may use the segment that is kept for a full device.
    pub drains: bool,
}

/// The writing end of the log: the group that is being filled and those that wait to be written. Behind one lock.
pub(crate) struct Staging {
    epoch: u64,
    nonce: u64,
    /// The active segment and the bytes of it that are spoken for.
    segment: Arc<Segment>,
    offset: u32,
    /// What the footer of the active segment may have to list.
    listed: Listed,
    /// What the next groups are carved from; covers the active segment from `base` on.
    carver: Option<Carver>,
    base: u32,
    next_group: u64,
    /// Bytes of the previous group's descriptors that the next group must repeat.
    echo_due: usize,
    /// The first group of the active segment was not opened yet.
    fresh: bool,
    /// Nor was the first group of the epoch.
    begins_epoch: bool,
    /// Appends wait until so many segments are prepared.
    needed: usize,
    open: Option<Open>,
    closed: VecDeque<Closed>,
}

/// The group that is being filled.
struct Open {
    group: Closed,
    /// The most bytes that it may grow to, in its chunk.
    limit: usize,
}

/// A group that gets no more records; its regions are filled in by the committer when its writers have left.
pub(crate) struct Closed {
    pub(crate) sequence: u64,
    pub(crate) segment: Arc<Segment>,
    /// Where it begins in the segment.
    pub(crate) offset: u32,
    pub(crate) shape: Shape,
    pub(crate) flags: u8,
    pub(crate) chunk: Chunk,
    /// Where it begins in the chunk.
    pub(crate) at: usize,
    /// The block in front of a segment's first group.
    pub(crate) prefix: Option<Region>,
    pub(crate) header: Region,
    /// What follows the records: padding, and the table where there is one.
    pub(crate) rest: Option<Region>,
    pub(crate) writers: Arc<Writers>,
    /// Bytes of admission that end when it is durable.
    pub(crate) admitted: u64,
    pub(crate) batches: u32,
}

impl Staging {
    /// Begins an epoch in a prepared segment, behind what recovery accepted.
    pub(crate) fn new(life: Life, prepared: Prepared, size: u32, first_group: u64, echo_due: usize) -> Self {
        let segment = Segment::new(life, prepared.slot, prepared.file, size, 0, (first_group, first_group - 1));
        Self {
            epoch: life.epoch,
            nonce: life.nonce,
            segment: Arc::new(segment),
            offset: 0,
            listed: Listed::default(),
            carver: None,
            base: 0,
            next_group: first_group,
            echo_due,
            fresh: true,
            begins_epoch: true,
            // The opening of a log that was there has taken one of those that are kept back.
            needed: if life.epoch == 1 { 0 } else { KEPT_BACK - 1 },
            open: None,
            closed: VecDeque::new(),
        }
    }

    pub(crate) fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The last group that was opened.
    pub(crate) fn last_group(&self) -> u64 {
        self.next_group - 1
    }

    /// The sequence that the next record gets at least.
    pub(crate) fn next_sequence(&self) -> Sequence {
        match &self.open {
            Some(open) => Sequence::new(open.group.sequence, open.group.shape.records.min(GROUP_RECORDS_MAX - 1)),
            None => Sequence::new(self.next_group, 0),
        }
    }

    /// Takes the groups that are to be written, the open one included.
    pub(crate) fn take(&mut self) -> VecDeque<Closed> {
        self.close_open();
        std::mem::take(&mut self.closed)
    }

    /// Room in the open group, or in a new one; `None` when a segment must be prepared first.
    pub(crate) fn reserve(
        &mut self,
        shared: &Arc<Shared>,
        asked: Asked<'_>,
        admitted: &mut u64,
    ) -> Result<Option<Reservation>, Error> {
        let (request, _, for_what) = asked;
        if for_what == Use::Append && !self.takes_appends(&shared.state.supply) {
            return Ok(None);
        }
        if !self.open.as_ref().is_some_and(|open| self.fits_open(&shared.env, open, asked)) {
            self.close_open();
            if !self.open_group(shared, asked, 0)? {
                return Ok(None);
            }
        }
        let listed = self.listed_with(asked);
        let Some(open) = &mut self.open else { return Ok(None) };
        let Some(carver) = &mut self.carver else { return Ok(None) };
        let Some(region) = carver.carve(request.bytes) else {
            return Err(Error::Bug { what: "a group outgrew its chunk" });
        };
        let at = open.group.shape.records_end();
        let sequence = Sequence::new(open.group.sequence, open.group.shape.records);
        open.group.shape = open.group.shape.with(request.records, request.bytes);
        open.group.admitted += std::mem::take(admitted);
        open.group.batches += 1;
        open.group.writers.enter();
        self.listed = listed;
        shared.state.load.add(round_up(request.bytes, LINE) as u64, 1);
        Ok(Some(Reservation {
            shared: Arc::clone(shared),
            writer: Some(RecordWriter::new(region, request.records, sequence, shared.env.medium.framing.seed)),
            writers: Arc::clone(&open.group.writers),
            group: open.group.sequence,
            segment: open.group.segment.id,
            offset: open.group.offset + in_segment(at),
            durability: request.durability,
        }))
    }

    /// Adds a group without records, to carry a promise; false when a segment must be prepared first.
    pub(crate) fn add_empty(&mut self, shared: &Shared, flags: u8) -> Result<bool, Error> {
        self.close_open();
        let nothing = Request { records: 0, bytes: 0, durability: Durability::Durable, drains: true };
        let opened = self.open_group(shared, (&nothing, &Stretches::any(0), Use::Drain), flags)?;
        self.close_open();
        Ok(opened)
    }

    /// Whether the active segment is for appends too. One that was begun with what is kept back from them is not until
    /// as much is kept back again: filled with appends it would have no room for the records that give space back.
    fn takes_appends(&mut self, supply: &Supply) -> bool {
        if self.needed > 0 && supply.len() >= self.needed {
            self.needed = 0;
        }
        marks::hit_if(self.needed > 0, "append: the segment is kept for what gives space back");
        self.needed == 0
    }

    fn fits_open(&self, env: &Env, open: &Open, asked: Asked<'_>) -> bool {
        let (request, ..) = asked;
        let shape = open.group.shape.with(request.records, request.bytes);
        shape.records <= GROUP_RECORDS_MAX
            && shape.len() <= open.limit
            && self.fits_segment(env, open.group.offset, &shape, asked)
    }

    /// Whether a group of this shape at `offset`, with the batch in it, leaves the footer its space.
    fn fits_segment(&self, env: &Env, offset: u32, shape: &Shape, asked: Asked<'_>) -> bool {
        let footer = env.footer_space(self.listed_with(asked));
        offset as usize + shape.len() + footer <= self.segment.size as usize
    }

    /// What the footer of the active segment may have to list with the batch in it.
    fn listed_with(&self, (request, stretches, _): Asked<'_>) -> Listed {
        let stretches = stretches.added_to(self.segment.first_group());
        self.listed.with(Listed { records: request.records as usize, stretches })
    }

    fn open_group(&mut self, shared: &Shared, asked: Asked<'_>, flags: u8) -> Result<bool, Error> {
        let (request, _, for_what) = asked;
        let empty = Shape::empty(shared.env.medium.framing.pad, self.echo_due);
        let shape = empty.with(request.records, request.bytes);
        if !self.fresh && !self.fits_segment(&shared.env, self.offset, &shape, asked) {
            let Some(prepared) = shared.state.supply.take(for_what)? else { return Ok(false) };
            self.rotate(shared, prepared);
            self.needed = if for_what == Use::Append { 0 } else { KEPT_BACK };
        }
        let prefix = if self.fresh { shared.env.medium.framing.pad } else { 0 };
        let prefix = self.ensure_chunk(shared, prefix, shape.len())?;
        let Some(carver) = &mut self.carver else { return Ok(false) };
        let at = carver.position();
        let limit = carver.remaining();
        let Some(header) = carver.carve(GROUP_HEADER + round_up(self.echo_due, LINE)) else {
            return Err(Error::Bug { what: "a group outgrew its chunk" });
        };
        let group = Closed {
            sequence: self.next_group,
            segment: Arc::clone(&self.segment),
            offset: self.base + in_segment(at),
            shape: empty,
            flags: if std::mem::take(&mut self.begins_epoch) { flags | FLAG_EPOCH } else { flags },
            chunk: carver.chunk().clone(),
            at,
            prefix,
            header,
            rest: None,
            writers: Arc::default(),
            admitted: 0,
            batches: 0,
        };
        self.next_group += 1;
        self.fresh = false;
        self.open = Some(Open { group, limit });
        Ok(true)
    }

    /// Makes sure that a chunk with room for `len` bytes is at hand, and carves `prefix` bytes in front of them.
    fn ensure_chunk(&mut self, shared: &Shared, prefix: usize, len: usize) -> Result<Option<Region>, Error> {
        let need = prefix + len;
        if prefix > 0 || self.carver.as_ref().is_none_or(|carver| carver.remaining() < need) {
            let carver = shared.env.medium.pool.carver(need.max(CHUNK.min(self.segment.size as usize / 4)));
            self.base = self.offset;
            let durable = shared.state.watermark.durable();
            shared.state.recent.begin(self.segment.id, self.base, carver.chunk().clone(), self.last_group(), durable);
            self.carver = Some(carver);
        }
        if prefix == 0 {
            return Ok(None);
        }
        let region = self.carver.as_mut().and_then(|carver| carver.carve(prefix));
        region.map(Some).ok_or(Error::Bug { what: "a chunk is smaller than a block" })
    }

    fn close_open(&mut self) {
        let Some(Open { mut group, .. }) = self.open.take() else { return };
        let len = group.shape.len();
        let rest = len - group.shape.records_end();
        group.rest = if rest > 0 { self.carver.as_mut().and_then(|carver| carver.carve(rest)) } else { None };
        group.writers.close();
        self.offset = group.offset + in_segment(len);
        self.echo_due = group.shape.echo_due();
        self.segment.extend(self.offset, group.sequence);
        self.closed.push_back(group);
    }

    fn rotate(&mut self, shared: &Shared, prepared: Prepared) {
        let old = Arc::clone(&self.segment);
        old.close(shared.env.medium.framing.pad);
        let origin = Origin { segment: old.id, end: self.offset, crc: 0, last: self.last_group() };
        let life = Life { segment: old.id.next(), epoch: self.epoch, nonce: self.nonce, origin };
        let groups = (self.next_group, self.last_group());
        self.segment = Arc::new(Segment::new(life, prepared.slot, prepared.file, old.size, 0, groups));
        shared.state.segments.lock().insert(self.segment.id, Arc::clone(&self.segment));
        self.offset = 0;
        self.listed = Listed::default();
        shared.state.active_since.store(self.next_group, Ordering::Relaxed);
        self.carver = None;
        self.fresh = true;
        shared.worker_kick();
    }
}

impl Shared {
    /// Writes a record of the log's own, to be written with the next group.
    pub(crate) fn write_own(self: &Arc<Self>, kind: u8, count: u32, body: &[u8]) -> Result<u64, Error> {
        let bytes = record_bytes(body.len());
        let request = Request { records: 1, bytes, durability: Durability::Lazy, drains: true };
        let mut reservation = self.try_reserve(&mut 0, (&request, &Stretches::any(0), Use::Retire))?;
        let meta = Meta { owner: 0, kind, first: 0, count, attr: 0, prev: Sequence::NONE };
        reservation.record(&meta, body.len(), |writer| writer.put(body));
        let group = reservation.group();
        drop(reservation.finish());
        Ok(group)
    }
}

/// Room for the records of one batch, in one group. Its records are written, and then it is finished.
///
/// The group cannot be written before that: a reservation is to be held for no longer than the copying takes.
pub struct Reservation {
    shared: Arc<Shared>,
    writer: Option<RecordWriter>,
    writers: Arc<Writers>,
    group: u64,
    segment: SegmentId,
    offset: u32,
    durability: Durability,
}

impl Reservation {
    /// The sequence of the record that is written next.
    pub fn sequence(&self) -> Sequence {
        self.writer.as_ref().map_or(Sequence::NONE, RecordWriter::sequence)
    }

    /// The group that the records are in.
    pub fn group(&self) -> u64 {
        self.group
    }

    /// The segment that the records will lie in.
    pub fn segment(&self) -> SegmentId {
        self.segment
    }

    /// Writes the next record; `fill` puts exactly `body_len` bytes.
    ///
    /// # Panics
    /// When more records or bytes are written than were reserved; the log is poisoned then, and nothing that was
    /// acknowledged suffers.
    pub fn record(&mut self, meta: &Meta, body_len: usize, fill: impl FnOnce(&mut BodyWriter<'_>)) -> Written {
        let writer = self.writer.as_mut().expect("present until finished");
        let (sequence, at, len) = writer.record(meta, body_len, fill);
        let place = Place { segment: self.segment, offset: self.offset + in_segment(at), len: in_segment(len) };
        Written { sequence, place }
    }

    /// Publishes the records: readable from now on, and written with the next group if they are durable.
    pub fn finish(self) -> Ticket {
        let (shared, durability) = (Arc::clone(&self.shared), self.durability);
        let ticket = self.finish_for_waiter();
        if durability == Durability::Durable {
            shared.tail.kick();
        }
        ticket
    }

    /// [`Reservation::finish`] for a caller that waits for the ticket at once: it may find the log idle and commit in
    /// its own thread.
    pub fn finish_for_waiter(mut self) -> Ticket {
        let whole = self.writer.take().is_some_and(RecordWriter::freeze);
        if !whole {
            self.shared.poison(Error::Abandoned { when: "while" });
        }
        match self.durability {
            Durability::Durable => self.shared.tail.want(self.group),
            Durability::Lazy => self.shared.lazily(self.group),
        }
        Ticket::new(Arc::clone(&self.shared), self.group)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.writer.take().is_some() {
            // Its bytes will never be frozen, so its group can never be written.
            self.shared.poison(Error::Abandoned { when: "before" });
        }
        if self.writers.leave() {
            self.shared.tail.kick();
        }
    }
}

/// Counts the callers that still copy into a group.
#[derive(Debug, Default)]
pub(crate) struct Writers(AtomicU32);

impl Writers {
    const CLOSED: u32 = 1 << 31;

    fn enter(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// True if this was the last writer of a group that is closed, for which the committer may be waiting.
    fn leave(&self) -> bool {
        self.0.fetch_sub(1, Ordering::AcqRel) == Self::CLOSED + 1
    }

    fn close(&self) {
        self.0.fetch_or(Self::CLOSED, Ordering::AcqRel);
    }

    pub(crate) fn have_left(&self) -> bool {
        self.0.load(Ordering::Acquire) == Self::CLOSED
    }
}

/// What waits to be written, readable without the lock.
#[derive(Debug, Default)]
pub(crate) struct Load {
    bytes: AtomicU64,
    batches: AtomicU32,
}

impl Load {
    fn add(&self, bytes: u64, batches: u32) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.batches.fetch_add(batches, Ordering::Relaxed);
    }

    pub(crate) fn take(&self, bytes: u64, batches: u32) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.batches.fetch_sub(batches, Ordering::Relaxed);
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn batches(&self) -> u32 {
        self.batches.load(Ordering::Relaxed)
    }
}
