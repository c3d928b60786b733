//! A shard's index: maps an entry's index to its term and its place.
//!
//! Stage *index*: appends update it, reads look entries up in it.

mod moved;

use std::{collections::VecDeque, ops::Range};

use logboom_wal::{Place, RECORD_HEADER, Record, SegmentId};

use moved::Moved;

use crate::{
    encoding::{extent::Extent, operation::Change},
    index::{
        durable_ends::{DurableEnds, UNKNOWN_GROUP},
        spans::{SegmentTag, Span, Spans, share},
        terms::{TermRun, Terms},
    },
    types::delta::{Amount, Delta},
};

/// The unit of offsets and lengths in rows, in bytes: the alignment of records.
pub(crate) const ROW_UNIT: u32 = 8;

/// The most locations that a lookup allocates memory for in advance.
const LOCATIONS_AT_ONCE: usize = 4096;

/// The index of a shard's log. The log's bounds are not in it: callers pass them as `extent`.
///
/// Most shards of a node are idle, with all entries of one term in one sealed segment: they need no allocation.
#[derive(Debug)]
pub(crate) enum LogIndex {
    Empty {
        /// The commit group that emptied it: 0 if that is durable, [`UNKNOWN_GROUP`] until it is known.
        since: u64,
    },
    /// All entries of the log have one term and lie in one sealed segment; all are durable.
    Uniform {
        term: u64,
        segment: SegmentId,
        /// The bytes of the records that hold them.
        bytes: u32,
    },
    Indexed(Box<FullIndex>),
}

#[derive(Debug, Default)]
pub(crate) struct FullIndex {
    terms: Terms,
    spans: Spans,
    /// The places of the entries in unsealed segments, by first index.
    unsealed: VecDeque<Row>,
    ends: DurableEnds,
}

impl Default for LogIndex {
    fn default() -> Self {
        Self::Empty { since: 0 }
    }
}

/// The place of a record whose live entries begin at `first`; the span that covers it has the segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) first: u64,
    /// In units of [`ROW_UNIT`] bytes.
    pub(crate) offset8: u32,
    /// In units of [`ROW_UNIT`] bytes.
    pub(crate) len8: u32,
}

/// A record of entries of one term, and its place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IndexedRecord {
    pub(crate) first: u64,
    pub(crate) count: u64,
    pub(crate) term: u64,
    pub(crate) place: Place,
}

/// Where a range of entries lies: in one record, or somewhere in a sealed segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EntryLocation {
    pub(crate) range: Range<u64>,
    /// The term of all entries of the range: a record of another term was overwritten.
    pub(crate) term: u64,
    pub(crate) segment: SegmentId,
    /// `None`: the segment's footer has it.
    pub(crate) place: Option<Place>,
}

impl EntryLocation {
    /// Whether the record holds all of the range. The caller compares the owner.
    pub(crate) fn is_in(&self, record: &Record) -> bool {
        let end = record.first().checked_add(u64::from(record.count()));
        let spans = record.first() <= self.range.start && end.is_some_and(|end| self.range.end <= end);
        spans && record.attr() == self.term && Change::has_entries(record)
    }
}

impl Row {
    pub(crate) fn new(first: u64, place: Place) -> Self {
        Self { first, offset8: place.offset / ROW_UNIT, len8: place.len / ROW_UNIT }
    }

    pub(crate) fn place(&self, segment: SegmentId) -> Place {
        place(segment, self.offset8, self.len8)
    }

    /// Whether it is of the same record as the row before it in the same segment.
    fn continues(&self, before: Option<&Self>) -> bool {
        before.is_some_and(|before| before.offset8 == self.offset8)
    }
}

/// The place that a row states. A row of a damaged footer may state any: reading there fails the checksum.
pub(crate) fn place(segment: SegmentId, offset8: u32, len8: u32) -> Place {
    Place { segment, offset: offset8.saturating_mul(ROW_UNIT), len: len8.saturating_mul(ROW_UNIT) }
}

/// The fewest bytes of payload and context that a record of this length with `count` entries can hold.
pub(crate) fn payload_bytes_min(len8: u32, count: u64) -> u64 {
    let overhead = RECORD_HEADER as u64 + count.saturating_mul(8) + u64::from(ROW_UNIT - 1);
    (u64::from(len8) * u64::from(ROW_UNIT)).saturating_sub(overhead)
}

