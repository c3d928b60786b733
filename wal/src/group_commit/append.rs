//! Stage *append*: from the layer above; leads to *group_commit*. Assigns records their place in the order of the log
//! and in an aligned buffer; they are accepted then and readable, and not yet durable.
//!
//! The critical section only counts: it assigns sequences and bytes of the open group. Callers copy and checksum their
//! records outside of it, in parallel.

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering},
};

use logboom_disk::{Carver, Chunk, LINE, Region};

use crate::{
    format::{
        footer_bound::{FooterBound, RangeCounts},
        group::{FLAG_EPOCH, GROUP_HEADER, Life, Origin, Shape, in_segment},
        record::{BodyWriter, Meta, RecordWriter, Written, record_bytes},
    },
    group_commit::{env::Env, log::Shared, ticket::Ticket},
    runtime::sync::{AtomicU32, AtomicU64},
    segments::{
        segment::Segment,
        supply::{KEPT_BACK, PreparedSegment, Purpose, Supply},
    },
    types::{
        error::Error,
        ids::{GROUP_RECORDS_MAX, Place, SegmentId, Sequence, round_up},
        marks,
    },
};

/// A request for space in the open group or a new one.
#[derive(Clone, Copy)]
pub(crate) struct SpaceRequest<'r> {
    pub(crate) batch: &'r Request,
    /// The ranges that the batch may add to the segment's footer.
    pub(crate) ranges: &'r RangeCounts,
    /// The purpose for which it may take a prepared segment.
    pub(crate) purpose: Purpose,
}

/// Groups share chunks of this many bytes; a larger group has its own chunk.
const CHUNK: usize = 256 << 10;

/// When a batch is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// As soon as the device is ready.
    Durable,
    /// With the next durable batch, or when it has reached [`Options::lazy_age`](crate::Options::lazy_age).
    Lazy,
}

/// The argument of [`crate::Wal::reserve`].
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// The number of records.
    pub records: u32,
    /// The sum of their [`record_bytes`].
    pub bytes: usize,
    /// When the records are written.
    pub durability: Durability,
    /// Whether the records allow segments to be freed: such a batch may use the segment that is kept for them on a
    /// full device.
    pub frees_space: bool,
}

/// The open group and the closed ones that wait to be written. Behind one lock.
pub(crate) struct Staging {
    epoch: u64,
    nonce: u64,
    /// The active segment and how many of its bytes are assigned.
    segment: Arc<Segment>,
    offset: u32,
    /// What the footer of the active segment lists, at most.
    footer_bound: FooterBound,
    /// The memory for the next groups; an image of the active segment from `base` on.
    carver: Option<Carver>,
    base: u32,
    next_group: u64,
    /// Bytes of the previous group's descriptors, which the next group repeats.
    echo_due: usize,
    /// Whether the first group of the active segment is still to be opened.
    fresh: bool,
    /// Whether the first group of the epoch is still to be opened.
    begins_epoch: bool,
    /// Appends wait until this many segments are prepared.
    needed: usize,
    open: Option<OpenGroup>,
    closed: VecDeque<ClosedGroup>,
}

/// The open group.
struct OpenGroup {
    group: ClosedGroup,
    /// The most bytes that the group can have, in its chunk.
    limit: usize,
}

/// A closed group, which gets no more records. The committer fills in its framing when all writers have left.
pub(crate) struct ClosedGroup {
    pub(crate) sequence: u64,
    pub(crate) segment: Arc<Segment>,
    /// Where it begins in the segment, in bytes.
    pub(crate) offset: u32,
    pub(crate) shape: Shape,
    pub(crate) flags: u8,
    pub(crate) chunk: Chunk,
    /// Where it begins in the chunk, in bytes.
    pub(crate) at: usize,
    /// The header block of the segment, before its first group.
    pub(crate) prefix: Option<Region>,
    pub(crate) header: Region,
    /// The rest after the records: padding, and the table if there is one.
    pub(crate) rest: Option<Region>,
    pub(crate) writers: Arc<Writers>,
    /// Admitted bytes, released when it is durable.
    pub(crate) admitted: u64,
    pub(crate) batches: u32,
}

