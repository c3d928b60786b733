//! `Moved`: entries that lie in another record now.

use std::ops::Range;

use logboom_wal::{
    Place, SegmentId,
    mutants::{self, Mutant},
};

use super::{FullIndex, LogIndex, Row};
use crate::{
    encoding::extent::Extent,
    index::spans::{SegmentTag, share},
    types::delta::{Amount, Delta},
};

/// Entries that were copied to another record, of which they are `bytes`.
pub(super) struct Moved {
    pub(super) range: Range<u64>,
    pub(super) place: Place,
    pub(super) bytes: u32,
}

impl LogIndex {
    /// Records of segment `from` were copied: each entry of `copies`, which are in the order of the log, held the range
    /// and is now at the place. Entries that are still read from `from` are now read from the copies. Returns how many
    /// of the copies hold such entries.
    pub(crate) fn relocate(
        &mut self,
        extent: &Extent,
        from: SegmentId,
        copies: &[(Range<u64>, Place)],
        delta: &mut Delta,
    ) -> usize {
        let (mut moved, mut live): (Vec<Moved>, _) = (Vec::with_capacity(copies.len()), 0);
        for (range, place) in copies {
            // Footers may state anything; what they state out of order stays where it is.
            let reached = moved.last().map_or(0, |last| last.range.end);
            let part = |held: &Range<u64>| {
                let part = overlap(held, range).filter(|part| part.start >= reached)?;
                let bytes = share(place.len, part.end - part.start, range.end - range.start);
                Some(Moved { range: part, place: *place, bytes })
            };
            let before = moved.len();
            match mutants::is_on(Mutant::MovedOverNewer) {
                true => moved.extend(part(&extent.range())),
                false => {
                    let held = self.held_in(extent, from, range.start).take_while(|held| held.start < range.end);
                    moved.extend(held.filter_map(|held| part(&held)));
                }
            }
            live += usize::from(moved.len() > before);
        }
        if !moved.is_empty() {
            self.unpack(extent).relocate(&moved, extent.next, delta);
        }
        live
    }
}

impl FullIndex {
    /// Entries lie in other records now; the ranges are in order.
    pub(super) fn relocate(&mut self, moved: &[Moved], end: u64, delta: &mut Delta) {
        self.replace_rows(moved, end);
        for Moved { range, place, bytes } in moved {
            delta.append(Amount::new(range.end - range.start, *bytes));
            self.spans.replace(range.clone(), SegmentTag::unsealed(place.segment), *bytes, end, delta);
        }
    }

    /// Replaces the rows of each range by one; entries behind a range in the last record replaced get a row of their
    /// own.
    ///
    /// All at once: appends of the shard wait meanwhile, and a log can have a hundred thousand rows behind these.
    fn replace_rows(&mut self, moved: &[Moved], end: u64) {
        let (Some(first), Some(last)) = (moved.first(), moved.last()) else { return };
        let begin = self.rows_before(first.range.start);
        let until = self.rows_before(last.range.end);
        let mut rows = Vec::with_capacity(until - begin + moved.len() + 1);
        let mut at = begin;
        for (number, Moved { range, place, .. }) in moved.iter().enumerate() {
            let next = self.rows_before(range.start);
            rows.extend(self.unsealed.range(at..next.max(at)));
            rows.push(Row::new(range.start, *place));
            at = self.rows_before(range.end);
            let follows = |row: Option<u64>| row == Some(range.end);
            let is_begun = follows(self.unsealed.get(at).map(|row| row.first))
                || follows(moved.get(number + 1).map(|next| next.range.start));
            rows.extend(self.rest_of(range, at, end).filter(|_| !is_begun));
        }
        self.splice_rows(begin..until, &rows);
    }

    /// The row of the entries behind `range` that were in the same record as its last one; `until` is the position
    /// behind the last row that begins before them.
    fn rest_of(&self, range: &Range<u64>, until: usize, end: u64) -> Option<Row> {
        let (behind, _) = self.spans.covering(range.end, end).next()?;
        let is_split = range.end < end && behind.tag.is_unsealed() && behind.first < range.end;
        let row = self.unsealed.get(until.checked_sub(1)?)?;
        is_split.then_some(Row { first: range.end, ..*row })
    }