impl LogIndex {
    /// The index of a recovered log.
    pub(crate) fn recovered(extent: &Extent, runs: Vec<TermRun>, spans: Spans, unsealed: VecDeque<Row>) -> Self {
        let ends = DurableEnds::durable_to(extent.next);
        let mut log = Self::Indexed(Box::new(FullIndex { terms: Terms::from_runs(runs), spans, unsealed, ends }));
        log.pack(extent);
        log
    }

    /// Adds appended entries; `extent` is the log's before the append. Returns whether they begin a new span.
    pub(crate) fn append(&mut self, extent: &Extent, record: &IndexedRecord, delta: &mut Delta) -> bool {
        let index = self.unpack(extent);
        index.terms.push(record.first, record.term);
        index.unsealed.push_back(Row::new(record.first, record.place));
        delta.append(Amount::new(record.count, record.place.len));
        index.spans.push(record.first, SegmentTag::unsealed(record.place.segment), record.place.len)
    }

    /// The entries of `record`, which the log has already, now lie at its place and have its term.
    pub(crate) fn replace(&mut self, extent: &Extent, record: &IndexedRecord, delta: &mut Delta) {
        let index = self.unpack(extent);
        let range = record.first..record.first.saturating_add(record.count);
        index.terms.set(&range, record.term, extent.next);
        index.relocate(&[Moved { range, place: record.place, bytes: record.place.len }], extent.next, delta);
    }

    /// The ranges of entries that are read from `segment`: those from `first` on, and possibly some before.
    pub(crate) fn held_in(&self, extent: &Extent, segment: SegmentId, first: u64) -> impl Iterator<Item = Range<u64>> {
        let flat = match self {
            Self::Uniform { segment: held_by, .. } if *held_by == segment => Some(extent.range()),
            _ => None,
        };
        let spans = match self {
            Self::Indexed(index) => Some(index.spans.covering(first, extent.next)),
            _ => None,
        };
        let held = move |(span, end): (Span, u64)| (span.tag.segment() == segment).then_some(span.first..end);
        flat.into_iter().chain(spans.into_iter().flatten().filter_map(held))
    }

    /// The segments that hold the log's entries, and how much each holds; a segment may repeat.
    pub(crate) fn held(&self, extent: &Extent) -> Vec<(SegmentId, Amount)> {
        match self {
            Self::Empty { .. } => Vec::new(),
            Self::Uniform { segment, bytes, .. } => vec![(*segment, Amount::new(extent.next - extent.first, *bytes))],
            Self::Indexed(index) => {
                let spans = index.spans.covering(0, extent.next);
                spans.map(|(span, end)| (span.tag.segment(), Amount::new(end - span.first, span.bytes))).collect()
            }
        }
    }

    /// Drops the entries from `next` on.
    pub(crate) fn truncate(&mut self, extent: &Extent, next: u64, delta: &mut Delta) {
        if next >= extent.next {
            return;
        }
        if next <= extent.first {
            self.compact(extent, extent.next, delta);
            return if let Self::Indexed(index) = self {
                index.ends.truncate(next)
            };
        }
        match self {
            Self::Empty { .. } => {}
            Self::Uniform { segment, bytes, .. } => {
                let freed = share(*bytes, extent.next - next, extent.next - extent.first);
                *bytes -= freed;
                delta.free(*segment, Amount::new(extent.next - next, freed));
            }
            Self::Indexed(index) => index.truncate(extent, next, delta),
        }
    }

    /// Drops the entries before `first`.
    pub(crate) fn compact(&mut self, extent: &Extent, first: u64, delta: &mut Delta) {
        if first <= extent.first {
            return;
        }
        match self {
            Self::Empty { .. } => {}
            Self::Uniform { segment, bytes, .. } => {
                let gone = first.min(extent.next) - extent.first;
                let freed = share(*bytes, gone, extent.next - extent.first);
                *bytes -= freed;
                delta.free(*segment, Amount::new(gone, freed));
            }
            Self::Indexed(index) => index.compact(extent, first, delta),
        }
        // The spans go, or their entries would be freed again. The durable ends are still needed.
        if first >= extent.next {
            self.forget_entries();
        }
    }

