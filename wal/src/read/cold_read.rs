//! Stage *read*: from *index*, which knows the places; leads to the caller. Reads records by place, and verifies them.

use std::{io, ops::Range, sync::Arc};

use crate::{
    format::{group::in_segment, record::Record},
    read::{
        access_pattern::NEAR,
        chunk_cache::{Access, Buffer, Fill, Lookup},
        read_ahead::ReadAhead,
    },
    segments::{
        medium::Medium,
        segment::{Segment, read_slice},
        unreadable::{check_device, is_media_error},
    },
    types::{
        error::Error,
        ids::{Place, SegmentId, round_up},
        marks,
    },
};

/// Reads of records with at most this many bytes between them are joined into one.
const GAP: usize = NEAR as usize;

/// The largest read that records are joined into.
const JOINED: usize = 1 << 20;

/// Reads records that are not in the recent tail.
pub(crate) struct ColdReader<'s> {
    pub(crate) medium: &'s Medium,
    pub(crate) read_ahead: &'s ReadAhead,
    /// The highest group that is durable.
    pub(crate) durable: u64,
    /// The log was opened by its `LOGBOOM`.
    pub(crate) has_logboom: bool,
}

/// The cost of a cold read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ReadStats {
    /// Bytes that were read, and those of them that were read ahead.
    pub(crate) bytes: u64,
    pub(crate) ahead: u64,
    /// Reads of the device that read-ahead saved.
    pub(crate) saved: u64,
}

/// The blocks that hold the records to read, and the source of each block.
struct ReadPlan<'p> {
    reader: &'p ColdReader<'p>,
    places: &'p [Place],
    segments: Vec<Arc<Segment>>,
    /// Indexes in `places` of the records to read, sorted by segment and offset.
    missing: Vec<usize>,
    spans: Vec<Span>,
    stats: ReadStats,
}

/// A range of whole blocks that holds one or more of the missing records.
struct Span {
    /// Index in the plan's `segments`.
    segment: usize,
    at: usize,
    end: usize,
    /// The range of the plan's `missing` that lies in it.
    missing: Range<usize>,
    lookup: Lookup,
}

/// A read of the device that the caller waits for.
struct Fetch {
    /// Index in the plan's `segments`.
    segment: usize,
    at: usize,
    end: usize,
    /// The part of a chunk that the bytes are cached as.
    fill: Option<Fill>,
    /// The number of its bytes that are read ahead.
    ahead: usize,
}

impl ColdReader<'_> {
    /// Fills in the records that are missing in `found`. Reads each place once, several at a time.
    ///
    /// Holds a reference to each segment while it reads, so that the segment is not recycled.
    pub(crate) fn read(
        &self,
        segment: impl Fn(SegmentId) -> Option<Arc<Segment>>,
        places: &[Place],
        found: &mut [Option<Record>],
    ) -> Result<ReadStats, Error> {
        let mut plan = ReadPlan::new(self, segment, places, found)?;
        plan.look_up();
        // First these, while other reads are in flight.
        plan.take_hits(found)?;
        let fetched = plan.fetch()?;
        plan.take_others(fetched, found)?;
        Ok(plan.stats)
    }

    fn read_alone(&self, segment: &Segment, span: &Span) -> Result<Option<Buffer>, Error> {
        match read_slice(&*segment.file, &self.medium.pool, span.at, span.end - span.at) {
            Ok(bytes) => Ok(Some(Buffer::new(in_segment(span.at), bytes))),
            Err(error) if is_media_error(&error) => Ok(None),
            Err(error) => Err(failed(segment, error)),
        }
    }

    fn verify(&self, buffer: &Buffer, place: Place) -> Option<Record> {
        let bytes = buffer.slice(place.offset..place.offset + place.len, &self.medium.pool);
        Record::verify(&bytes, self.medium.framing.seed)
    }

    /// Reads a record again, from the device and without its neighbours: the bytes in memory may come from a bad read,
    /// and the sector that the device fails to read may belong to a neighbour.
    ///
    /// # Errors
    /// [`Error::Corruption`] also if the device fails twice to read these blocks and can still read others, as when the
    /// log is opened.
    fn read_again(&self, segment: &Segment, place: Place) -> Result<Record, Error> {
        marks::hit("read: a record is read once more");
        self.read_ahead.forget(segment.id);
        let (at, end) = blocks(place, self.medium.framing.pad);
        let read = || read_slice(&*segment.file, &self.medium.pool, at, end - at);
        let retried = read().or_else(|error| if is_media_error(&error) { read() } else { Err(error) });
        let bytes = match retried {
            Ok(bytes) => bytes,
            Err(error) if is_media_error(&error) => {
                // If the whole device has failed, nothing is lost.
                check_device(self.medium, self.has_logboom)?;
                let what = format!("a record cannot be read: {error:#}");
                return Err(Error::corruption(place.segment, place.offset, what));
            }
            Err(error) => return Err(failed(segment, error)),
        };
        self.verify(&Buffer::new(in_segment(at), bytes), place)
            .ok_or_else(|| Error::corruption(place.segment, place.offset, "a record's checksum does not match"))
    }
}

