//! The cold stream: records that move out of segments in which little is live, so that these can be used again.
//!
//! A cold segment is a segment of the same form, with groups of its own numbering. Its records keep their sequences:
//! they are copies of durable ones, true wherever they are found, so that nothing in the log needs to speak of them.
//! Recovery finds a cold segment by its header, and its end by walking it.

use std::sync::Arc;

use logboom_disk::{LINE, Slice, Sync};

use crate::{
    format::{
        echo::Echo,
        framing::Framing,
        group::{GROUP_HEADER, GroupHeader, Life, Origin, Shape, encode_table, in_segment},
        listed::Listed,
        record::{Record, record_bytes},
    },
    group_commit::{committer::describe, log::Shared},
    segments::{
        segment::{Segment, encode_header},
        slots::Failure,
        supply::Use,
    },
    types::{
        error::Error,
        ids::{Place, SegmentId, round_up},
        marks,
        mutants::{Mutant, unless},
    },
};

/// The writing end of the cold stream.
#[derive(Debug, Default)]
pub(crate) struct Cold {
    open: Option<Open>,
    /// The last segment that was begun.
    last: SegmentId,
}

/// The cold segment that is written.
#[derive(Debug)]
struct Open {
    segment: Arc<Segment>,
    chain: u32,
    prev_len: u32,
    echo: Echo,
    /// What its footer will list.
    listed: Listed,
}

impl Cold {
    /// See [`crate::Wal::move_records`].
    pub(crate) fn append(
        &mut self,
        shared: &Arc<Shared>,
        records: &[Record],
        listed: Listed,
    ) -> Result<Vec<Place>, Error> {
        let parcel = Parcel::new(records, listed);
        shared.env.check_batch(records.len(), parcel.bytes)?;
        if self.open.as_ref().is_some_and(|open| !open.fits(shared, &parcel)) {
            self.close(shared);
        }
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.begin(shared)?,
        };
        match open.append(shared, &parcel) {
            Ok(places) => {
                self.open = Some(open);
                Ok(places)
            }
            Err(failure) => {
                marks::hit("cold: a write fails");
                // What the write left behind the end is never looked at again: nothing is written over it.
                self.open = Some(open);
                self.close(shared);
                Err(shared.beside_the_log("moving records", failure))
            }
        }
    }

    /// Begins a segment. It is known to the next checkpoint from before its first byte is written, or was begun
    /// behind the position that this checkpoint is replayed from: else recovery would take it for one that was freed.
    fn begin(&mut self, shared: &Arc<Shared>) -> Result<Open, Error> {
        if self.last >= SegmentId::cold(shared.state.staging.lock().last_group() + 1) {
            // One id, one segment.
            shared.add_empty(0)?;
        }
        let prepared = loop {
            match shared.state.supply.take(Use::Move)? {
                Some(prepared) => break prepared,
                None => shared.hurry()?,
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
        Ok(Open { segment, chain: 0, prev_len: 0, echo: Echo::default(), listed: Listed::default() })
    }

    /// See [`crate::Wal::close_cold`].
    pub(crate) fn close(&mut self, shared: &Shared) {
        let Some(open) = self.open.take() else { return };
        open.segment.close(shared.env.medium.framing.pad);
        if open.segment.last() == 0 {
            shared.state.segments.lock().remove(&open.segment.id);
            shared.state.supply.retire(0, open.segment);
        }
        shared.worker_kick();
    }
}

impl Open {
    fn shape(&self, shared: &Shared, parcel: &Parcel<'_>) -> Shape {
        let count = u32::try_from(parcel.records.len()).unwrap_or(u32::MAX);
        Shape::empty(shared.env.medium.framing.pad, self.echo.len()).with(count, parcel.bytes)
    }

    fn fits(&self, shared: &Shared, parcel: &Parcel<'_>) -> bool {
        let footer = shared.env.footer_space(self.listed.with(parcel.listed));
        let len = self.shape(shared, parcel).len() + footer;
        self.segment.end() as usize + len <= self.segment.size as usize
    }

    fn append(&mut self, shared: &Shared, parcel: &Parcel<'_>) -> Result<Vec<Place>, Failure> {
        let shape = self.shape(shared, parcel);
        let at = self.segment.end() as usize;
        let sequence = self.segment.last() + 1;
        let whole = self.encode(shared, &shape, sequence, parcel);
        let offset = at - (whole.len() - shape.len());
        self.segment.file.write_at(&[whole], offset as u64, Sync::None).map_err(Failure::Write)?;
        unless(Mutant::MovedNotSynced, || self.segment.file.sync_data(), || Ok(())).map_err(Failure::Sync)?;
        self.segment.extend(in_segment(at + shape.len()), sequence);
        self.listed = self.listed.with(parcel.listed);
        shared.metrics.moved(shape.len() as u64, parcel.records.len() as u64);
        let places = parcel.placed().map(|(offset, record)| Place {
            segment: self.segment.id,
            offset: in_segment(at + shape.records_at() + offset),
            len: in_segment(record_bytes(record.body().len())),
        });
        Ok(places.collect())
    }

    /// The group, behind the segment's header if it is the first.
    fn encode(&mut self, shared: &Shared, shape: &Shape, sequence: u64, parcel: &Parcel<'_>) -> Slice {
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
        for (offset, record) in parcel.placed() {
            area[offset..offset + record.bytes().len()].copy_from_slice(record.bytes());
        }
        let (descriptors, records_crc) = describe(area, shape.records);
        if let Some(table_at) = shape.table_at() {
            encode_table(&mut group[table_at..], sequence, &descriptors, seed);
        }
        let header = GroupHeader {
            life,
            sequence,
            // All before it were synced.
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

/// Records that become one group, laid out.
struct Parcel<'a> {
    records: &'a [Record],
    /// Where in the group's records area each of them lies, and the bytes of that area.
    offsets: Vec<usize>,
    bytes: usize,
    listed: Listed,
}

impl<'a> Parcel<'a> {
    /// They keep the flags of the batches that they were of, so the ends of those are where a line ends here too.
    fn new(records: &'a [Record], listed: Listed) -> Self {
        let mut bytes = 0;
        let offsets = records.iter().map(|record| {
            let at = bytes;
            bytes += record_bytes(record.body().len());
            if record.is_batch_end() {
                bytes = round_up(bytes, LINE);
            }
            at
        });
        Self { offsets: offsets.collect(), bytes, listed, records }
    }

    fn placed(&self) -> impl Iterator<Item = (usize, &'a Record)> {
        self.offsets.iter().copied().zip(self.records)
    }
}

/// How many stretches without a gap they make.
pub(crate) fn stretches(records: &[Record]) -> usize {
    let follows = |pair: &[Record]| {
        let end = pair[0].first().saturating_add(u64::from(pair[0].count()));
        pair[0].owner() == pair[1].owner() && end == pair[1].first()
    };
    records.windows(2).filter(|pair| !follows(pair)).count() + usize::from(!records.is_empty())
}
