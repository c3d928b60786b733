//! The cold stream: copies live records from nearly dead segments to cold ones, so that the former can be freed.
//!
//! A cold segment has the usual form, with group numbers of its own. Its records keep their sequences. They are copies
//! of durable records, valid wherever they are found, so no record in the log refers to them. Recovery finds a cold
//! segment by its header, and its end by a walk.

use std::sync::Arc;

use logboom_disk::{LINE, Slice, Sync};

use crate::{
    format::{
        echo::Echo,
        footer_bound::FooterBound,
        framing::Framing,
        group::{GROUP_HEADER, GroupHeader, Life, Origin, Shape, encode_table, in_segment},
        record::{Record, record_bytes},
    },
    group_commit::{committer::descriptors_of, log::Shared},
    segments::{
        segment::{Segment, encode_header},
        slots::Failure,
        supply::Purpose,
    },
    types::{
        error::Error,
        ids::{Place, SegmentId, round_up},
        marks,
        mutants::{Mutant, unless},
    },
};

/// The cold stream.
#[derive(Debug, Default)]
pub(crate) struct ColdStream {
    active: Option<ActiveSegment>,
    /// The last segment that was begun.
    last: SegmentId,
}

/// The active cold segment.
#[derive(Debug)]
struct ActiveSegment {
    segment: Arc<Segment>,
    chain: u32,
    prev_len: u32,
    echo: Echo,
    /// What its footer lists, at most.
    footer_bound: FooterBound,
}

impl ColdStream {
    /// See [`crate::Wal::move_records`].
    pub(crate) fn append(
        &mut self,
        shared: &Arc<Shared>,
        records: &[Record],
        footer_bound: FooterBound,
    ) -> Result<Vec<Place>, Error> {
        let batch = MoveBatch::new(records, footer_bound);
        shared.env.check_batch(records.len(), batch.bytes)?;
        if self.active.as_ref().is_some_and(|active| !active.fits(shared, &batch)) {
            self.close(shared);
        }
        let mut active = match self.active.take() {
            Some(active) => active,
            None => self.begin(shared)?,
        };
        match active.append(shared, &batch) {
            Ok(places) => {
                self.active = Some(active);
                Ok(places)
            }
            Err(failure) => {
                marks::hit("cold: a write fails");
                // Closes the segment: what the failed write left after its end is never read, and never overwritten.
                self.active = Some(active);
                self.close(shared);
                Err(shared.side_failure("moving records", failure))
            }
        }
    }

    /// Begins a segment. The next checkpoint names it, since it is listed before its first byte is written, or is
    /// replayed from an earlier position. Recovery would take it for a freed one otherwise.
    fn begin(&mut self, shared: &Arc<Shared>) -> Result<ActiveSegment, Error> {
        if self.last >= SegmentId::cold(shared.state.staging.lock().last_group() + 1) {
            // The id is derived from the next group: this group makes it unique.
            shared.add_empty(0)?;
        }
        let prepared = loop {
            match shared.state.supply.take(Purpose::Move)? {
                Some(prepared) => break prepared,
                None => shared.allocate_now()?,
            }
        };
        let nonce = shared.env.clock.nonce();
        let staging = shared.state.staging.lock();
        let id = SegmentId::cold(staging.last_group() + 1);
        let origin = Origin { segment: staging.segment().id, ..Origin::default() };
        let life = Life { segment: id, epoch: staging.epoch(), nonce, origin };
        let (size, pad) = (staging.segment().size, in_segment(shared.env.medium.framing.pad));
        let segment = Arc::new(Segment::new(life, prepared.slot, prepared.file, size, pad, (1, 0)));
        shared.state.segments.lock().insert(id, Arc::clone(&segment));
        drop(staging);
        marks::hit("cold: a segment is begun");
        self.last = id;
        Ok(ActiveSegment {
            segment,
            chain: 0,
            prev_len: 0,
            echo: Echo::default(),
            footer_bound: FooterBound::default(),
        })
    }

    /// See [`crate::Wal::close_cold`].
    pub(crate) fn close(&mut self, shared: &Shared) {
        let Some(active) = self.active.take() else { return };
        active.segment.close(shared.env.medium.framing.pad);
        if active.segment.last() == 0 {
            shared.state.segments.lock().remove(&active.segment.id);
            shared.state.supply.retire(0, active.segment);
        }
        shared.worker_kick();
    }
}