impl<'p> ReadPlan<'p> {
    fn new(
        reader: &'p ColdReader<'p>,
        segment: impl Fn(SegmentId) -> Option<Arc<Segment>>,
        places: &'p [Place],
        found: &[Option<Record>],
    ) -> Result<Self, Error> {
        let mut missing: Vec<usize> = (0..places.len()).filter(|&nth| found[nth].is_none()).collect();
        missing.sort_unstable_by_key(|&nth| (places[nth].segment, places[nth].offset));
        let mut segments: Vec<Arc<Segment>> = Vec::new();
        let mut spans: Vec<Span> = Vec::with_capacity(missing.len());
        for (rank, &nth) in missing.iter().enumerate() {
            let place = places[nth];
            let (at, end) = blocks(place, reader.medium.framing.pad);
            if segments.last().is_none_or(|last| last.id != place.segment) {
                segments.push(segment(place.segment).ok_or(Error::Gone(place.segment))?);
            }
            let segment = segments.len() - 1;
            if end > segments[segment].size as usize {
                return Err(Error::corruption(place.segment, place.offset, "a place lies beyond its segment"));
            }
            match spans.last_mut() {
                Some(last) if last.segment == segment && last.joins(at, end) => {
                    last.end = last.end.max(end);
                    last.missing.end = rank + 1;
                }
                _ => spans.push(Span { segment, at, end, missing: rank..rank + 1, lookup: Lookup::Miss }),
            }
        }
        Ok(Self { reader, places, segments, missing, spans, stats: ReadStats::default() })
    }

    /// Looks up each span in the cache, and starts to read the chunks that are likely to be read next.
    fn look_up(&mut self) {
        let accesses = self.spans.iter().map(|span| self.access(span));
        let (lookups, fills) = self.reader.read_ahead.look_up(accesses);
        for (span, lookup) in self.spans.iter_mut().zip(lookups) {
            span.lookup = lookup;
        }
        if fills.is_empty() {
            return;
        }
        let bytes: u64 = fills.iter().map(|fill| u64::from(fill.end - fill.at)).sum();
        (self.stats.bytes, self.stats.ahead) = (self.stats.bytes + bytes, self.stats.ahead + bytes);
        // The fills are in the order of the spans.
        let mut segments = self.segments.iter().peekable();
        let fills = fills.into_iter().filter_map(|fill| {
            while segments.peek()?.id != fill.segment {
                segments.next();
            }
            Some((fill, Arc::clone(&segments.peek()?.file)))
        });
        self.reader.read_ahead.start(self.reader.medium, fills);
    }

    fn access(&self, span: &Span) -> Access {
        let segment = &self.segments[span.segment];
        // In a segment that still gets groups, the bytes after the records may not be written yet.
        let is_whole = segment.is_closed() && (segment.id.is_cold() || segment.last() <= self.reader.durable);
        let stable = if is_whole { segment.end() } else { 0 };
        Access { segment: segment.id, range: in_segment(span.at)..in_segment(span.end), stable }
    }

    /// Takes the records that are in memory.
    fn take_hits(&mut self, found: &mut [Option<Record>]) -> Result<(), Error> {
        for span in &self.spans {
            if let Lookup::Hit(buffer) = &span.lookup {
                self.stats.saved += 1;
                marks::hit("read: what was read ahead is there");
                self.take(span, Some(buffer), found)?;
            }
        }
        Ok(())
    }

