//! Where the entries of a shard lie, as footers and records say, each speaking for its own range.
//!
//! The newest one for an index is right: whatever was appended over, or handed in again, was claimed again by what did
//! it. Claims are made in the order of the log, or for what nothing newer claims. Those beyond the log's bounds mean
//! nothing.

use logboom_wal::{Place, SegmentId, Sequence};

use crate::{
    encoding::operation::{Change, LostChange},
    index::{log_index::Row, spans::share},
};

/// What lost entries are claimed for: no segment has this id.
pub(crate) const NOWHERE: SegmentId = SegmentId(0);

/// Claims by index, disjoint.
#[derive(Debug, Default)]
pub(crate) struct Claims(Vec<Piece>);

/// Entries in one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) first: u64,
    pub(crate) end: u64,
    pub(crate) segment: SegmentId,
    /// Of the records that hold them.
    pub(crate) bytes: u32,
    /// By first index; none where the segment's footer has them.
    pub(crate) rows: Vec<Row>,
}

/// How new the record is that a claim rests on: of two claims for an entry the higher is right, unless both are copies
/// of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Age(u64);

impl Age {
    /// That of a record of which it is not known when it was written.
    pub(crate) const NEWEST: Self = Self(u64::MAX);

    /// The record with this sequence.
    pub(crate) fn of(record: Sequence) -> Self {
        Self(record.0 << 1)
    }

    /// Whatever is left of a segment of the log whose last group is `last`: its newest record can be that of any.
    pub(crate) fn of_segment(last: u64) -> Self {
        Self::of(Sequence(((last + 1) << 16) - 1))
    }

    /// What was live in a state that all records before `group` are part of, and no other.
    pub(crate) fn before(group: u64) -> Self {
        Self((group << 17).saturating_sub(1))
    }
}

impl Claims {
    /// Notes where entries lie, whatever was said of them before.
    pub(crate) fn claim(&mut self, mut piece: Piece) {
        if piece.first >= piece.end {
            return;
        }
        let begin = self.0.partition_point(|other| other.end <= piece.first);
        if begin == self.0.len() {
            // The common case: what is appended lies behind everything else.
            match self.0.last_mut() {
                Some(last) if last.segment == piece.segment && last.end == piece.first => {
                    last.end = piece.end;
                    last.bytes = last.bytes.saturating_add(piece.bytes);
                    last.rows.append(&mut piece.rows);
                }
                _ => self.0.push(piece),
            }
            return;
        }
        let until = self.0.partition_point(|other| other.first < piece.end);
        let old = self.0.get(begin..until).unwrap_or_default();
        let before = old.first().and_then(|other| other.part(other.first, piece.first));
        let after = old.last().and_then(|other| other.part(piece.end, other.end));
        self.0.splice(begin..until, before.into_iter().chain([piece]).chain(after));
    }

    /// [`Claims::claim`] for the entries of one record.
    fn claim_record(&mut self, first: u64, count: u64, place: Place) {
        let end = first.saturating_add(count);
        match self.0.last_mut() {
            // What is replayed mostly goes on where the record before it has ended: that takes no piece of its own.
            Some(last) if last.segment == place.segment && last.end == first && first < end => {
                last.end = end;
                last.bytes = last.bytes.saturating_add(place.len);
                last.rows.push(Row::new(first, place));
            }
            _ => self.claim(Piece::of_record(first, count, place)),
        }
    }

    /// Notes where entries lie of which nothing newer says so.
    pub(crate) fn claim_rest(&mut self, piece: Piece) {
        let begin = self.0.partition_point(|other| other.end <= piece.first);
        if self.0.get(begin).is_none_or(|newer| newer.first >= piece.end) {
            return self.claim(piece);
        }
        let (mut at, mut rest) = (piece.first, Vec::new());
        for newer in self.0.iter().skip(begin).take_while(|newer| newer.first < piece.end) {
            rest.extend(piece.part(at, newer.first));
            at = newer.end;
        }
        rest.extend(piece.part(at, piece.end));
        rest.into_iter().for_each(|part| self.claim(part));
    }

    /// Notes where the record at `place` says that entries lie, and which claims it ends.
    pub(crate) fn follow(&mut self, change: &Change<'_>, place: Place) {
        match *change {
            Change::Append { first, count, .. } | Change::Heal { first, count, .. } => {
                self.claim_record(first, count, place);
            }
            Change::Truncate { keep } => self.cut(keep.saturating_add(1)),
            Change::Reset { .. } | Change::Destroy => *self = Self::default(),
            _ => {}
        }
    }

    /// [`Claims::follow`] for a record that is lost, and its entries with it.
    pub(crate) fn follow_lost(&mut self, lost: &LostChange) {
        match *lost {
            LostChange::Entries { first, count, .. } => self.claim(Piece::lost(first, first.saturating_add(count))),
            LostChange::Change(change) => self.follow(&change, Place { segment: NOWHERE, offset: 0, len: 0 }),
            _ => {}
        }
    }

    /// Drops what is claimed from `from` on.
    fn cut(&mut self, from: u64) {
        self.0.truncate(self.0.partition_point(|piece| piece.first < from));
        if let Some(last) = self.0.last_mut()
            && let Some(part) = last.part(last.first, from)
        {
            *last = part;
        }
    }

    pub(crate) fn pieces(&self) -> &[Piece] {
        &self.0
    }

