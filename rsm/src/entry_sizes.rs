//! `EntrySizes`: the bytes of a log's entries by index, in bounded memory.

use std::{collections::VecDeque, ops::Range};

/// The most marks that are kept. Beyond it the distance between marks doubles, and bytes between two marks count as
/// spread evenly.
const MARKS_MAX: usize = 512;

/// The bytes of a shard's applied entries, by their index.
///
/// Exact for some hundred calls of [`EntrySizes::add`], interpolated beyond that. Entries below the first added one
/// (applied before a restart) count with the average of all others, since the log is not read to count it.
#[derive(Clone, Debug, Default)]
pub struct EntrySizes {
    marks: VecDeque<Mark>,
    /// Entries between two marks, at least.
    stride: u64,
}

/// All counted entries below `index` have `total` bytes together.
#[derive(Clone, Copy, Debug)]
struct Mark {
    index: u64,
    total: u64,
}

impl EntrySizes {
    /// Adds the entries of `range`, half-open, which take `bytes` together. If they do not follow the last added ones,
    /// everything counted before is discarded.
    pub fn add(&mut self, range: Range<u64>, bytes: u64) {
        if range.is_empty() {
            return;
        }
        if self.marks.back().is_none_or(|last| last.index != range.start) {
            *self = Self::default();
            self.marks.push_back(Mark { index: range.start, total: 0 });
        }
        let total = self.marks.back().map_or(0, |last| last.total).saturating_add(bytes);
        self.push(Mark { index: range.end, total });
        if self.marks.len() > MARKS_MAX {
            self.thin_out();
        }
    }

    /// The bytes of the entries of `range`, half-open; what lies behind the last counted entry has none.
    pub fn bytes(&self, range: Range<u64>) -> u64 {
        let (Some(first), Some(last)) = (self.marks.front(), self.marks.back()) else { return 0 };
        let unseen = range.end.min(first.index).saturating_sub(range.start);
        let mean = share(unseen, last.index - first.index, last.total - first.total);
        let seen = self.total(range.end).saturating_sub(self.total(range.start));
        mean.saturating_add(seen)
    }

    /// The lowest end of a range from `first` on whose entries have at least `bytes` together; the end of the counted
    /// entries if they have fewer.
    pub fn end_of(&self, first: u64, bytes: u64) -> u64 {
        let (mut short, mut long) = (first, self.marks.back().map_or(first, |last| last.index).max(first));
        if bytes == 0 {
            return first;
        }
        while long - short > 1 {
            let middle = short + (long - short) / 2;
            if self.bytes(first..middle) < bytes { short = middle } else { long = middle }
        }
        long
    }

    /// Discards counts below `first` that no count above depends on.
    pub fn forget_below(&mut self, first: u64) {
        while self.marks.get(1).is_some_and(|next| next.index <= first) {
            self.marks.pop_front();
        }
        if self.marks.len() < MARKS_MAX / 4 {
            self.stride /= 2;
        }
    }

    /// The bytes of all counted entries below `index`, those that were forgotten included.
    fn total(&self, index: u64) -> u64 {
        let above = self.marks.partition_point(|mark| mark.index <= index);
        let (before, after) = (above.checked_sub(1).and_then(|at| self.marks.get(at)), self.marks.get(above));
        match (before, after) {
            (Some(before), Some(after)) => {
                let bytes = after.total - before.total;
                before.total + share(index - before.index, after.index - before.index, bytes)
            }
            (Some(only), None) | (None, Some(only)) => only.total,
            (None, None) => 0,
        }
    }

    /// Adds a mark, instead of the last one if that is too close to the one before.
    fn push(&mut self, mark: Mark) {
        let mut latest = self.marks.iter().rev();
        if let (Some(last), Some(before)) = (latest.next(), latest.next())
            && last.index - before.index < self.stride
        {
            self.marks.pop_back();
        }
        self.marks.push_back(mark);
    }

    fn thin_out(&mut self) {
        self.stride = self.stride.saturating_mul(2).max(2);
        for mark in std::mem::take(&mut self.marks) {
            self.push(mark);
        }
    }
}

/// The share that `part` of `whole` entries has of their `bytes`, spread evenly.
fn share(part: u64, whole: u64, bytes: u64) -> u64 {
    if whole == 0 {
        return 0;
    }
    u64::try_from(u128::from(part) * u128::from(bytes) / u128::from(whole)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_add_up() {
        let mut sizes = EntrySizes::default();
        sizes.add(5..6, 10);
        sizes.add(6..8, 40);
        sizes.add(8..9, 0);
        for (range, bytes) in [(5..6, 10), (6..8, 40), (6..7, 20), (5..9, 50), (9..20, 0), (0..5, 62), (4..6, 22)] {
            assert_eq!(sizes.bytes(range.clone()), bytes, "{range:?}");
        }
    }

    #[test]
    fn an_end_is_the_lowest_that_suffices() {
        let mut sizes = EntrySizes::default();
        (0..10).for_each(|index| sizes.add(index..index + 1, 10));
        for (first, bytes, end) in
            [(0, 0, 0), (0, 1, 1), (0, 10, 1), (0, 11, 2), (4, 30, 7), (4, 1000, 10), (12, 5, 12)]
        {
            assert_eq!(sizes.end_of(first, bytes), end, "{bytes} bytes from {first}");
        }
    }

    #[test]
    fn it_stays_small_and_right_where_entries_are_alike() {
        let mut sizes = EntrySizes::default();
        for index in 0..100_000 {
            sizes.add(index..index + 1, 7);
        }
        assert!(sizes.marks.len() <= MARKS_MAX);
        assert_eq!(sizes.bytes(0..100_000), 700_000);
        assert_eq!(sizes.bytes(1_234..5_678), 7 * 4_444);
        let marks = sizes.marks.len();
        sizes.forget_below(50_000);
        assert_eq!(sizes.bytes(60_000..100_000), 280_000);
        assert!(sizes.marks.len() < marks && sizes.marks.front().is_some_and(|mark| mark.index <= 50_000));
    }

    #[test]
    fn a_gap_begins_anew() {
        let mut sizes = EntrySizes::default();
        sizes.add(0..5, 50);
        sizes.add(100..101, 3);
        assert_eq!(sizes.bytes(100..101), 3);
        assert_eq!(sizes.bytes(98..101), 9, "what it does not know counts as what it does");
    }

    #[test]
    fn numbers_at_the_edge() {
        let mut sizes = EntrySizes::default();
        sizes.add(0..u64::MAX, u64::MAX);
        assert_eq!(sizes.bytes(0..u64::MAX), u64::MAX);
        assert_eq!(sizes.end_of(0, u64::MAX), u64::MAX);
        sizes.add(u64::MAX..u64::MAX, 1);
        assert_eq!(sizes.bytes(u64::MAX..u64::MAX), 0);
    }
}
