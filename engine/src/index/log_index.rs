//! A shard's index: from an entry's index to its term and its place.
//!
//! Stage *index*: append comes before it, read behind it.

use std::{collections::VecDeque, ops::Range};

use logboom_wal::{
    Place, RECORD_HEADER, Record, SegmentId,
    mutants::{self, Mutant},
};

use crate::{
    encoding::{extent::Extent, operation::Change},
    index::{
        durable_ends::{Marks, UNMARKED},
        spans::{Home, Span, Spans, share},
        terms::{TermRun, Terms},
    },
    types::delta::{Amount, Delta},
};

/// Sizes in rows count in units of this many bytes, the alignment of records.
pub(crate) const ROW_UNIT: u32 = 8;

/// Stretches that room is made for at once; a longer outline grows as it goes.
const STRETCHES: usize = 4096;

/// What a shard knows of the entries of its log; the bounds themselves are published beside it.
///
/// Most shards of a node are idle, with all entries in one term and in one sealed segment: they need no allocation.
#[derive(Debug)]
pub(crate) enum Log {
    Empty {
        /// The commit group that has emptied it: 0 if that is durable, [`UNMARKED`] until it is known.
        since: u64,
    },
    /// All entries of the log have one term and lie in one sealed segment; all are durable.
    Flat {
        term: u64,
        segment: SegmentId,
        /// Of the records that hold them.
        bytes: u32,
    },
    Deep(Box<Index>),
}

#[derive(Debug, Default)]
pub(crate) struct Index {
    terms: Terms,
    spans: Spans,
    /// The places of the entries in segments that have no footer yet, by first index.
    recent: VecDeque<Row>,
    marks: Marks,
}

impl Default for Log {
    fn default() -> Self {
        Self::Empty { since: 0 }
    }
}

/// The place of a record whose live entries begin at `first`; its segment is its span's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) first: u64,
    /// In units of [`ROW_UNIT`] bytes.
    pub(crate) offset8: u32,
    /// In units of [`ROW_UNIT`] bytes.
    pub(crate) len8: u32,
}

/// Entries that were appended in one record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) first: u64,
    pub(crate) count: u64,
    pub(crate) term: u64,
    pub(crate) place: Place,
}

/// A part of a range of entries, and where it lies: in one record, or somewhere in a sealed segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) range: Range<u64>,
    /// The term of all of it: what is found must have it, or is an entry that was overwritten.
    pub(crate) term: u64,
    pub(crate) segment: SegmentId,
    /// `None`: the segment's footer knows.
    pub(crate) place: Option<Place>,
}

impl Stretch {
    /// Whether the record holds all of it; whose record it is, is another matter.
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

/// The place that a row describes. Rows from a damaged footer may describe none: what is read there fails to verify.
pub(crate) fn place(segment: SegmentId, offset8: u32, len8: u32) -> Place {
    Place { segment, offset: offset8.saturating_mul(ROW_UNIT), len: len8.saturating_mul(ROW_UNIT) }
}

/// The fewest bytes of payload and context that a record of `count` entries can hold.
pub(crate) fn payload_bytes_min(len8: u32, count: u64) -> u64 {
    let overhead = RECORD_HEADER as u64 + count.saturating_mul(8) + u64::from(ROW_UNIT - 1);
    (u64::from(len8) * u64::from(ROW_UNIT)).saturating_sub(overhead)
}

impl Log {
    /// A recovered log: its terms, and where sealed and unsealed segments hold it.
    pub(crate) fn recovered(extent: &Extent, runs: Vec<TermRun>, spans: Spans, recent: VecDeque<Row>) -> Self {
        let marks = Marks::settled_at(extent.next);
        let mut log = Self::Deep(Box::new(Index { terms: Terms::from_runs(runs), spans, recent, marks }));
        log.pack(extent);
        log
    }