    /// Drops everything.
    pub(crate) fn clear(&mut self, extent: &Extent, delta: &mut Delta) {
        self.compact(extent, extent.next, delta);
        *self = Self::Empty { since: UNKNOWN_GROUP };
    }

    /// The term of an entry of the log.
    pub(crate) fn term(&self, index: u64) -> Option<u64> {
        match self {
            Self::Empty { .. } => None,
            Self::Uniform { term, .. } => Some(*term),
            Self::Indexed(full) => full.terms.at(index),
        }
    }

    /// The terms of all entries, as runs.
    pub(crate) fn term_runs(&self, extent: &Extent, runs: &mut Vec<TermRun>) {
        match self {
            Self::Empty { .. } => {}
            Self::Uniform { term, .. } => runs.push(TermRun { first: extent.first, term: *term }),
            Self::Indexed(index) => runs.extend_from_slice(index.terms.runs()),
        }
    }

    /// Where the entries of `range`, which lies in the log, are, in order. Stops when the entries so far must exceed
    /// `max_bytes`.
    pub(crate) fn locate(&self, extent: &Extent, range: &Range<u64>, max_bytes: u64) -> Vec<EntryLocation> {
        match self {
            Self::Empty { .. } => Vec::new(),
            Self::Uniform { term, segment, .. } => {
                vec![EntryLocation { range: range.clone(), term: *term, segment: *segment, place: None }]
            }
            Self::Indexed(index) => index.locate(extent, range, max_bytes),
        }
    }

    /// Adds a group in flight, after which the log ends at `next`. Groups up to `durable` are durable.
    pub(crate) fn track_durable(&mut self, group: u64, next: u64, durable: u64) {
        match self {
            Self::Indexed(index) => index.ends.push(group, next, durable),
            Self::Empty { since } if *since == UNKNOWN_GROUP => *since = group,
            Self::Empty { .. } | Self::Uniform { .. } => {}
        }
    }

    /// The end of the durable entries, given that groups up to `durable` are durable; `u64::MAX` if all entries are.
    pub(crate) fn durable_next(&mut self, durable: u64) -> u64 {
        match self {
            Self::Indexed(index) => index.ends.advance(durable),
            Self::Empty { since } if *since > durable => 0,
            Self::Empty { .. } | Self::Uniform { .. } => u64::MAX,
        }
    }

    /// The live entries in `segment` whose places are in memory: their ranges, and a row for each record.
    ///
    /// A gap that only later segments of the log fill does not split a range: no lookup for it reaches this segment.
    pub(crate) fn rows_in(&self, extent: &Extent, segment: SegmentId) -> Vec<(Range<u64>, Vec<Row>)> {
        let Self::Indexed(index) = self else { return Vec::new() };
        let mut found: Vec<(Range<u64>, Vec<Row>)> = Vec::new();
        let mut parted = true;
        for (span, end) in index.spans.covering(0, extent.next) {
            if span.tag != SegmentTag::unsealed(segment) {
                let held_by = span.tag.segment();
                parted |= segment.is_cold() || held_by.is_cold() || (SegmentId(1)..segment).contains(&held_by);
                continue;
            }
            match found.last_mut() {
                Some((range, rows)) if !parted => {
                    range.end = end;
                    let last = rows.last().copied();
                    rows.extend(index.rows(&(span.first..end)).filter(|row| !row.continues(last.as_ref())));
                }
                _ => found.push((span.first..end, index.rows(&(span.first..end)).collect())),
            }
            parted = false;
        }
        found
    }

    /// Drops the places in `segment`: its footer has them.
    pub(crate) fn seal(&mut self, extent: &Extent, segment: SegmentId) {
        if let Self::Indexed(index) = self {
            index.seal(extent, segment);
        }
    }

    /// Takes the smallest of the three forms that holds all of it, given that groups up to `durable` are durable.
    pub(crate) fn tidy(&mut self, extent: &Extent, durable: u64) {
        if let Self::Indexed(index) = self {
            index.ends.advance(durable);
            self.pack(extent);
        }
    }

