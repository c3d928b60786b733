//! Stage *read*: from *index*, which says where; leads to the caller. Records by place, verified.

use std::{io, sync::Arc};

use crate::{
    format::{group::in_segment, record::Record},
    read::{
        chunk_cache::{Ahead, Part, Piece, Stretch, Wanted, Way},
        plan::{Plan, Span},
    },
    segments::{
        holes::{is_of_the_bytes, require_device},
        medium::Medium,
        segment::{Segment, read_slice},
    },
    types::{
        error::Error,
        ids::{Place, SegmentId, round_up},
        marks,
    },
};

/// What a cold read needs.
pub(crate) struct Source<'s> {
    pub(crate) medium: &'s Medium,
    pub(crate) ahead: &'s Ahead,
    /// The highest group that is durable.
    pub(crate) durable: u64,
    /// The log was opened by its `LOGBOOM`.
    pub(crate) is_named: bool,
}

/// What a cold read came to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traffic {
    /// Bytes that were read, and how many of them no caller had asked for.
    pub(crate) bytes: u64,
    pub(crate) ahead: u64,
    /// Reads of the device that what was read ahead has spared.
    pub(crate) spared: u64,
}

/// Fills in what is missing in `found`, reading each place once, several at a time.
///
/// A segment is held for as long as it is read: it is not recycled under a reader.
pub(crate) fn read_cold(
    source: &Source<'_>,
    segment: impl Fn(SegmentId) -> Option<Arc<Segment>>,
    places: &[Place],
    found: &mut [Option<Record>],
) -> Result<Traffic, Error> {
    let plan = Plan::new(source.medium.framing.pad, segment, places, found)?;
    let mut traffic = Traffic::default();
    source.ahead.prefetch.collect(source.ahead);
    let (ways, later) = source.ahead.ways(plan.spans.iter().map(|span| source.wanted(plan.segment(span), span)));
    source.start(&plan, later, &mut traffic);
    let (fetches, origins) = fetches(&plan.spans, ways);
    let mut take = |span: &Span, stretch: Option<&Stretch>| -> Result<(), Error> {
        for &nth in &plan.missing[span.missing.clone()] {
            let record = match stretch.and_then(|stretch| source.verify(stretch, places[nth])) {
                Some(record) => record,
                None => source.read_again(plan.segment(span), places[nth])?,
            };
            found[nth] = Some(record);
        }
        Ok(())
    };
    // First, while the others are on their way.
    for (span, origin) in plan.spans.iter().zip(&origins) {
        if let Origin::Memory(stretch) = origin {
            traffic.spared += 1;
            marks::hit("read: what was read ahead is there");
            take(span, Some(stretch))?;
        }
    }
    let pieces = source.fetch(&plan, &fetches, &mut traffic)?;
    for (span, origin) in plan.spans.iter().zip(origins) {
        let stretch = match origin {
            Origin::Memory(_) => continue,
            Origin::Device(nth, None) => pieces[nth].clone().map(Stretch::from),
            Origin::Device(nth, Some(first)) => {
                pieces[nth].clone().map(|second| Stretch { first, second: Some(second) })
            }
            Origin::Coming => source.wait(plan.segment(span), span)?,
        };
        take(span, stretch.as_ref())?;
    }
    Ok(traffic)
}

