//! A few ranges of indexes.

use std::ops::Range;

/// Half-open ranges, sorted and apart from each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ranges(Vec<Range<u64>>);

impl Ranges {
    pub(crate) fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let begin = self.0.partition_point(|other| other.end < range.start);
        let until = self.0.partition_point(|other| other.start <= range.end);
        let met = self.0.get(begin..until).unwrap_or_default();
        let start = met.first().map_or(range.start, |first| first.start.min(range.start));
        let end = met.last().map_or(range.end, |last| last.end.max(range.end));
        self.0.splice(begin..until, std::iter::once(start..end));
    }

    pub(crate) fn remove(&mut self, range: &Range<u64>) {
        if range.is_empty() {
            return;
        }
        let parts = |other: &Range<u64>| {
            let before = other.start..other.end.min(range.start);
            let behind = other.start.max(range.end)..other.end;
            [before, behind].into_iter().filter(|part| !part.is_empty())
        };
        self.0 = self.0.iter().flat_map(parts).collect();
    }

    /// Leaves only what lies in `range`.
    pub(crate) fn clip(&mut self, range: &Range<u64>) {
        self.0.retain_mut(|other| {
            *other = other.start.max(range.start)..other.end.min(range.end);
            !other.is_empty()
        });
    }

    /// The first range that ends behind `index`: it has the index, or is the next one.
    pub(crate) fn from(&self, index: u64) -> Option<&Range<u64>> {
        self.0.get(self.0.partition_point(|range| range.end <= index))
    }

    pub(crate) fn contains(&self, index: u64) -> bool {
        self.from(index).is_some_and(|range| range.start <= index)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Range<u64>> {
        self.0.iter().cloned()
    }
}

impl FromIterator<Range<u64>> for Ranges {
    fn from_iter<I: IntoIterator<Item = Range<u64>>>(ranges: I) -> Self {
        let mut all = Self::default();
        ranges.into_iter().for_each(|range| all.insert(range));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_a_set_of_indexes() {
        let mut rng = fastrand::Rng::with_seed(9);
        for _ in 0..300 {
            let (mut ranges, mut model) = (Ranges::default(), [false; 40]);
            for _ in 0..12 {
                let (start, end) = (rng.usize(..40), rng.usize(..=40));
                let (range, len) = (start as u64..end as u64, end.saturating_sub(start));
                match rng.u32(..5) {
                    0..3 => {
                        ranges.insert(range);
                        model[start..start + len].fill(true);
                    }
                    3 => {
                        ranges.remove(&range);
                        model[start..start + len].fill(false);
                    }
                    _ if rng.u32(..4) == 0 => {
                        ranges.clip(&range);
                        model[..start].fill(false);
                        model[start + len..].fill(false);
                    }
                    _ => {}
                }
                for (index, expected) in (0..).zip(model) {
                    assert_eq!(ranges.contains(index), expected, "{index} of {ranges:?}");
                }
                assert!(ranges.0.windows(2).all(|pair| pair[0].end < pair[1].start), "{ranges:?}");
                assert!(ranges.0.iter().all(|range| !range.is_empty()));
            }
        }
    }

    #[test]
    fn the_next_one_is_found() {
        let ranges: Ranges = [3..5, 8..9].into_iter().collect();
        assert_eq!(
            [0, 4, 5, 8, 9].map(|index| ranges.from(index).cloned()),
            [Some(3..5), Some(3..5), Some(8..9), Some(8..9), None]
        );
    }
}