    /// Reads from the device, in the order of the spans that are read, and caches what is read ahead. `None` for a read
    /// that failed: the bad sector may be outside of the wanted records, which are read again.
    fn fetch(&mut self) -> Result<Vec<Option<Buffer>>, Error> {
        let ColdReader { medium, read_ahead, .. } = self.reader;
        let fetches: Vec<Fetch> = self.spans.iter().filter_map(Span::fetch).collect();
        let read = |fetch: &Fetch| {
            let file = Arc::clone(&self.segments[fetch.segment].file);
            (file, medium.pool.region(fetch.end - fetch.at), fetch.at as u64)
        };
        let mut fetched = Vec::with_capacity(fetches.len());
        let mut failure = None;
        for (fetch, (region, result)) in fetches.iter().zip(medium.disk.read_many(fetches.iter().map(read).collect())) {
            self.stats.bytes += (fetch.end - fetch.at) as u64;
            self.stats.ahead += fetch.ahead as u64;
            let read = result.map(|()| region.freeze());
            if let Some(fill) = fetch.fill {
                read_ahead.fill(fill, read.as_ref().ok().cloned());
            }
            match read {
                Ok(bytes) => fetched.push(Some(Buffer::new(in_segment(fetch.at), bytes))),
                Err(error) if is_media_error(&error) => fetched.push(None),
                Err(error) => failure = failure.or(Some((&self.segments[fetch.segment], error))),
            }
        }
        match failure {
            Some((segment, error)) => Err(failed(segment, error)),
            None => Ok(fetched),
        }
    }

    /// Takes the records that were fetched, and waits for reads that are in flight.
    fn take_others(&self, fetched: Vec<Option<Buffer>>, found: &mut [Option<Record>]) -> Result<(), Error> {
        let mut fetched = fetched.into_iter();
        for span in &self.spans {
            let buffer = match &span.lookup {
                Lookup::Hit(_) => continue,
                Lookup::Miss => fetched.next().flatten(),
                Lookup::MissAndFill(_, front) => fetched.next().flatten().map(|read| match front {
                    Some(front) => front.clone().followed_by(read),
                    None => read,
                }),
                Lookup::InFlight => match self.reader.read_ahead.wait(&self.access(span)) {
                    Some(buffer) => Some(buffer),
                    None => self.reader.read_alone(&self.segments[span.segment], span)?,
                },
            };
            self.take(span, buffer.as_ref(), found)?;
        }
        Ok(())
    }

    /// Takes the records of a span from its bytes, and reads those again that are not intact.
    fn take(&self, span: &Span, buffer: Option<&Buffer>, found: &mut [Option<Record>]) -> Result<(), Error> {
        for &nth in &self.missing[span.missing.clone()] {
            let place = self.places[nth];
            let record = match buffer.and_then(|buffer| self.reader.verify(buffer, place)) {
                Some(record) => record,
                None => self.reader.read_again(&self.segments[span.segment], place)?,
            };
            found[nth] = Some(record);
        }
        Ok(())
    }
}

impl Span {
    fn joins(&self, at: usize, end: usize) -> bool {
        at <= self.end + GAP && end.max(self.end) - self.at <= JOINED
    }

    /// The read of the device that it needs.
    fn fetch(&self) -> Option<Fetch> {
        let Self { segment, at, end, .. } = *self;
        match &self.lookup {
            Lookup::Hit(_) | Lookup::InFlight => None,
            Lookup::Miss => Some(Fetch { segment, at, end, fill: None, ahead: 0 }),
            Lookup::MissAndFill(fill, _) => {
                let (at, until) = (fill.at as usize, fill.end as usize);
                Some(Fetch { segment, at, end: until, fill: Some(*fill), ahead: until - end })
            }
        }
    }
}

/// The start and the end of the blocks that hold a record.
fn blocks(place: Place, pad: usize) -> (usize, usize) {
    (place.offset as usize / pad * pad, round_up(place.offset as usize + place.len as usize, pad))
}

fn failed(segment: &Segment, error: io::Error) -> Error {
    Error::io(format!("reading segment {}", segment.id), error)
}
