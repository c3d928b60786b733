//! The terms of a log's entries, as runs: a log of millions of entries has a handful of them.

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

    /// Notes that the entries from `first` on have `term`; `first` is behind all others.
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

    /// Forgets the entries from `from` on.
    pub(crate) fn cut_suffix(&mut self, from: u64) {
        self.0.truncate(self.0.partition_point(|run| run.first < from));
    }

    /// Forgets the entries before `to`, which is an index of the log.
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