impl ActiveSegment {
    fn shape(&self, shared: &Shared, batch: &MoveBatch<'_>) -> Shape {
        let count = u32::try_from(batch.records.len()).unwrap_or(u32::MAX);
        Shape::empty(shared.env.medium.framing.pad, self.echo.len()).with(count, batch.bytes)
    }

    fn fits(&self, shared: &Shared, batch: &MoveBatch<'_>) -> bool {
        let footer = shared.env.footer_space(self.footer_bound.plus(batch.footer_bound));
        let len = self.shape(shared, batch).len() + footer;
        self.segment.end() as usize + len <= self.segment.size as usize
    }

    fn append(&mut self, shared: &Shared, batch: &MoveBatch<'_>) -> Result<Vec<Place>, Failure> {
        let shape = self.shape(shared, batch);
        let at = self.segment.end() as usize;
        let sequence = self.segment.last() + 1;
        let whole = self.encode(shared, &shape, sequence, batch);
        let offset = at - (whole.len() - shape.len());
        self.segment.file.write_at(&[whole], offset as u64, Sync::None).map_err(Failure::Write)?;
        unless(Mutant::MovedNotSynced, || self.segment.file.sync_data(), || Ok(())).map_err(Failure::Sync)?;
        self.segment.extend(in_segment(at + shape.len()), sequence);
        self.footer_bound = self.footer_bound.plus(batch.footer_bound);
        shared.metrics.moved(shape.len() as u64, batch.records.len() as u64);
        let places = batch.placed().map(|(offset, record)| Place {
            segment: self.segment.id,
            offset: in_segment(at + shape.records_at() + offset),
            len: in_segment(record_bytes(record.body().len())),
        });
        Ok(places.collect())
    }

    /// Encodes the group, after the segment's header if it is the first.
    fn encode(&mut self, shared: &Shared, shape: &Shape, sequence: u64, batch: &MoveBatch<'_>) -> Slice {
        let Framing { pad, seed } = shared.env.medium.framing;
        let prefix = if sequence == 1 { pad } else { 0 };
        let len = prefix + shape.len();
        let mut region = shared.env.medium.pool.region(len);
        region.fill(0);
        let life = self.segment.life;
        if prefix > 0 {
            encode_header(&mut region[..prefix], &life, &shared.env.identity);
        }
        let group = &mut region[prefix..len];
        if shape.echo_len > 0 {
            self.echo.encode(&mut group[GROUP_HEADER..shape.records_at()], seed);
        }
        let area = &mut group[shape.records_at()..shape.records_end()];
        for (offset, record) in batch.placed() {
            area[offset..offset + record.bytes().len()].copy_from_slice(record.bytes());
        }
        let (descriptors, records_crc) = descriptors_of(area, shape.records);
        if let Some(table_at) = shape.table_at() {
            encode_table(&mut group[table_at..], sequence, &descriptors, seed);
        }
        let header = GroupHeader {
            life,
            sequence,
            // All earlier groups were synced.
            durable: sequence - 1,
            chain: self.chain,
            records_crc,
            prev_len: self.prev_len,
            flags: 0,
            shape: *shape,
        };
        self.chain = header.encode(group, seed);
        self.prev_len = in_segment(shape.len());
        self.echo = Echo::of(sequence, shape, descriptors);
        region.freeze().slice(0..len)
    }
}

/// The records of one group, with their offsets.
struct MoveBatch<'a> {
    records: &'a [Record],
    /// The offset of each record in the group's records area, and the size of that area in bytes.
    offsets: Vec<usize>,
    bytes: usize,
    footer_bound: FooterBound,
}

impl<'a> MoveBatch<'a> {
    /// Records keep their batch flags: after the last record of a batch the next begins at a line here too.
    fn new(records: &'a [Record], footer_bound: FooterBound) -> Self {
        let mut bytes = 0;
        let offsets = records.iter().map(|record| {
            let at = bytes;
            bytes += record_bytes(record.body().len());
            if record.is_batch_end() {
                bytes = round_up(bytes, LINE);
            }
            at
        });
        Self { offsets: offsets.collect(), bytes, footer_bound, records }
    }

    fn placed(&self) -> impl Iterator<Item = (usize, &'a Record)> {
        self.offsets.iter().copied().zip(self.records)
    }
}

/// The number of ranges without a gap in `records`.
pub(crate) fn count_ranges(records: &[Record]) -> usize {
    let follows = |pair: &[Record]| {
        let end = pair[0].first().saturating_add(u64::from(pair[0].count()));
        pair[0].owner() == pair[1].owner() && end == pair[1].first()
    };
    records.windows(2).filter(|pair| !follows(pair)).count() + usize::from(!records.is_empty())
}
