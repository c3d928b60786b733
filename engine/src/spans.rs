//! Which segment holds which entries of a shard: the coarse half of the index.

use logboom_wal::SegmentId;

use crate::tally::Delta;

/// Where the entries from `first` up to the next span's first, or to the log's end, lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) first: u64,
    pub(crate) home: Home,
}

/// A segment, and whether the places of the shard's entries in it are in memory with the shard.
///
/// They are until the segment's footer, which lists them, is durable. One word, since there is one for each segment
/// that a shard has entries in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Home(u64);

impl Home {
    pub(crate) fn recent(segment: SegmentId) -> Self {
        Self(segment.0 << 1 | 1)
    }

    pub(crate) fn sealed(segment: SegmentId) -> Self {
        Self(segment.0 << 1)
    }

    pub(crate) fn segment(self) -> SegmentId {
        SegmentId(self.0 >> 1)
    }

    pub(crate) fn is_recent(self) -> bool {
        self.0 & 1 == 1
    }
}

/// The spans of a log, by first index. Segments do not fall as indexes rise: entries are appended at the end only.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spans(Vec<Span>);

impl Spans {
    pub(crate) fn one(first: u64, home: Home) -> Self {
        Self(vec![Span { first, home }])
    }

    /// Notes that entries from `first` on lie at `home`. Returns whether that begins a span.
    pub(crate) fn push(&mut self, first: u64, home: Home) -> bool {
        if self.0.last().is_some_and(|last| last.home == home) {
            return false;
        }
        self.0.push(Span { first, home });
        true
    }

    /// Drops the entries `from..end` of a log that ends at `end`.
    pub(crate) fn cut_suffix(&mut self, from: u64, mut end: u64, delta: &mut Delta) {
        while let Some(last) = self.0.last()
            && end > from
        {
            let kept = last.first.max(from);
            delta.free(last.home.segment(), end.saturating_sub(kept));
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
            delta.free(span.home.segment(), span_end.min(to).saturating_sub(span.first));
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

    /// The span of `segment` whose places are with the shard, and its end.
    pub(crate) fn recent_in(&self, segment: SegmentId, end: u64) -> Option<(Span, u64)> {
        self.covering(0, end).find(|(span, _)| span.home == Home::recent(segment))
    }

    /// Notes that the places in `segment` have gone to its footer.
    pub(crate) fn seal(&mut self, segment: SegmentId) {
        for span in self.0.iter_mut().filter(|span| span.home == Home::recent(segment)) {
            span.home = Home::sealed(segment);
        }
    }

    /// The only span, if it is the only one.
    pub(crate) fn only(&self) -> Option<Span> {
        <[Span; 1]>::try_from(self.0.as_slice()).ok().map(|[span]| span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home(n: u64) -> Home {
        Home::sealed(SegmentId(n))
    }

    fn spans() -> Spans {
        let mut spans = Spans::one(10, home(1));
        assert!(!spans.push(15, home(1)));
        assert!(spans.push(20, home(2)));
        assert!(spans.push(30, home(3)));
        spans
    }

    fn freed(delta: &Delta) -> Vec<(u64, u64)> {
        delta.freed.iter().map(|(segment, count)| (segment.0, *count)).collect()
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
        let mut spans = Spans::one(1, Home::recent(SegmentId(4)));
        spans.push(5, Home::recent(SegmentId(6)));
        spans.seal(SegmentId(4));
        assert!(spans.recent_in(SegmentId(4), 9).is_none());
        assert_eq!(spans.recent_in(SegmentId(6), 9).map(|(span, end)| (span.first, end)), Some((5, 9)));
    }
}