    /// Notes appended entries. `extent` is the log's before. Returns whether they are its first places in the segment.
    pub(crate) fn append(&mut self, extent: &Extent, run: &Run, delta: &mut Delta) -> bool {
        let index = self.open(extent);
        index.terms.push(run.first, run.term);
        index.recent.push_back(Row::new(run.first, run.place));
        delta.append(Amount::new(run.count, run.place.len));
        index.spans.push(run.first, Home::recent(run.place.segment), run.place.len)
    }

    /// Notes that entries in the middle of the log, or at its end, lie elsewhere from now on.
    pub(crate) fn replace(&mut self, extent: &Extent, run: &Run, delta: &mut Delta) {
        let index = self.open(extent);
        let range = run.first..run.first.saturating_add(run.count);
        index.terms.set(&range, run.term, extent.next);
        index.relocate(range, extent.next, run.place, run.place.len, delta);
    }

    /// Notes that a record of segment `from`, of which it holds `range`, lies at `place` as well: what of it is
    /// still read from there is read from here. Returns whether that was any of it.
    pub(crate) fn relocate(
        &mut self,
        extent: &Extent,
        from: SegmentId,
        range: &Range<u64>,
        place: Place,
        delta: &mut Delta,
    ) -> bool {
        let parts: Vec<Range<u64>> = match mutants::is_on(Mutant::MovedOverNewer) {
            true => overlap(&extent.range(), range).into_iter().collect(),
            false => self.held_in(extent, from, range.start).filter_map(|held| overlap(&held, range)).collect(),
        };
        for part in &parts {
            let bytes = share(place.len, part.end - part.start, range.end - range.start);
            self.open(extent).relocate(part.clone(), extent.next, place, bytes, delta);
        }
        !parts.is_empty()
    }

    /// The entries that are read from a segment, in ranges: at least those from `first` on, and maybe some before.
    pub(crate) fn held_in(&self, extent: &Extent, segment: SegmentId, first: u64) -> impl Iterator<Item = Range<u64>> {
        let flat = match self {
            Self::Flat { segment: home, .. } if *home == segment => Some(extent.range()),
            _ => None,
        };
        let spans = match self {
            Self::Deep(index) => Some(index.spans.covering(first, extent.next)),
            _ => None,
        };
        let held = move |(span, end): (Span, u64)| (span.home.segment() == segment).then_some(span.first..end);
        flat.into_iter().chain(spans.into_iter().flatten().filter_map(held))
    }