    pub(crate) fn into_pieces(self) -> Vec<Piece> {
        self.0
    }
}

impl Piece {
    /// The entries of one record.
    pub(crate) fn of_record(first: u64, count: u64, place: Place) -> Self {
        let end = first.saturating_add(count);
        Self { first, end, segment: place.segment, bytes: place.len, rows: vec![Row::new(first, place)] }
    }

    /// Entries that nothing holds any more.
    pub(crate) fn lost(first: u64, end: u64) -> Self {
        Self { first, end, segment: NOWHERE, bytes: 0, rows: Vec::new() }
    }

    /// [`Piece::part`], of which most is all.
    pub(crate) fn clipped(self, first: u64, end: u64) -> Option<Self> {
        if first <= self.first && self.end <= end { Some(self) } else { self.part(first, end) }
    }

    /// The part of it that lies in `first..end`, its rows clipped; `None` if there is none.
    pub(crate) fn part(&self, first: u64, end: u64) -> Option<Self> {
        let (first, end) = (self.first.max(first), self.end.min(end));
        if first >= end {
            return None;
        }
        let bytes = share(self.bytes, end - first, self.end - self.first);
        let begin = self.rows.partition_point(|row| row.first <= first).saturating_sub(1);
        let rows = self.rows.get(begin..).unwrap_or_default().iter().take_while(|row| row.first < end);
        let rows = rows.map(|row| Row { first: row.first.max(first), ..*row }).collect();
        Some(Self { first, end, segment: self.segment, bytes, rows })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(first: u64, end: u64, segment: u64) -> Piece {
        let rows = (first..end).step_by(4);
        let rows = rows.map(|first| Row { first, offset8: u32::try_from(segment * 100 + first).unwrap(), len8: 16 });
        let bytes = u32::try_from(end - first).unwrap() * 32;
        Piece { first, end, segment: SegmentId(segment), bytes, rows: rows.collect() }
    }

    fn at(index: u64) -> usize {
        usize::try_from(index).unwrap()
    }

    /// The segment of each index, and the row that has it.
    fn claimed(claims: &Claims, index: u64) -> Option<(u64, u32)> {
        let piece = claims.0.iter().find(|piece| (piece.first..piece.end).contains(&index))?;
        let row = piece.rows.iter().rfind(|row| row.first <= index)?;
        Some((piece.segment.0, row.offset8))
    }

    #[test]
    fn the_newest_claim_for_an_index_is_right() {
        let mut rng = fastrand::Rng::with_seed(3);
        for seed in 0..200 {
            let (mut claims, mut model) = (Claims::default(), vec![None; 60]);
            for segment in 1..12 {
                let first = rng.u64(..50);
                let piece = piece(first, first + rng.u64(1..10), segment);
                for index in piece.first..piece.end {
                    let row = index - (index - piece.first) % 4;
                    model[at(index)] = Some((segment, u32::try_from(segment * 100 + row).unwrap()));
                }
                claims.claim(piece);
                if rng.u32(..6) == 0 {
                    let from = rng.usize(..60);
                    claims.cut(from as u64);
                    model[from..].fill(None);
                }
            }
            for (index, expected) in model.iter().enumerate() {
                assert_eq!(claimed(&claims, index as u64), *expected, "round {seed}, index {index}: {claims:?}");
            }
            assert!(claims.0.windows(2).all(|pair| pair[0].end <= pair[1].first), "{claims:?}");
        }
    }

    #[test]
    fn older_claims_are_for_what_is_left() {
        let mut rng = fastrand::Rng::with_seed(5);
        for seed in 0..200 {
            let pieces: Vec<Piece> = (1..12)
                .map(|segment| {
                    let first = rng.u64(..50);
                    piece(first, first + rng.u64(1..10), segment)
                })
                .collect();
            let (mut forth, mut back) = (Claims::default(), Claims::default());
            pieces.iter().for_each(|piece| forth.claim(piece.clone()));
            pieces.iter().rev().for_each(|piece| back.claim_rest(piece.clone()));
            for index in 0..60 {
                assert_eq!(claimed(&forth, index), claimed(&back, index), "round {seed}, index {index}");
            }
            let bytes = |claims: &Claims| claims.0.iter().map(|piece| piece.bytes).sum::<u32>();
            assert_eq!(bytes(&forth), bytes(&back), "round {seed}");
            assert!(back.0.windows(2).all(|pair| pair[0].end <= pair[1].first), "{back:?}");
        }
    }

    #[test]
    fn a_claim_is_as_old_as_what_it_rests_on() {
        let record = |group: u64, ordinal| Age::of(Sequence(group << 16 | ordinal));
        assert!(record(6, 65535) <= Age::of_segment(6) && Age::of_segment(6) < record(7, 0));
        assert!(Age::of_segment(6) < Age::before(7), "what was live then was not in that segment any more");
        assert!(Age::before(7) < record(7, 0) && Age::before(7) < Age::of_segment(7));
        assert!(record(6, 1) < record(6, 2));
    }

    #[test]
    fn neighbours_in_one_segment_are_one_piece() {
        let mut claims = Claims::default();
        claims.claim(piece(1, 5, 1));
        claims.claim(piece(5, 9, 1));
        claims.claim(piece(9, 9, 2));
        assert_eq!(claims.0.len(), 1);
        assert_eq!(claims.0[0].rows.len(), 2);
    }
}