    /// How many rows begin before `index`.
    fn rows_before(&self, index: u64) -> usize {
        self.unsealed.partition_point(|row| row.first < index)
    }

    /// Puts `rows` in the place of those at `replaced`, and moves no more of the others than are on one side of these.
    fn splice_rows(&mut self, replaced: Range<usize>, rows: &[Row]) {
        if replaced.len() == rows.len() {
            self.unsealed.range_mut(replaced).zip(rows).for_each(|(old, new)| *old = *new);
            return;
        }
        self.unsealed.rotate_left(replaced.end);
        self.unsealed.truncate(self.unsealed.len() - replaced.len());
        self.unsealed.extend(rows);
        self.unsealed.rotate_right(replaced.start + rows.len());
    }
}

/// The intersection; `None` if it is empty.
fn overlap(one: &Range<u64>, other: &Range<u64>) -> Option<Range<u64>> {
    let both = one.start.max(other.start)..one.end.min(other.end);
    (both.start < both.end).then_some(both)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::log_index::IndexedRecord;

    fn record(first: u64, count: u64) -> IndexedRecord {
        let place = Place { segment: SegmentId(1 + first / 16), offset: u32::try_from(first).unwrap() * 128, len: 128 };
        IndexedRecord { first, count, term: 3, place }
    }

    /// Moves entries at once, and in another index one after the other.
    #[test]
    fn entries_that_move_together_are_where_they_would_be_alone() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut rng = fastrand::Rng::with_seed(seed);
        for _ in 0..2000 {
            let mut extent = Extent::default();
            let (mut together, mut alone) = (LogIndex::default(), LogIndex::default());
            let (mut of_together, mut of_alone) = (Delta::default(), Delta::default());
            while extent.next < 40 {
                let record = record(extent.next, rng.u64(1..5));
                together.append(&extent, &record, &mut of_together);
                alone.append(&extent, &record, &mut of_alone);
                extent = extent.append(record.first, record.count).unwrap();
            }
            for nth in 0..3 {
                let from = SegmentId([rng.u64(1..4), 5][usize::from(rng.u8(..) < 60)]);
                let (mut copies, mut next) = (Vec::new(), rng.u64(..20));
                while next < extent.next {
                    let end = next + rng.u64(1..5);
                    let offset = u32::try_from(100_000 * (nth + 1) + next * 128).unwrap();
                    copies.push((next..end, Place { segment: SegmentId(5 + nth), offset, len: 128 }));
                    next = end + rng.u64(..3) / 2 * rng.u64(..4);
                }
                let live = together.relocate(&extent, from, &copies, &mut of_together);
                let one = |copy| alone.relocate(&extent, from, std::slice::from_ref(copy), &mut of_alone);
                assert_eq!(live, copies.iter().map(one).sum::<usize>());
                if rng.bool() {
                    let segment = SegmentId(rng.u64(1..7));
                    together.seal(&extent, segment);
                    alone.seal(&extent, segment);
                }
                assert_eq!(format!("{together:?}"), format!("{alone:?}"));
                let LogIndex::Indexed(index) = &together else { continue };
                assert!(index.unsealed.iter().is_sorted_by(|one, next| one.first < next.first), "{together:?}");
                assert_eq!((&of_together.appended, &of_together.freed), (&of_alone.appended, &of_alone.freed));
            }
        }
    }

    /// A footer may state ranges in any order.
    #[test]
    fn entries_that_are_named_out_of_order_stay() {
        let (mut log, mut extent, mut delta) = (LogIndex::default(), Extent::default(), Delta::default());
        for first in 0..8 {
            log.append(&extent, &record(first, 1), &mut delta);
            extent = extent.append(first, 1).unwrap();
        }
        let place = |offset| Place { segment: SegmentId(9), offset, len: 128 };
        let copies = [(5..7, place(0)), (1..3, place(128)), (6..8, place(256)), (7..8, place(384))];
        assert_eq!(log.relocate(&extent, SegmentId(1), &copies, &mut delta), 2);
        let held: Vec<_> = log.held_in(&extent, SegmentId(9), 0).map(|held| (held.start, held.end)).collect();
        assert_eq!(held, [(5, 8)]);
    }
}
