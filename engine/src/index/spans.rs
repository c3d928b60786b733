//! Which segment holds which entries of a shard: the coarse level of the index.

use std::ops::Range;

use logboom_wal::SegmentId;

use crate::types::delta::{Amount, Delta};

/// One segment holds the entries from `first` up to the next span's first, or to the log's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) first: u64,
    pub(crate) tag: SegmentTag,
    /// The bytes of the records that hold them.
    pub(crate) bytes: u32,
}

impl Span {
    /// Subtracts the bytes of `gone` of its `whole` entries, in proportion, and returns them.
    fn take(&mut self, gone: u64, whole: u64) -> u32 {
        let bytes = share(self.bytes, gone, whole);
        self.bytes -= bytes;
        bytes
    }
}

/// The bytes of `part` entries, in proportion, where `whole` entries have `bytes`.
pub(crate) fn share(bytes: u32, part: u64, whole: u64) -> u32 {
    let share = u128::from(bytes) * u128::from(part.min(whole)) / u128::from(whole.max(1));
    u32::try_from(share).unwrap_or(bytes)
}

/// A segment, and whether the shard keeps the places of its entries there in memory: *unsealed*, until the segment's
/// footer, which lists them, is durable.
///
/// One word: a shard has one for each segment that holds entries of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentTag(u64);

impl SegmentTag {
    pub(crate) fn unsealed(segment: SegmentId) -> Self {
        Self(segment.0 << 1 | 1)
    }

    pub(crate) fn sealed(segment: SegmentId) -> Self {
        Self(segment.0 << 1)
    }

    pub(crate) fn segment(self) -> SegmentId {
        SegmentId(self.0 >> 1)
    }

    pub(crate) fn is_unsealed(self) -> bool {
        self.0 & 1 == 1
    }
}

/// The spans of a log, by first index. A segment may have several, and a higher index may lie in an earlier segment: a
/// healed entry lies where the log ended when it was healed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spans(Vec<Span>);

impl Spans {
    pub(crate) fn one(first: u64, tag: SegmentTag, bytes: u32) -> Self {
        Self(vec![Span { first, tag, bytes }])
    }

    /// Appends entries from `first` on, in records of `bytes` bytes. Returns whether they begin a new span.
    pub(crate) fn push(&mut self, first: u64, tag: SegmentTag, bytes: u32) -> bool {
        if let Some(last) = self.0.last_mut()
            && last.tag == tag
        {
            last.bytes = last.bytes.saturating_add(bytes);
            return false;
        }
        self.0.push(Span { first, tag, bytes });
        true
    }

    /// The entries of `range`, in a log that ends at `end`, now lie in another segment, in records of `bytes` bytes.
    ///
    /// Looks at the spans that have them, and at one on each side, which may become one with theirs: reclaiming calls
    /// this for each record of a shard, whose appends wait meanwhile.
    pub(crate) fn replace(&mut self, range: Range<u64>, tag: SegmentTag, bytes: u32, end: u64, delta: &mut Delta) {
        let begin = self.0.partition_point(|span| span.first < range.start).saturating_sub(1);
        let until = self.0.len().min(self.0.partition_point(|span| span.first < range.end) + 1);
        let mut spans = Self(Vec::with_capacity(until - begin + 2));
        for at in begin..until {
            let (mut span, span_end) = (self.0[at], self.0.get(at + 1).map_or(end, |next| next.first));
            let (first, mut left) = (span.first, span_end - span.first);
            if first < range.start {
                let before = range.start.min(span_end) - first;
                spans.push(first, span.tag, span.take(before, left));
                left -= before;
            }
            let gone = span_end.min(range.end).saturating_sub(first.max(range.start)).min(left);
            let freed = span.take(gone, left);
            delta.free(span.tag.segment(), Amount::new(gone, freed));
            if span_end >= range.end && first < range.end {
                spans.push(range.start, tag, bytes);
            }
            if span_end > range.end {
                spans.push(first.max(range.end), span.tag, span.bytes);
            }
        }
        self.0.splice(begin..until, spans.0);
    }