impl Source<'_> {
    fn wanted(&self, segment: &Segment, span: &Span) -> Wanted {
        // Of a segment that groups are still added to, what lies behind the wanted records may not be written yet.
        let is_whole = segment.is_closed() && (segment.id.is_cold() || segment.last() <= self.durable);
        let still = if is_whole { segment.end() } else { 0 };
        Wanted { segment: segment.id, range: in_segment(span.at)..in_segment(span.end), still }
    }

    /// Has what is wanted next on its way.
    fn start(&self, plan: &Plan, later: Vec<Part>, traffic: &mut Traffic) {
        if later.is_empty() {
            return;
        }
        let bytes: u64 = later.iter().map(|part| u64::from(part.end - part.at)).sum();
        (traffic.bytes, traffic.ahead) = (traffic.bytes + bytes, traffic.ahead + bytes);
        // They are in the order of the plan's spans.
        let mut segments = plan.segments.iter().peekable();
        let reads = later.into_iter().filter_map(|part| {
            while segments.peek()?.id != part.segment {
                segments.next();
            }
            Some((part, Arc::clone(&segments.peek()?.file)))
        });
        self.ahead.prefetch.start(self.medium, self.ahead, reads);
    }

    /// Reads from the device, and keeps what is to be kept. Without what the device does not give: beside the records
    /// that are wanted, each read is of others.
    fn fetch(&self, plan: &Plan, fetches: &[Fetch], traffic: &mut Traffic) -> Result<Vec<Option<Piece>>, Error> {
        let read = |fetch: &Fetch| {
            let file = Arc::clone(&plan.segments[fetch.segment].file);
            (file, self.medium.pool.region(fetch.end - fetch.at), fetch.at as u64)
        };
        let mut pieces = Vec::with_capacity(fetches.len());
        let mut failure = None;
        for (fetch, (region, result)) in
            fetches.iter().zip(self.medium.disk.read_many(fetches.iter().map(read).collect()))
        {
            traffic.bytes += (fetch.end - fetch.at) as u64;
            traffic.ahead += fetch.ahead as u64;
            let read = result.map(|()| region.freeze());
            if let Some(part) = fetch.part {
                self.ahead.bring(part, read.as_ref().ok().cloned());
            }
            match read {
                Ok(bytes) => pieces.push(Some(Piece { at: in_segment(fetch.at), bytes })),
                Err(error) if is_of_the_bytes(&error) => pieces.push(None),
                Err(error) => failure = failure.or(Some((&plan.segments[fetch.segment], error))),
            }
        }
        match failure {
            Some((segment, error)) => Err(failed(segment, error)),
            None => Ok(pieces),
        }
    }

    /// Waits for what is on its way, and reads it where it has not come; `None` if the device does not give it.
    fn wait(&self, segment: &Segment, span: &Span) -> Result<Option<Stretch>, Error> {
        let wanted = self.wanted(segment, span);
        let mut way = self.ahead.again(&wanted);
        if matches!(way, Way::Coming) {
            marks::hit("read: what is read ahead is waited for");
            self.ahead.prefetch.wait(self.ahead, || {
                way = self.ahead.again(&wanted);
                !matches!(way, Way::Coming)
            });
        }
        match way {
            Way::Held(stretch) => Ok(Some(stretch)),
            _ => match read_slice(&*segment.file, &self.medium.pool, span.at, span.end - span.at) {
                Ok(bytes) => Ok(Some(Piece { at: in_segment(span.at), bytes }.into())),
                Err(error) if is_of_the_bytes(&error) => Ok(None),
                Err(error) => Err(failed(segment, error)),
            },
        }
    }

    fn verify(&self, stretch: &Stretch, place: Place) -> Option<Record> {
        let bytes = stretch.slice(place.offset..place.offset + place.len, &self.medium.pool);
        Record::verify(&bytes, self.medium.framing.seed)
    }

    /// Reads a record once more, from the device and without its neighbours: what is in memory may come of a read that
    /// went wrong, and a sector that the device does not give may be one of theirs.
    ///
    /// # Errors
    /// [`Error::Corruption`] also when the device fails to give these blocks twice and still gives others, as when the
    /// log is opened.
    fn read_again(&self, segment: &Segment, place: Place) -> Result<Record, Error> {
        marks::hit("read: a record is read once more");
        self.ahead.forget(segment.id);
        let pad = self.medium.framing.pad;
        let at = place.offset as usize / pad * pad;
        let len = round_up(place.offset as usize + place.len as usize, pad) - at;
        let read = || read_slice(&*segment.file, &self.medium.pool, at, len);
        let retried = read().or_else(|error| if is_of_the_bytes(&error) { read() } else { Err(error) });
        let bytes = match retried {
            Ok(bytes) => bytes,
            Err(error) if is_of_the_bytes(&error) => {
                // One that has failed as a whole has lost nothing.
                require_device(self.medium, self.is_named)?;
                let what = format!("a record cannot be read: {error}");
                return Err(Error::corruption(place.segment, place.offset, what));
            }
            Err(error) => return Err(failed(segment, error)),
        };
        self.verify(&Piece { at: in_segment(at), bytes }.into(), place)
            .ok_or_else(|| Error::corruption(place.segment, place.offset, "a record's checksum does not match"))
    }
}

fn failed(segment: &Segment, error: io::Error) -> Error {
    Error::io(format!("reading segment {}", segment.id), error)
}

/// One read of the device.
struct Fetch {
    /// Which of the plan's.
    segment: usize,
    at: usize,
    end: usize,
    /// It is kept, and so many bytes of it are for later.
    part: Option<Part>,
    ahead: usize,
}

/// Where the records of a span come from.
enum Origin {
    Memory(Stretch),
    Coming,
    /// Which of the fetches, behind what is in memory.
    Device(usize, Option<Piece>),
}

/// The reads of the device, and where the records of each span come from.
fn fetches(spans: &[Span], ways: Vec<Way>) -> (Vec<Fetch>, Vec<Origin>) {
    let mut fetches = Vec::new();
    let mut origins = Vec::with_capacity(spans.len());
    for (&Span { segment, at, end, .. }, way) in spans.iter().zip(ways) {
        origins.push(match way {
            Way::Held(stretch) => Origin::Memory(stretch),
            Way::Coming => Origin::Coming,
            Way::Alone => {
                fetches.push(Fetch { segment, at, end, part: None, ahead: 0 });
                Origin::Device(fetches.len() - 1, None)
            }
            Way::Ahead(part, front) => {
                let (at, until) = (part.at as usize, part.end as usize);
                fetches.push(Fetch { segment, at, end: until, part: Some(part), ahead: until - end });
                Origin::Device(fetches.len() - 1, front)
            }
        });
    }
    (fetches, origins)
}