    fn unpack(&mut self, extent: &Extent) -> &mut FullIndex {
        let index = match std::mem::take(self) {
            Self::Empty { since } => {
                Box::new(FullIndex { ends: DurableEnds::emptied_by(since, extent.next), ..FullIndex::default() })
            }
            Self::Uniform { term, segment, bytes } => Box::new(FullIndex {
                terms: Terms::from_runs(vec![TermRun { first: extent.first, term }]),
                spans: Spans::one(extent.first, SegmentTag::sealed(segment), bytes),
                unsealed: VecDeque::new(),
                ends: DurableEnds::durable_to(extent.next),
            }),
            Self::Indexed(index) => index,
        };
        *self = Self::Indexed(index);
        match self {
            Self::Indexed(index) => index,
            Self::Empty { .. } | Self::Uniform { .. } => unreachable!("assigned above"),
        }
    }

    fn forget_entries(&mut self) {
        *self = match std::mem::take(self) {
            Self::Indexed(index) => Self::Indexed(Box::new(FullIndex { ends: index.ends, ..FullIndex::default() })),
            Self::Uniform { .. } => Self::default(),
            empty => empty,
        };
    }

    fn pack(&mut self, extent: &Extent) {
        let Self::Indexed(index) = self else { return };
        if !index.ends.is_all_durable() || !index.unsealed.is_empty() {
            return;
        }
        if extent.is_empty() {
            *self = Self::default();
        } else if let (Some(span), [run]) = (index.spans.only(), index.terms.runs()) {
            *self = Self::Uniform { term: run.term, segment: span.tag.segment(), bytes: span.bytes };
        }
    }
}

impl FullIndex {
    fn truncate(&mut self, extent: &Extent, next: u64, delta: &mut Delta) {
        self.terms.cut_suffix(next);
        self.spans.cut_suffix(next, extent.next, delta);
        self.unsealed.truncate(self.unsealed.partition_point(|row| row.first < next));
        self.ends.truncate(next);
    }

    fn compact(&mut self, extent: &Extent, first: u64, delta: &mut Delta) {
        self.terms.cut_prefix(first);
        self.spans.cut_prefix(first, extent.next, delta);
        let gone = self.unsealed.partition_point(|row| row.first <= first).saturating_sub(1);
        self.unsealed.drain(..gone);
        if let Some(row) = self.unsealed.front_mut() {
            row.first = row.first.max(first);
        }
    }

    fn seal(&mut self, extent: &Extent, segment: SegmentId) {
        let unsealed = &mut self.unsealed;
        for (span, end) in self.spans.unsealed_in(segment, extent.next) {
            let begin = unsealed.partition_point(|row| row.first < span.first);
            let until = unsealed.partition_point(|row| row.first < end);
            unsealed.drain(begin..until);
        }
        self.spans.seal(segment);
        if self.unsealed.is_empty() {
            self.unsealed = VecDeque::new();
        }
    }

    fn locate(&self, extent: &Extent, range: &Range<u64>, max_bytes: u64) -> Vec<EntryLocation> {
        let rows = self.unsealed.partition_point(|row| row.first < range.end);
        let begin = self.unsealed.partition_point(|row| row.first <= range.start).saturating_sub(1);
        let mut locations = Vec::with_capacity(rows.saturating_sub(begin).clamp(1, LOCATIONS_AT_ONCE));
        for (span, span_end) in self.spans.covering(range.start, extent.next) {
            let part = span.first.max(range.start)..span_end.min(range.end);
            if part.is_empty() {
                break;
            }
            for (part, term) in self.terms.parts(part) {
                if !span.tag.is_unsealed() {
                    locations.push(EntryLocation { range: part, term, segment: span.tag.segment(), place: None });
                } else if !self.locate_unsealed(span, part, term, max_bytes, &mut locations) {
                    return locations;
                }
            }
        }
        locations
    }

    /// Returns whether all of `part` was located: if not, the caller must stop, or it would leave a gap.
    fn locate_unsealed(
        &self,
        span: Span,
        part: Range<u64>,
        term: u64,
        max_bytes: u64,
        locations: &mut Vec<EntryLocation>,
    ) -> bool {
        let begin = self.unsealed.partition_point(|row| row.first <= part.start).saturating_sub(1);
        let mut bytes_min = 0;
        for at in begin..self.unsealed.len() {
            let row = self.unsealed[at];
            let row_end = self.unsealed.get(at + 1).map_or(part.end, |next| next.first.min(part.end));
            if row.first >= part.end {
                break;
            }
            if bytes_min > max_bytes {
                return false;
            }
            let range = row.first.max(part.start)..row_end;
            if row.first >= part.start {
                bytes_min += payload_bytes_min(row.len8, range.end - range.start);
            }
            let segment = span.tag.segment();
            locations.push(EntryLocation { range, term, segment, place: Some(row.place(segment)) });
        }
        true
    }