    /// Drops the entries `from..end` of a log that ends at `end`.
    pub(crate) fn cut_suffix(&mut self, from: u64, mut end: u64, delta: &mut Delta) {
        while let Some(last) = self.0.last_mut()
            && end > from
        {
            let kept = last.first.max(from);
            let (gone, whole) = (end.saturating_sub(kept), end.saturating_sub(last.first));
            let freed = last.take(gone, whole);
            delta.free(last.tag.segment(), Amount::new(gone, freed));
            if last.first < from {
                return;
            }
            end = last.first;
            self.0.pop();
        }
    }

    /// Drops the entries before `to` of a log that ends at `end`.
    pub(crate) fn cut_prefix(&mut self, to: u64, end: u64, delta: &mut Delta) {
        let mut gone = 0;
        for at in 0..self.0.len() {
            let span_end = self.0.get(at + 1).map_or(end, |next| next.first);
            let span = &mut self.0[at];
            if span.first >= to {
                break;
            }
            let cut = span_end.min(to).saturating_sub(span.first);
            let freed = span.take(cut, span_end.saturating_sub(span.first));
            delta.free(span.tag.segment(), Amount::new(cut, freed));
            if span_end > to {
                span.first = to;
                break;
            }
            gone = at + 1;
        }
        self.0.drain(..gone);
    }

    /// The spans that hold entries of `from..`, each with its end; the first may begin before `from`.
    pub(crate) fn covering(&self, from: u64, end: u64) -> impl Iterator<Item = (Span, u64)> {
        let begin = self.0.partition_point(|span| span.first <= from).saturating_sub(1);
        let spans = &self.0[begin..];
        spans.iter().enumerate().map(move |(at, span)| (*span, spans.get(at + 1).map_or(end, |next| next.first)))
    }

    /// The spans of `segment` whose places are in memory, each with its end.
    pub(crate) fn unsealed_in(&self, segment: SegmentId, end: u64) -> impl Iterator<Item = (Span, u64)> {
        self.covering(0, end).filter(move |(span, _)| span.tag == SegmentTag::unsealed(segment))
    }

    /// The footer of `segment` has the places from now on.
    pub(crate) fn seal(&mut self, segment: SegmentId) {
        for span in self.0.iter_mut().filter(|span| span.tag == SegmentTag::unsealed(segment)) {
            span.tag = SegmentTag::sealed(segment);
        }
    }