impl Staging {
    /// Begins an epoch in a prepared segment, after the accepted end.
    pub(crate) fn new(life: Life, prepared: PreparedSegment, size: u32, first_group: u64, echo_due: usize) -> Self {
        let segment = Segment::new(life, prepared.slot, prepared.file, size, 0, (first_group, first_group - 1));
        Self {
            epoch: life.epoch,
            nonce: life.nonce,
            segment: Arc::new(segment),
            offset: 0,
            footer_bound: FooterBound::default(),
            carver: None,
            base: 0,
            next_group: first_group,
            echo_due,
            fresh: true,
            begins_epoch: true,
            // Opening an existing log has taken one of the segments that are kept back.
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

    /// The lowest sequence that the next record can get.
    pub(crate) fn next_sequence(&self) -> Sequence {
        match &self.open {
            Some(open) => Sequence::new(open.group.sequence, open.group.shape.records.min(GROUP_RECORDS_MAX - 1)),
            None => Sequence::new(self.next_group, 0),
        }
    }

    /// Takes all groups that are ready to be written, the open one included.
    pub(crate) fn take(&mut self) -> VecDeque<ClosedGroup> {
        self.close_open();
        std::mem::take(&mut self.closed)
    }

    /// Reserves room in the open group or a new one; `None` if a segment must be prepared first.
    pub(crate) fn reserve(
        &mut self,
        shared: &Arc<Shared>,
        request: SpaceRequest<'_>,
        admitted: &mut u64,
    ) -> Result<Option<Reservation>, Error> {
        let SpaceRequest { batch, purpose, .. } = request;
        if purpose == Purpose::Append && !self.takes_appends(&shared.state.supply) {
            return Ok(None);
        }
        if !self.open.as_ref().is_some_and(|open| self.fits_open(&shared.env, open, request)) {
            self.close_open();
            if !self.open_group(shared, request, 0)? {
                return Ok(None);
            }
        }
        let footer_bound = self.footer_bound_with(request);
        let Some(open) = &mut self.open else { return Ok(None) };
        let Some(carver) = &mut self.carver else { return Ok(None) };
        let Some(region) = carver.carve(batch.bytes) else {
            return Err(Error::Bug { what: "a group outgrew its chunk".into() });
        };
        let at = open.group.shape.records_end();
        let sequence = Sequence::new(open.group.sequence, open.group.shape.records);
        open.group.shape = open.group.shape.with(batch.records, batch.bytes);
        open.group.admitted += std::mem::take(admitted);
        open.group.batches += 1;
        open.group.writers.enter();
        self.footer_bound = footer_bound;
        shared.state.backlog.add(round_up(batch.bytes, LINE) as u64, 1);
        Ok(Some(Reservation {
            shared: Arc::clone(shared),
            writer: Some(RecordWriter::new(region, batch.records, sequence, shared.env.medium.framing.seed)),
            writers: Arc::clone(&open.group.writers),
            group: open.group.sequence,
            segment: open.group.segment.id,
            offset: open.group.offset + in_segment(at),
            durability: batch.durability,
        }))
    }

    /// Adds an empty group, which carries a promise; false if a segment must be prepared first.
    pub(crate) fn add_empty(&mut self, shared: &Shared, flags: u8) -> Result<bool, Error> {
        self.close_open();
        let batch = &Request { records: 0, bytes: 0, durability: Durability::Durable, frees_space: true };
        let opened = self.open_group(
            shared,
            SpaceRequest { batch, ranges: &RangeCounts::any(0), purpose: Purpose::FreeSpace },
            flags,
        )?;
        self.close_open();
        Ok(opened)
    }

    /// Whether the active segment takes appends. A segment that was begun from the kept-back ones does not until those
    /// are replenished: full of appends, it would have no room for records that free space.
    fn takes_appends(&mut self, supply: &Supply) -> bool {
        if self.needed > 0 && supply.len() >= self.needed {
            self.needed = 0;
        }
        marks::hit_if(self.needed > 0, "append: the segment is kept for batches that free space");
        self.needed == 0
    }

    fn fits_open(&self, env: &Env, open: &OpenGroup, request: SpaceRequest<'_>) -> bool {
        let shape = open.group.shape.with(request.batch.records, request.batch.bytes);
        shape.records <= GROUP_RECORDS_MAX
            && shape.len() <= open.limit
            && self.fits_segment(env, open.group.offset, &shape, request)
    }

    /// Whether a group of this shape at `offset`, with the batch in it, leaves enough space for the footer.
    fn fits_segment(&self, env: &Env, offset: u32, shape: &Shape, request: SpaceRequest<'_>) -> bool {
        let footer = env.footer_space(self.footer_bound_with(request));
        offset as usize + shape.len() + footer <= self.segment.size as usize
    }

    /// An upper bound of what the footer of the active segment lists with this batch.
    fn footer_bound_with(&self, SpaceRequest { batch, ranges, .. }: SpaceRequest<'_>) -> FooterBound {
        let ranges = ranges.added_to(self.segment.first_group());
        self.footer_bound.plus(FooterBound { records: batch.records as usize, ranges })
    }

    fn open_group(&mut self, shared: &Shared, request: SpaceRequest<'_>, flags: u8) -> Result<bool, Error> {
        let SpaceRequest { batch, purpose, .. } = request;
        let empty = Shape::empty(shared.env.medium.framing.pad, self.echo_due);
        let shape = empty.with(batch.records, batch.bytes);
        if !self.fresh && !self.fits_segment(&shared.env, self.offset, &shape, request) {
            let Some(prepared) = shared.state.supply.take(purpose)? else { return Ok(false) };
            self.rotate(shared, prepared);
            self.needed = if purpose == Purpose::Append { 0 } else { KEPT_BACK };
        }
        let prefix = if self.fresh { shared.env.medium.framing.pad } else { 0 };
        let prefix = self.ensure_chunk(shared, prefix, shape.len())?;
        let Some(carver) = &mut self.carver else { return Ok(false) };
        let at = carver.position();
        let limit = carver.remaining();
        let Some(header) = carver.carve(GROUP_HEADER + round_up(self.echo_due, LINE)) else {
            return Err(Error::Bug { what: "a group outgrew its chunk".into() });
        };
        let group = ClosedGroup {
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
        self.open = Some(OpenGroup { group, limit });
        Ok(true)
    }

    /// Ensures a chunk with room for `len` bytes, and carves the `prefix` bytes before them.
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
        region.map(Some).ok_or_else(|| Error::Bug { what: "a chunk is smaller than a block".into() })
    }

    fn close_open(&mut self) {
        let Some(OpenGroup { mut group, .. }) = self.open.take() else { return };
        let len = group.shape.len();
        let rest = len - group.shape.records_end();
        group.rest = if rest > 0 { self.carver.as_mut().and_then(|carver| carver.carve(rest)) } else { None };
        group.writers.close();
        self.offset = group.offset + in_segment(len);
        self.echo_due = group.shape.echo_due();
        self.segment.extend(self.offset, group.sequence);
        self.closed.push_back(group);
    }

    fn rotate(&mut self, shared: &Shared, prepared: PreparedSegment) {
        let old = Arc::clone(&self.segment);
        old.close(shared.env.medium.framing.pad);
        let origin = Origin { segment: old.id, end: self.offset, crc: 0, last: self.last_group() };
        let life = Life { segment: old.id.next(), epoch: self.epoch, nonce: self.nonce, origin };
        let groups = (self.next_group, self.last_group());
        self.segment = Arc::new(Segment::new(life, prepared.slot, prepared.file, old.size, 0, groups));
        shared.state.segments.lock().insert(self.segment.id, Arc::clone(&self.segment));
        self.offset = 0;
        self.footer_bound = FooterBound::default();
        shared.state.active_since.store(self.next_group, Ordering::Relaxed);
        self.carver = None;
        self.fresh = true;
        shared.worker_kick();
    }
}

impl Shared {
    /// Appends a record of the log's own; returns its group. Does not request a write.
    pub(crate) fn write_own(self: &Arc<Self>, kind: u8, count: u32, body: &[u8]) -> Result<u64, Error> {
        let bytes = record_bytes(body.len());
        let batch = &Request { records: 1, bytes, durability: Durability::Lazy, frees_space: true };
        let request = SpaceRequest { batch, ranges: &RangeCounts::any(0), purpose: Purpose::Retire };
        let mut reservation = self.try_reserve(&mut 0, request)?;
        let meta = Meta { owner: 0, kind, first: 0, count, attr: 0, prev: Sequence::NONE };
        reservation.record(&meta, body.len(), |writer| writer.put(body));
        let group = reservation.group();
        drop(reservation.finish());
        Ok(group)
    }
}

/// Reserved room for the records of one batch, in one group: write the records, then finish it.
///
/// Its group cannot be written until then, so hold it for no longer than the copying takes.
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
    /// The sequence of the next record.
    pub fn sequence(&self) -> Sequence {
        self.writer.as_ref().map_or(Sequence::NONE, RecordWriter::sequence)
    }

    /// The group of the records.
    pub fn group(&self) -> u64 {
        self.group
    }

    /// The segment of the records.
    pub fn segment(&self) -> SegmentId {
        self.segment
    }

    /// Writes the next record; `fill` puts exactly `body_len` bytes.
    ///
    /// # Panics
    /// When more records or bytes are written than were reserved. That poisons the log; acknowledged records are not
    /// affected.
    pub fn record(&mut self, meta: &Meta, body_len: usize, fill: impl FnOnce(&mut BodyWriter<'_>)) -> Written {
        let writer = self.writer.as_mut().expect("present until finished");
        let (sequence, at, len) = writer.record(meta, body_len, fill);
        let place = Place { segment: self.segment, offset: self.offset + in_segment(at), len: in_segment(len) };
        Written { sequence, place }
    }

    /// Publishes the records: readable from now on, and written with the next group if they are durable.
    pub fn finish(self) -> Ticket {
        let mut ticket = self.finish_for_waiter();
        ticket.begin();
        ticket
    }

    /// [`Reservation::finish`] for a caller that waits for the ticket at once: if the log is idle, it commits in the
    /// caller's thread. Until the ticket is waited for, polled, given a callback, [begun](Ticket::begin) or dropped, no
    /// thread is woken for a durable batch.
    pub fn finish_for_waiter(mut self) -> Ticket {
        let whole = self.writer.take().is_some_and(RecordWriter::freeze);
        if !whole {
            self.shared.poison(Error::Abandoned);
        }
        let shared = Arc::clone(&self.shared);
        match self.durability {
            Durability::Durable => {
                self.shared.scheduler.request_write(self.group);
                Ticket::left_to_waiter(shared, self.group)
            }
            Durability::Lazy => {
                self.shared.request_lazy_write(self.group);
                Ticket::new(shared, self.group)
            }
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.writer.take().is_some() {
            // Its bytes are never frozen, so its group can never be written.
            self.shared.poison(Error::Abandoned);
        }
        if self.writers.leave() {
            self.shared.scheduler.kick();
        }
    }
}

/// Counts the callers that are copying into a group.
#[derive(Debug, Default)]
pub(crate) struct Writers(AtomicU32);

impl Writers {
    const CLOSED: u32 = 1 << 31;

    fn enter(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// True for the last writer of a closed group: the committer may be waiting for it.
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

/// The bytes and batches that wait to be written; read without a lock.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    bytes: AtomicU64,
    batches: AtomicU32,
}

impl Backlog {
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
