//! Where the entries of a shard lie, as footers and records say, each speaking for its own range.
//!
//! Claims are made in the order of the log. The newest one for an index is right: whatever was appended over, or moved
//! elsewhere, was claimed again by what did it. Claims beyond the log's bounds mean nothing.

use logboom_wal::{Place, SegmentId};

use crate::log::Row;

/// Claims by index, disjoint.
#[derive(Debug, Default)]
pub(crate) struct Claims(Vec<Piece>);

/// Entries in one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) first: u64,
    pub(crate) end: u64,
    pub(crate) segment: SegmentId,
    /// By first index; none where the segment's footer has them.
    pub(crate) rows: Vec<Row>,
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

    /// Drops what is claimed from `from` on.
    pub(crate) fn cut(&mut self, from: u64) {
        self.0.truncate(self.0.partition_point(|piece| piece.first < from));
        if let Some(last) = self.0.last_mut() {
            last.end = last.end.min(from);
            last.rows.truncate(last.rows.partition_point(|row| row.first < from));
        }
    }

    pub(crate) fn pieces(&self) -> &[Piece] {
        &self.0
    }
}

impl Piece {
    /// The entries of one record.
    pub(crate) fn of_record(first: u64, count: u64, place: Place) -> Self {
        let end = first.saturating_add(count);
        Self { first, end, segment: place.segment, rows: vec![Row::new(first, place)] }
    }

    /// The part of it that lies in `first..end`, its rows clipped; `None` if there is none.
    pub(crate) fn part(&self, first: u64, end: u64) -> Option<Self> {
        let (first, end) = (self.first.max(first), self.end.min(end));
        if first >= end {
            return None;
        }
        let begin = self.rows.partition_point(|row| row.first <= first).saturating_sub(1);
        let rows = self.rows.get(begin..).unwrap_or_default().iter().take_while(|row| row.first < end);
        let rows = rows.map(|row| Row { first: row.first.max(first), ..*row }).collect();
        Some(Self { first, end, segment: self.segment, rows })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(first: u64, end: u64, segment: u64) -> Piece {
        let rows = (first..end).step_by(4);
        let rows = rows.map(|first| Row { first, offset8: u32::try_from(segment * 100 + first).unwrap(), len8: 16 });
        Piece { first, end, segment: SegmentId(segment), rows: rows.collect() }
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
    fn neighbours_in_one_segment_are_one_piece() {
        let mut claims = Claims::default();
        claims.claim(piece(1, 5, 1));
        claims.claim(piece(5, 9, 1));
        claims.claim(piece(9, 9, 2));
        assert_eq!(claims.0.len(), 1);
        assert_eq!(claims.0[0].rows.len(), 2);
    }
}