    /// The span, if there is exactly one.
    pub(crate) fn only(&self) -> Option<Span> {
        <[Span; 1]>::try_from(self.0.as_slice()).ok().map(|[span]| span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(n: u64) -> SegmentTag {
        SegmentTag::sealed(SegmentId(n))
    }

    fn spans() -> Spans {
        let mut spans = Spans::one(10, tag(1), 500);
        assert!(!spans.push(15, tag(1), 500));
        assert!(spans.push(20, tag(2), 1000));
        assert!(spans.push(30, tag(3), 1000));
        spans
    }

    fn freed(delta: &Delta) -> Vec<(u64, u64)> {
        delta.freed.iter().for_each(|(_, freed)| assert_eq!(freed.bytes, 100 * freed.entries, "{freed:?}"));
        delta.freed.iter().map(|(segment, freed)| (segment.0, freed.entries)).collect()
    }

    #[test]
    fn a_suffix_is_counted_by_segment() {
        for (from, expected, left) in [
            (35, vec![(3, 5)], 3),
            (30, vec![(3, 10)], 2),
            (25, vec![(3, 10), (2, 5)], 2),
            (10, vec![(3, 10), (2, 10), (1, 10)], 0),
            (40, vec![], 3),
        ] {
            let (mut spans, mut delta) = (spans(), Delta::default());
            spans.cut_suffix(from, 40, &mut delta);
            assert_eq!(freed(&delta), expected, "{from}");
            assert_eq!(spans.0.len(), left, "{from}");
        }
    }

    #[test]
    fn a_prefix_is_counted_by_segment() {
        for (to, expected, first) in [
            (10, vec![], Some(10)),
            (13, vec![(1, 3)], Some(13)),
            (20, vec![(1, 10)], Some(20)),
            (25, vec![(1, 10), (2, 5)], Some(25)),
            (40, vec![(1, 10), (2, 10), (3, 10)], None),
        ] {
            let (mut spans, mut delta) = (spans(), Delta::default());
            spans.cut_prefix(to, 40, &mut delta);
            assert_eq!(freed(&delta), expected, "{to}");
            assert_eq!(spans.0.first().map(|span| span.first), first, "{to}");
        }
    }

    #[test]
    fn spans_are_found_by_index() {
        let spans = spans();
        let from = |index| spans.covering(index, 40).map(|(span, end)| (span.first, end)).collect::<Vec<_>>();
        assert_eq!(from(10), [(10, 20), (20, 30), (30, 40)]);
        assert_eq!(from(29), [(20, 30), (30, 40)]);
        assert_eq!(from(30), [(30, 40)]);
    }

    #[test]
    fn sealing_changes_the_home_of_one_segment() {
        let mut spans = Spans::one(1, SegmentTag::unsealed(SegmentId(4)), 0);
        spans.push(5, SegmentTag::unsealed(SegmentId(6)), 0);
        spans.seal(SegmentId(4));
        assert_eq!(spans.unsealed_in(SegmentId(4), 9).count(), 0);
        let unsealed: Vec<_> = spans.unsealed_in(SegmentId(6), 9).map(|(span, end)| (span.first, end)).collect();
        assert_eq!(unsealed, [(5, 9)]);
    }

    #[test]
    fn entries_in_the_middle_move() {
        let shown = |spans: &Spans| spans.covering(0, 40).map(|(span, _)| (span.first, span.tag.segment().0)).collect();
        for (range, expected, counted) in [
            (12..14, vec![(10, 1), (12, 9), (14, 1), (20, 2), (30, 3)], vec![(1, 2)]),
            (10..20, vec![(10, 9), (20, 2), (30, 3)], vec![(1, 10)]),
            (15..35, vec![(10, 1), (15, 9), (35, 3)], vec![(1, 5), (2, 10), (3, 5)]),
            (30..40, vec![(10, 1), (20, 2), (30, 9)], vec![(3, 10)]),
            (10..40, vec![(10, 9)], vec![(1, 10), (2, 10), (3, 10)]),
        ] {
            let (mut spans, mut delta) = (spans(), Delta::default());
            let bytes = u32::try_from(range.end - range.start).unwrap() * 100;
            spans.replace(range.clone(), tag(9), bytes, 40, &mut delta);
            let all: u32 = spans.0.iter().map(|span| span.bytes).sum();
            assert_eq!(all, 3000, "{range:?}");
            let found: Vec<(u64, u64)> = shown(&spans);
            assert_eq!(found, expected, "{range:?}");
            assert_eq!(freed(&delta), counted, "{range:?}");
            spans.replace(range.clone(), tag(9), bytes, 40, &mut delta);
            assert_eq!(spans.covering(0, 40).count(), expected.len(), "moved twice: {range:?}");
        }
    }

    #[test]
    fn spans_of_one_segment_that_meet_become_one() {
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let mut spans = spans();
            for part in order {
                spans.replace([12..16, 16..20, 20..24][part].clone(), tag(9), 400, 40, &mut Delta::default());
            }
            let found: Vec<_> = spans.0.iter().map(|span| (span.first, span.tag, span.bytes)).collect();
            let expected = [(10, tag(1), 200), (12, tag(9), 1200), (24, tag(2), 600), (30, tag(3), 1000)];
            assert_eq!(found, expected, "{order:?}");
        }
    }
}
