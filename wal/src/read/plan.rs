//! Which stretches of which segments hold the records that are wanted and not in memory.

use std::{ops::Range, sync::Arc};

use crate::{
    format::record::Record,
    read::chunk_cache::NEAR,
    segments::segment::Segment,
    types::{
        error::Error,
        ids::{Place, SegmentId, round_up},
    },
};

/// Reads of neighbours become one when at most this much lies between them.
const GAP: usize = NEAR as usize;

/// The largest read that neighbours are joined into.
const JOINED: usize = 1 << 20;

/// What is missing, as stretches of segments.
pub(crate) struct Plan {
    pub(crate) segments: Vec<Arc<Segment>>,
    pub(crate) spans: Vec<Span>,
    /// Which of the wanted records, in the order in which they lie.
    pub(crate) missing: Vec<usize>,
}

/// Whole blocks that hold one or more of the missing records.
pub(crate) struct Span {
    /// Which of the plan's.
    pub(crate) segment: usize,
    pub(crate) at: usize,
    pub(crate) end: usize,
    /// Which of the plan's lie in it.
    pub(crate) missing: Range<usize>,
}

impl Plan {
    pub(crate) fn new(
        pad: usize,
        segment: impl Fn(SegmentId) -> Option<Arc<Segment>>,
        places: &[Place],
        found: &[Option<Record>],
    ) -> Result<Self, Error> {
        let mut missing: Vec<usize> = (0..places.len()).filter(|&nth| found[nth].is_none()).collect();
        missing.sort_unstable_by_key(|&nth| (places[nth].segment, places[nth].offset));
        let mut segments: Vec<Arc<Segment>> = Vec::new();
        let mut spans: Vec<Span> = Vec::with_capacity(missing.len());
        for (rank, &nth) in missing.iter().enumerate() {
            let place = places[nth];
            let at = place.offset as usize / pad * pad;
            let end = round_up(place.offset as usize + place.len as usize, pad);
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
                _ => spans.push(Span { segment, at, end, missing: rank..rank + 1 }),
            }
        }
        Ok(Self { segments, spans, missing })
    }

    pub(crate) fn segment(&self, span: &Span) -> &Segment {
        &self.segments[span.segment]
    }
}

impl Span {
    fn joins(&self, at: usize, end: usize) -> bool {
        at <= self.end + GAP && end.max(self.end) - self.at <= JOINED
    }
}
