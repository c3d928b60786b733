//! The terms of a log's entries, run-length encoded: a log of millions of entries has a handful of runs.

use std::ops::Range;

/// The term of a lost entry. No read returns it: the entry is missing.
pub(crate) const NO_TERM: u64 = 0;

/// The terms of the entries of a log, each run reaching up to the next one's first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Terms(Vec<TermRun>);

/// Entries from `first` on have `term`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TermRun {
    pub(crate) first: u64,
    pub(crate) term: u64,
}

impl Terms {
    pub(crate) fn from_runs(runs: Vec<TermRun>) -> Self {
        Self(runs)
    }

    /// Appends entries from `first` on, which have `term`; `first` is above all other firsts.
    pub(crate) fn push(&mut self, first: u64, term: u64) {
        if self.0.last().is_none_or(|last| last.term != term) {
            self.0.push(TermRun { first, term });
        }
    }

    /// The term of an entry of the log.
    pub(crate) fn at(&self, index: u64) -> Option<u64> {
        let after = self.0.partition_point(|run| run.first <= index);
        after.checked_sub(1).map(|at| self.0[at].term)
    }

    /// Sets the term of the entries of `range`, in a log that ends at `end`.
    pub(crate) fn set(&mut self, range: &Range<u64>, term: u64, end: u64) {
        let behind = if range.end < end { self.at(range.end) } else { None };
        let mut terms = Self::default();
        let runs = |from: usize, to: usize| self.0.get(from..to).unwrap_or_default().iter().copied();
        let begin = self.0.partition_point(|run| run.first < range.start);
        let until = self.0.partition_point(|run| run.first <= range.end);
        let middle = [Some((range.start, term)), behind.map(|term| (range.end, term))].into_iter().flatten();
        let middle = middle.map(|(first, term)| TermRun { first, term });
        for run in runs(0, begin).chain(middle).chain(runs(until, self.0.len())) {
            terms.push(run.first, run.term);
        }
        *self = terms;
    }

    /// Splits `range` where the term changes, and yields each part with its term.
    pub(crate) fn parts(&self, range: Range<u64>) -> impl Iterator<Item = (Range<u64>, u64)> {
        let begin = self.0.partition_point(|run| run.first <= range.start).saturating_sub(1);
        let runs = self.0.get(begin..).unwrap_or_default();
        runs.iter().enumerate().map_while(move |(at, run)| {
            let end = runs.get(at + 1).map_or(range.end, |next| next.first.min(range.end));
            let first = run.first.max(range.start);
            (first < end).then_some((first..end, run.term))
        })
    }

    /// Drops the entries from `from` on.
    pub(crate) fn cut_suffix(&mut self, from: u64) {
        self.0.truncate(self.0.partition_point(|run| run.first < from));
    }

    /// Drops the entries before `to`, which is an index of the log.
    pub(crate) fn cut_prefix(&mut self, to: u64) {
        let after = self.0.partition_point(|run| run.first <= to);
        self.0.drain(..after.saturating_sub(1));
        if let Some(run) = self.0.first_mut() {
            run.first = run.first.max(to);
        }
    }

    pub(crate) fn into_runs(self) -> Vec<TermRun> {
        self.0
    }

    pub(crate) fn runs(&self) -> &[TermRun] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms() -> Terms {
        let mut terms = Terms::default();
        for (first, term) in [(5, 1), (7, 1), (10, 2), (20, 5)] {
            terms.push(first, term);
        }
        terms
    }

    #[test]
    fn runs_merge_and_answer() {
        let terms = terms();
        assert_eq!(terms.runs().len(), 3);
        let at = |index| terms.at(index);
        assert_eq!([at(5), at(9), at(10), at(19), at(20), at(99)], [1, 1, 2, 2, 5, 5].map(Some));
        assert_eq!(at(4), None);
    }

    #[test]
    fn terms_in_the_middle_are_set() {
        for (range, term, expected) in [
            (6..8, 9, vec![(5, 1), (6, 9), (8, 1), (10, 2), (20, 5)]),
            (5..10, 2, vec![(5, 2), (20, 5)]),
            (5..30, 7, vec![(5, 7)]),
            (9..21, 5, vec![(5, 1), (9, 5)]),
            (20..30, 5, vec![(5, 1), (10, 2), (20, 5)]),
        ] {
            let mut terms = terms();
            terms.set(&range, term, 30);
            let runs: Vec<_> = terms.runs().iter().map(|run| (run.first, run.term)).collect();
            assert_eq!(runs, expected, "{range:?} in term {term}");
        }
    }

    #[test]
    fn a_range_in_parts() {
        let terms = terms();
        let parts = |range| terms.parts(range).collect::<Vec<_>>();
        assert_eq!(parts(6..8), [(6..8, 1)]);
        assert_eq!(parts(9..25), [(9..10, 1), (10..20, 2), (20..25, 5)]);
        assert_eq!(parts(20..21), [(20..21, 5)]);
    }

    #[test]
    fn both_ends_are_cut() {
        let mut terms = terms();
        terms.cut_suffix(20);
        assert_eq!(terms.at(25), Some(2));
        terms.cut_prefix(12);
        assert_eq!(terms.runs(), [TermRun { first: 12, term: 2 }]);
        terms.cut_suffix(12);
        assert_eq!(terms.runs(), []);
    }

    #[test]
    fn a_cut_at_a_runs_first_keeps_the_run_whole() {
        let mut terms = terms();
        terms.cut_prefix(10);
        assert_eq!(terms.runs()[0], TermRun { first: 10, term: 2 });
    }
}