    fn rows(&self, range: &Range<u64>) -> impl Iterator<Item = Row> + use<'_> {
        let begin = self.unsealed.partition_point(|row| row.first < range.start);
        let end = range.end;
        self.unsealed.range(begin..).copied().take_while(move |row| row.first < end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One entry to a record, 128 bytes each, the offset telling the index.
    fn run(first: u64, segment: u64) -> IndexedRecord {
        let offset = u32::try_from(first).unwrap() * 128;
        IndexedRecord {
            first,
            count: 1,
            term: first / 10,
            place: Place { segment: SegmentId(segment), offset, len: 128 },
        }
    }

    fn at(index: u64) -> usize {
        usize::try_from(index).unwrap()
    }

    fn log(range: Range<u64>) -> (LogIndex, Extent) {
        let (mut log, mut extent, mut delta) = (LogIndex::default(), Extent::default(), Delta::default());
        for index in range {
            log.append(&extent, &run(index, index / 8), &mut delta);
            extent = extent.append(index, 1).unwrap();
        }
        (log, extent)
    }

    fn ranges(locations: &[EntryLocation]) -> Vec<(Range<u64>, bool)> {
        locations.iter().map(|location| (location.range.clone(), location.place.is_some())).collect()
    }

    #[test]
    fn an_outline_names_each_record_in_order() {
        let (log, extent) = log(3..30);
        let found = log.locate(&extent, &(6..10), u64::MAX);
        assert_eq!(ranges(&found), [(6..7, true), (7..8, true), (8..9, true), (9..10, true)]);
        assert_eq!(found[2].place, Some(run(8, 1).place));
    }

    #[test]
    fn an_outline_stops_where_enough_is_named() {
        let (log, extent) = log(0..8);
        let min = payload_bytes_min(16, 1);
        assert_eq!(log.locate(&extent, &(0..8), 2 * min).len(), 3);
        assert_eq!(log.locate(&extent, &(0..8), 0).len(), 1);
    }

    #[test]
    fn sealing_moves_places_to_footers_and_the_log_gets_flat() {
        let (mut log, extent) = log(0..10);
        let sealable: Vec<_> = log.rows_in(&extent, SegmentId(0));
        assert_eq!(sealable.iter().map(|(range, rows)| (range.clone(), rows.len())).collect::<Vec<_>>(), [(0..8, 8)]);
        log.seal(&extent, SegmentId(0));
        assert_eq!(ranges(&log.locate(&extent, &(6..9), 0)), [(6..8, false), (8..9, true)]);
        log.seal(&extent, SegmentId(1));
        let mut delta = Delta::default();
        log.truncate(&extent, 8, &mut delta);
        log.tidy(&extent.truncate(7).unwrap(), 0);
        assert!(matches!(log, LogIndex::Uniform { term: 0, segment: SegmentId(0), .. }));
        assert_eq!(delta.freed, [(SegmentId(1), Amount::new(2, 256))]);
    }

    #[test]
    fn a_row_that_is_compacted_in_the_middle_begins_at_the_boundary() {
        let (mut log, mut extent, mut delta) = (LogIndex::default(), Extent::default(), Delta::default());
        let run = IndexedRecord { count: 6, ..run(4, 1) };
        log.append(&extent, &run, &mut delta);
        extent = extent.append(4, 6).unwrap();
        log.compact(&extent, 7, &mut delta);
        extent = extent.compact(6, 0).unwrap();
        let [(range, rows)] = <[_; 1]>::try_from(log.rows_in(&extent, SegmentId(1))).unwrap();
        assert_eq!((range, rows[0].first), (7..10, 7));
        assert_eq!(ranges(&log.locate(&extent, &(7..10), 0)), [(7..10, true)]);
        assert_eq!(log.term(7), Some(0));
    }

    /// Appends in segment 1, 4 entries to a record; moves some to segment 2, 3 and 2; compares with a model.
    #[test]
    fn entries_that_lie_elsewhere_now_are_found_there() {
        let mut rng = fastrand::Rng::with_seed(5);
        for round in 0..300 {
            let (mut log, mut extent, mut delta) = (LogIndex::default(), Extent::default(), Delta::default());
            let mut model: Vec<(u64, u32, u64)> = Vec::new();
            for first in (0..24).step_by(4) {
                let run = IndexedRecord { count: 4, term: first / 8, ..run(first, 1) };
                log.append(&extent, &run, &mut delta);
                extent = extent.append(first, 4).unwrap();
                model.extend([(1, run.place.offset, first / 8); 4]);
            }
            for (nth, segment) in [(1, 2), (2, 3), (3, 2), (4, 4)] {
                let first = rng.u64(..24);
                let count = rng.u64(1..=24 - first);
                let run = IndexedRecord { first, count, term: 20 + nth, ..run(100 * nth, segment) };
                log.replace(&extent, &run, &mut delta);
                model[at(first)..at(first + count)].fill((segment, run.place.offset, 20 + nth));
                if rng.bool() {
                    log.seal(&extent, SegmentId(nth));
                }
            }
            for index in 0..24 {
                let [location] = <[_; 1]>::try_from(log.locate(&extent, &(index..index + 1), 0)).unwrap();
                let (segment, offset, term) = model[at(index)];
                assert_eq!((location.segment.0, location.term), (segment, term), "round {round}, index {index}");
                assert_eq!(log.term(index), Some(term));
                if let Some(place) = location.place {
                    assert_eq!(place.offset, offset, "round {round}, index {index}: {log:?}");
                }
            }
            let all = log.locate(&extent, &(0..24), u64::MAX);
            assert!(all.windows(2).all(|pair| pair[0].range.end == pair[1].range.start), "{all:?}");
            for segment in 1..=4 {
                for (range, rows) in log.rows_in(&extent, SegmentId(segment)) {
                    assert_eq!(rows[0].first, range.start);
                    assert!(rows.is_sorted_by_key(|row| row.first) && rows.iter().all(|row| row.first < range.end));
                }
            }
            delta.clear();
            log.clear(&extent, &mut delta);
            let mut freed = [0; 5];
            delta.freed.iter().for_each(|(segment, amount)| freed[at(segment.0)] += amount.entries);
            let live = |segment| model.iter().filter(|(other, ..)| *other == segment).count() as u64;
            assert_eq!(freed, [0, live(1), live(2), live(3), live(4)], "round {round}");
        }
    }

    #[test]
    fn emptying_frees_every_entry_once() {
        for flat in [false, true] {
            let (mut log, extent) = log(0..6);
            if flat {
                log.seal(&extent, SegmentId(0));
                log.tidy(&extent, 0);
                assert!(matches!(log, LogIndex::Uniform { .. }));
            }
            let mut delta = Delta::default();
            log.clear(&extent, &mut delta);
            assert_eq!(delta.freed, [(SegmentId(0), Amount::new(6, 768))]);
        }
    }

    #[test]
    fn durability_of_a_log_that_began_empty() {
        let (mut log, mut delta) = (LogIndex::default(), Delta::default());
        let extent = Extent { first: 5, next: 5, boundary_term: Some(1) };
        log.append(&extent, &run(5, 0), &mut delta);
        log.track_durable(9, 6, 8);
        assert_eq!(log.durable_next(8), 5, "the boundary was durable");
        assert_eq!(log.durable_next(9), 6);
        log.clear(&extent.append(5, 1).unwrap(), &mut delta);
        assert_eq!(log.durable_next(9), 0);
        log.track_durable(12, 20, 9);
        log.track_durable(14, 20, 12);
        assert_eq!((log.durable_next(11), log.durable_next(12)), (0, u64::MAX), "what is in group 14 is no entry");
        let extent = Extent { first: 20, next: 20, boundary_term: Some(1) };
        log.append(&extent, &run(20, 0), &mut delta);
        log.track_durable(15, 21, 11);
        assert_eq!([11, 12, 15].map(|durable| log.durable_next(durable)), [0, 20, 21]);
    }
}
