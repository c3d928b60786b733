//! Stage *read*: from *index*, which says where; leads to whoever asked. Records by place, verified.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
};

use logboom_disk::{Disk, Pool, Slice};

use crate::{
    Error, Place, SegmentId, group::in_segment, ids::round_up, record::Record, segment::Segment, shared::Shared,
};

/// Reads of neighbours become one when at most this much lies between them.
const GAP: usize = 16 << 10;

/// The largest read that neighbours are joined into.
const JOINED: usize = 1 << 20;

/// What a cold read needs.
pub(crate) struct Source<'s> {
    pub(crate) disk: &'s dyn Disk,
    pub(crate) pool: &'s Pool,
    pub(crate) pad: usize,
    pub(crate) seed: u32,
}

/// One read of the device that holds one or more of the wanted records.
struct Span {
    segment: Arc<Segment>,
    at: usize,
    end: usize,
    /// Which of the wanted records lie in it.
    wanted: Vec<usize>,
}

impl Shared {
    /// Reads the records at `places`, in their order, from memory or from the device.
    pub(crate) fn read(&self, places: &[Place], out: &mut Vec<Record>) -> Result<(), Error> {
        let mut found: Vec<Option<Record>> = places.iter().map(|&place| self.recent.read(place)).collect();
        if found.iter().any(Option::is_none) {
            let source = Source { disk: &*self.disk, pool: &self.pool, pad: self.pad, seed: self.seed };
            let bytes = read_cold(&source, |id| self.segments.lock().get(&id).cloned(), places, &mut found)?;
            self.metrics.cold_reads.fetch_add(1, Ordering::Relaxed);
            self.metrics.cold_read_bytes.fetch_add(bytes, Ordering::Relaxed);
        }
        out.extend(found.into_iter().flatten());
        Ok(())
    }
}

/// Fills in what is missing in `found`, reading each place once, several at a time. Returns the bytes read.
///
/// A segment is held for as long as it is read: it is not recycled under a reader.
pub(crate) fn read_cold(
    source: &Source<'_>,
    segment: impl Fn(SegmentId) -> Option<Arc<Segment>>,
    places: &[Place],
    found: &mut [Option<Record>],
) -> Result<u64, Error> {
    let spans = plan(source.pad, segment, places, found)?;
    let reads = spans
        .iter()
        .map(|span| (Arc::clone(&span.segment.file), source.pool.region(span.end - span.at), span.at as u64))
        .collect();
    let mut bytes = 0;
    for (span, (region, result)) in spans.iter().zip(source.disk.read_many(reads)) {
        result.map_err(|error| Error::io(format!("reading segment {}", span.segment.id), error))?;
        let slice = region.freeze();
        bytes += (span.end - span.at) as u64;
        for &wanted in &span.wanted {
            found[wanted] = Some(verify(source, span, &slice, places[wanted])?);
        }
    }
    Ok(bytes)
}

fn verify(source: &Source<'_>, span: &Span, slice: &Slice, place: Place) -> Result<Record, Error> {
    let from = place.offset as usize - span.at;
    let bytes = slice.slice(from..from + place.len as usize);
    Record::verify(&bytes, source.seed)
        .ok_or_else(|| Error::corruption(place.segment, place.offset, "a record's checksum does not match"))
}

fn plan(
    pad: usize,
    segment: impl Fn(SegmentId) -> Option<Arc<Segment>>,
    places: &[Place],
    found: &[Option<Record>],
) -> Result<Vec<Span>, Error> {
    let mut missing: Vec<usize> = (0..places.len()).filter(|&nth| found[nth].is_none()).collect();
    missing.sort_unstable_by_key(|&nth| (places[nth].segment, places[nth].offset));
    let mut segments: BTreeMap<SegmentId, Arc<Segment>> = BTreeMap::new();
    let mut spans: Vec<Span> = Vec::new();
    for nth in missing {
        let place = places[nth];
        let at = place.offset as usize / pad * pad;
        let end = round_up(place.offset as usize + place.len as usize, pad);
        if let Some(last) = spans.last_mut()
            && last.segment.id == place.segment
            && at <= last.end + GAP
            && end.max(last.end) - last.at <= JOINED
        {
            last.end = last.end.max(end);
            last.wanted.push(nth);
            continue;
        }
        let segment = match segments.get(&place.segment) {
            Some(segment) => Arc::clone(segment),
            None => segment(place.segment).ok_or(Error::Gone(place.segment))?,
        };
        segments.insert(place.segment, Arc::clone(&segment));
        if end > segment.size as usize {
            return Err(Error::corruption(place.segment, in_segment(at), "a place lies beyond its segment"));
        }
        spans.push(Span { segment, at, end, wanted: vec![nth] });
    }
    Ok(spans)
}