    /// The segments that hold the log's entries, and how much of it.
    pub(crate) fn held(&self, extent: &Extent) -> Vec<(SegmentId, Amount)> {
        match self {
            Self::Empty { .. } => Vec::new(),
            Self::Flat { segment, bytes, .. } => vec![(*segment, Amount::new(extent.next - extent.first, *bytes))],
            Self::Deep(index) => {
                let spans = index.spans.covering(0, extent.next);
                spans.map(|(span, end)| (span.home.segment(), Amount::new(end - span.first, span.bytes))).collect()
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
            return if let Self::Deep(index) = self {
                index.marks.cut(next)
            };
        }
        match self {
            Self::Empty { .. } => {}
            Self::Flat { segment, bytes, .. } => {
                let freed = share(*bytes, extent.next - next, extent.next - extent.first);
                *bytes -= freed;
                delta.free(*segment, Amount::new(extent.next - next, freed));
            }
            Self::Deep(index) => index.truncate(extent, next, delta),
        }
    }

    /// Drops the entries before `first`.
    pub(crate) fn compact(&mut self, extent: &Extent, first: u64, delta: &mut Delta) {
        if first <= extent.first {
            return;
        }
        match self {
            Self::Empty { .. } => {}
            Self::Flat { segment, bytes, .. } => {
                let gone = first.min(extent.next) - extent.first;
                let freed = share(*bytes, gone, extent.next - extent.first);
                *bytes -= freed;
                delta.free(*segment, Amount::new(gone, freed));
            }
            Self::Deep(index) => index.compact(extent, first, delta),
        }
        // What was freed above would be freed again: only the entries are gone, the marks are still needed.
        if first >= extent.next {
            self.forget_entries();
        }
    }

    /// Drops everything.
    pub(crate) fn clear(&mut self, extent: &Extent, delta: &mut Delta) {
        self.compact(extent, extent.next, delta);
        *self = Self::Empty { since: UNMARKED };
    }

    /// The term of an entry of the log.
    pub(crate) fn term(&self, index: u64) -> Option<u64> {
        match self {
            Self::Empty { .. } => None,
            Self::Flat { term, .. } => Some(*term),
            Self::Deep(deep) => deep.terms.at(index),
        }
    }

    /// The terms of all entries, as runs.
    pub(crate) fn term_runs(&self, extent: &Extent, runs: &mut Vec<TermRun>) {
        match self {
            Self::Empty { .. } => {}
            Self::Flat { term, .. } => runs.push(TermRun { first: extent.first, term: *term }),
            Self::Deep(index) => runs.extend_from_slice(index.terms.runs()),
        }
    }

    /// Where the entries of `range`, which lies in the log, are, in order. Stops where `max_bytes` must be exceeded.
    pub(crate) fn outline(&self, extent: &Extent, range: &Range<u64>, max_bytes: u64) -> Vec<Stretch> {
        match self {
            Self::Empty { .. } => Vec::new(),
            Self::Flat { term, segment, .. } => {
                vec![Stretch { range: range.clone(), term: *term, segment: *segment, place: None }]
            }
            Self::Deep(index) => index.outline(extent, range, max_bytes),
        }
    }

    /// Notes that the log ends at `next` once `group` is durable, and that `durable` is.
    pub(crate) fn mark(&mut self, group: u64, next: u64, durable: u64) {
        match self {
            Self::Deep(index) => index.marks.push(group, next, durable),
            Self::Empty { since } if *since == UNMARKED => *since = group,
            Self::Empty { .. } | Self::Flat { .. } => {}
        }
    }

    /// The end of the durable part of a log of which some part is not durable yet.
    pub(crate) fn durable_next(&mut self, durable: u64) -> u64 {
        match self {
            Self::Deep(index) => index.marks.settle(durable),
            Self::Empty { since } if *since > durable => 0,
            // Where the log ends, whatever of the shard is on its way besides.
            Self::Empty { .. } | Self::Flat { .. } => u64::MAX,
        }
    }

    /// The live entries in `segment` whose places are with the shard: their ranges, and a row for each record.
    ///
    /// What only later segments of the log hold between two of them does not part them: nobody asks this one for it.
    pub(crate) fn rows_in(&self, extent: &Extent, segment: SegmentId) -> Vec<(Range<u64>, Vec<Row>)> {
        let Self::Deep(index) = self else { return Vec::new() };
        let mut found: Vec<(Range<u64>, Vec<Row>)> = Vec::new();
        let mut parted = true;
        for (span, end) in index.spans.covering(0, extent.next) {
            if span.home != Home::recent(segment) {
                let home = span.home.segment();
                parted |= segment.is_cold() || home.is_cold() || (SegmentId(1)..segment).contains(&home);
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

    /// Forgets the places in `segment`, which its footer has.
    pub(crate) fn seal(&mut self, extent: &Extent, segment: SegmentId) {
        if let Self::Deep(index) = self {
            index.seal(extent, segment);
        }
    }

    /// Takes the smallest form that says the same, given that groups up to `durable` are durable.
    pub(crate) fn tidy(&mut self, extent: &Extent, durable: u64) {
        if let Self::Deep(index) = self {
            index.marks.settle(durable);
            self.pack(extent);
        }
    }

    fn open(&mut self, extent: &Extent) -> &mut Index {
        let index = match std::mem::take(self) {
            Self::Empty { since } => {
                Box::new(Index { marks: Marks::emptied_by(since, extent.next), ..Index::default() })
            }
            Self::Flat { term, segment, bytes } => Box::new(Index {
                terms: Terms::from_runs(vec![TermRun { first: extent.first, term }]),
                spans: Spans::one(extent.first, Home::sealed(segment), bytes),
                recent: VecDeque::new(),
                marks: Marks::settled_at(extent.next),
            }),
            Self::Deep(index) => index,
        };
        *self = Self::Deep(index);
        match self {
            Self::Deep(index) => index,
            Self::Empty { .. } | Self::Flat { .. } => unreachable!("assigned above"),
        }
    }

    fn forget_entries(&mut self) {
        *self = match std::mem::take(self) {
            Self::Deep(index) => Self::Deep(Box::new(Index { marks: index.marks, ..Index::default() })),
            Self::Flat { .. } => Self::default(),
            empty => empty,
        };
    }

    fn pack(&mut self, extent: &Extent) {
        let Self::Deep(index) = self else { return };
        if !index.marks.is_settled() || !index.recent.is_empty() {
            return;
        }
        if extent.is_empty() {
            *self = Self::default();
        } else if let (Some(span), [run]) = (index.spans.only(), index.terms.runs()) {
            *self = Self::Flat { term: run.term, segment: span.home.segment(), bytes: span.bytes };
        }
    }
}

/// What both ranges have; `None` if they have nothing in common.
fn overlap(one: &Range<u64>, other: &Range<u64>) -> Option<Range<u64>> {
    let both = one.start.max(other.start)..one.end.min(other.end);
    (both.start < both.end).then_some(both)
}

impl Index {
    /// Notes that the entries of `range` are in the record at `place`, `bytes` of it, from now on.
    fn relocate(&mut self, range: Range<u64>, end: u64, place: Place, bytes: u32, delta: &mut Delta) {
        self.replace_rows(&range, end, place);
        delta.append(Amount::new(range.end - range.start, bytes));
        self.spans.replace(range, Home::recent(place.segment), bytes, end, delta);
    }

    fn truncate(&mut self, extent: &Extent, next: u64, delta: &mut Delta) {
        self.terms.cut_suffix(next);
        self.spans.cut_suffix(next, extent.next, delta);
        self.recent.truncate(self.recent.partition_point(|row| row.first < next));
        self.marks.cut(next);
    }

    fn compact(&mut self, extent: &Extent, first: u64, delta: &mut Delta) {
        self.terms.cut_prefix(first);
        self.spans.cut_prefix(first, extent.next, delta);
        let gone = self.recent.partition_point(|row| row.first <= first).saturating_sub(1);
        self.recent.drain(..gone);
        if let Some(row) = self.recent.front_mut() {
            row.first = row.first.max(first);
        }
    }

    /// Puts one row in the place of those of `range`; what a record holds behind it gets a row of its own.
    fn replace_rows(&mut self, range: &Range<u64>, end: u64, place: Place) {
        let begin = self.recent.partition_point(|row| row.first < range.start);
        let until = self.recent.partition_point(|row| row.first < range.end);
        let behind = self.spans.covering(range.end, end).next();
        let rest = match behind {
            Some((span, _)) if range.end < end && span.home.is_recent() && span.first < range.end => {
                let rest = until.checked_sub(1).and_then(|at| self.recent.get(at));
                rest.map(|row| Row { first: range.end, ..*row })
            }
            _ => None,
        };
        let tail = self.recent.split_off(until);
        let rest = rest.filter(|rest| tail.front().is_none_or(|next| next.first != rest.first));
        self.recent.truncate(begin);
        self.recent.push_back(Row::new(range.start, place));
        self.recent.extend(rest);
        self.recent.extend(tail);
    }

    fn seal(&mut self, extent: &Extent, segment: SegmentId) {
        let recent = &mut self.recent;
        for (span, end) in self.spans.recent_in(segment, extent.next) {
            let begin = recent.partition_point(|row| row.first < span.first);
            let until = recent.partition_point(|row| row.first < end);
            recent.drain(begin..until);
        }
        self.spans.seal(segment);
        if self.recent.is_empty() {
            self.recent = VecDeque::new();
        }
    }

    fn outline(&self, extent: &Extent, range: &Range<u64>, max_bytes: u64) -> Vec<Stretch> {
        let rows = self.recent.partition_point(|row| row.first < range.end);
        let begin = self.recent.partition_point(|row| row.first <= range.start).saturating_sub(1);
        let mut stretches = Vec::with_capacity(rows.saturating_sub(begin).clamp(1, STRETCHES));
        for (span, span_end) in self.spans.covering(range.start, extent.next) {
            let part = span.first.max(range.start)..span_end.min(range.end);
            if part.is_empty() {
                break;
            }
            for (part, term) in self.terms.parts(part) {
                if !span.home.is_recent() {
                    stretches.push(Stretch { range: part, term, segment: span.home.segment(), place: None });
                } else if !self.outline_recent(span, part, term, max_bytes, &mut stretches) {
                    return stretches;
                }
            }
        }
        stretches
    }

    /// Returns whether all of `part` was named; what follows it would leave a hole otherwise.
    fn outline_recent(
        &self,
        span: Span,
        part: Range<u64>,
        term: u64,
        max_bytes: u64,
        stretches: &mut Vec<Stretch>,
    ) -> bool {
        let begin = self.recent.partition_point(|row| row.first <= part.start).saturating_sub(1);
        let mut bytes_min = 0;
        for at in begin..self.recent.len() {
            let row = self.recent[at];
            let row_end = self.recent.get(at + 1).map_or(part.end, |next| next.first.min(part.end));
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
            let segment = span.home.segment();
            stretches.push(Stretch { range, term, segment, place: Some(row.place(segment)) });
        }
        true
    }

    fn rows(&self, range: &Range<u64>) -> impl Iterator<Item = Row> + use<'_> {
        let begin = self.recent.partition_point(|row| row.first < range.start);
        let end = range.end;
        self.recent.range(begin..).copied().take_while(move |row| row.first < end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One entry to a record, 128 bytes each, the offset telling the index.
    fn run(first: u64, segment: u64) -> Run {
        let offset = u32::try_from(first).unwrap() * 128;
        Run { first, count: 1, term: first / 10, place: Place { segment: SegmentId(segment), offset, len: 128 } }
    }

    fn at(index: u64) -> usize {
        usize::try_from(index).unwrap()
    }

    fn log(range: Range<u64>) -> (Log, Extent) {
        let (mut log, mut extent, mut delta) = (Log::default(), Extent::default(), Delta::default());
        for index in range {
            log.append(&extent, &run(index, index / 8), &mut delta);
            extent = extent.append(index, 1).unwrap();
        }
        (log, extent)
    }

    fn ranges(stretches: &[Stretch]) -> Vec<(Range<u64>, bool)> {
        stretches.iter().map(|stretch| (stretch.range.clone(), stretch.place.is_some())).collect()
    }

    #[test]
    fn an_outline_names_each_record_in_order() {
        let (log, extent) = log(3..30);
        let outline = log.outline(&extent, &(6..10), u64::MAX);
        assert_eq!(ranges(&outline), [(6..7, true), (7..8, true), (8..9, true), (9..10, true)]);
        assert_eq!(outline[2].place, Some(run(8, 1).place));
    }

    #[test]
    fn an_outline_stops_where_enough_is_named() {
        let (log, extent) = log(0..8);
        let min = payload_bytes_min(16, 1);
        assert_eq!(log.outline(&extent, &(0..8), 2 * min).len(), 3);
        assert_eq!(log.outline(&extent, &(0..8), 0).len(), 1);
    }

    #[test]
    fn sealing_moves_places_to_footers_and_the_log_gets_flat() {
        let (mut log, extent) = log(0..10);
        let sealable: Vec<_> = log.rows_in(&extent, SegmentId(0));
        assert_eq!(sealable.iter().map(|(range, rows)| (range.clone(), rows.len())).collect::<Vec<_>>(), [(0..8, 8)]);
        log.seal(&extent, SegmentId(0));
        assert_eq!(ranges(&log.outline(&extent, &(6..9), 0)), [(6..8, false), (8..9, true)]);
        log.seal(&extent, SegmentId(1));
        let mut delta = Delta::default();
        log.truncate(&extent, 8, &mut delta);
        log.tidy(&extent.truncate(7).unwrap(), 0);
        assert!(matches!(log, Log::Flat { term: 0, segment: SegmentId(0), .. }));
        assert_eq!(delta.freed, [(SegmentId(1), Amount::new(2, 256))]);
    }

    #[test]
    fn a_row_that_is_compacted_in_the_middle_begins_at_the_boundary() {
        let (mut log, mut extent, mut delta) = (Log::default(), Extent::default(), Delta::default());
        let run = Run { count: 6, ..run(4, 1) };
        log.append(&extent, &run, &mut delta);
        extent = extent.append(4, 6).unwrap();
        log.compact(&extent, 7, &mut delta);
        extent = extent.compact(6, 0).unwrap();
        let [(range, rows)] = <[_; 1]>::try_from(log.rows_in(&extent, SegmentId(1))).unwrap();
        assert_eq!((range, rows[0].first), (7..10, 7));
        assert_eq!(ranges(&log.outline(&extent, &(7..10), 0)), [(7..10, true)]);
        assert_eq!(log.term(7), Some(0));
    }

    /// Appends in segment 1, 4 entries to a record; moves some to segment 2, 3 and 2; compares with a model.
    #[test]
    fn entries_that_lie_elsewhere_now_are_found_there() {
        let mut rng = fastrand::Rng::with_seed(5);
        for round in 0..300 {
            let (mut log, mut extent, mut delta) = (Log::default(), Extent::default(), Delta::default());
            let mut model: Vec<(u64, u32, u64)> = Vec::new();
            for first in (0..24).step_by(4) {
                let run = Run { count: 4, term: first / 8, ..run(first, 1) };
                log.append(&extent, &run, &mut delta);
                extent = extent.append(first, 4).unwrap();
                model.extend([(1, run.place.offset, first / 8); 4]);
            }
            for (nth, segment) in [(1, 2), (2, 3), (3, 2), (4, 4)] {
                let first = rng.u64(..24);
                let count = rng.u64(1..=24 - first);
                let run = Run { first, count, term: 20 + nth, ..run(100 * nth, segment) };
                log.replace(&extent, &run, &mut delta);
                model[at(first)..at(first + count)].fill((segment, run.place.offset, 20 + nth));
                if rng.bool() {
                    log.seal(&extent, SegmentId(nth));
                }
            }
            for index in 0..24 {
                let [stretch] = <[_; 1]>::try_from(log.outline(&extent, &(index..index + 1), 0)).unwrap();
                let (segment, offset, term) = model[at(index)];
                assert_eq!((stretch.segment.0, stretch.term), (segment, term), "round {round}, index {index}");
                assert_eq!(log.term(index), Some(term));
                if let Some(place) = stretch.place {
                    assert_eq!(place.offset, offset, "round {round}, index {index}: {log:?}");
                }
            }
            let all = log.outline(&extent, &(0..24), u64::MAX);
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
                assert!(matches!(log, Log::Flat { .. }));
            }
            let mut delta = Delta::default();
            log.clear(&extent, &mut delta);
            assert_eq!(delta.freed, [(SegmentId(0), Amount::new(6, 768))]);
        }
    }

    #[test]
    fn durability_of_a_log_that_began_empty() {
        let (mut log, mut delta) = (Log::default(), Delta::default());
        let extent = Extent { first: 5, next: 5, boundary_term: Some(1) };
        log.append(&extent, &run(5, 0), &mut delta);
        log.mark(9, 6, 8);
        assert_eq!(log.durable_next(8), 5, "the boundary was durable");
        assert_eq!(log.durable_next(9), 6);
        log.clear(&extent.append(5, 1).unwrap(), &mut delta);
        assert_eq!(log.durable_next(9), 0);
        log.mark(12, 20, 9);
        log.mark(14, 20, 12);
        assert_eq!((log.durable_next(11), log.durable_next(12)), (0, u64::MAX), "what is in group 14 is no entry");
        let extent = Extent { first: 20, next: 20, boundary_term: Some(1) };
        log.append(&extent, &run(20, 0), &mut delta);
        log.mark(15, 21, 11);
        assert_eq!([11, 12, 15].map(|durable| log.durable_next(durable)), [0, 20, 21]);
    }
}
