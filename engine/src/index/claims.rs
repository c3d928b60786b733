//! Claims: footers and records state which entries of a shard they hold. Recovery builds the shard's index from them.
//!
//! Of several claims for an index the newest is right: a record that overwrites or heals an entry claims it again.
//! Callers add claims in the order of the log, or add older ones for the indexes that no newer one covers. Claims
//! outside the log's bounds are ignored.

use logboom_wal::{Place, SegmentId, Sequence};

use crate::{
    encoding::operation::{Change, LostChange},
    index::{log_index::Row, spans::share},
};

/// The segment of lost entries; no segment has this id.
pub(crate) const LOST_SEGMENT: SegmentId = SegmentId(0);

/// The newest claims of a shard, by index, disjoint.
#[derive(Debug, Default)]
pub(crate) struct Claims(Vec<Claim>);

/// One segment holds the entries `first..end`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) first: u64,
    pub(crate) end: u64,
    pub(crate) segment: SegmentId,
    /// The bytes of the records that hold them.
    pub(crate) bytes: u32,
    /// The places of the records, by first index; empty if the segment's footer lists them.
    pub(crate) rows: Vec<Row>,
}

/// How new the record behind a claim is. Of two claims for an entry the higher is right, unless both are for copies of
/// one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Recency(u64);

impl Recency {
    /// For a record whose sequence is lost.
    pub(crate) const NEWEST: Self = Self(u64::MAX);

    /// For the record with this sequence.
    pub(crate) fn of(record: Sequence) -> Self {
        Self(record.0 << 1)
    }

    /// For the live entries of a log segment whose last group is `last`: any of them may be in its newest record.
    pub(crate) fn of_segment(last: u64) -> Self {
        Self::of(Sequence(((last + 1) << 16) - 1))
    }

    /// For entries that were live in the state after exactly the records before `group`.
    pub(crate) fn before(group: u64) -> Self {
        Self((group << 17).saturating_sub(1))
    }
}

impl Claims {
    /// Adds a claim that is newer than all others.
    pub(crate) fn insert(&mut self, mut claim: Claim) {
        if claim.first >= claim.end {
            return;
        }
        let begin = self.0.partition_point(|other| other.end <= claim.first);
        if begin == self.0.len() {
            // The common case: an append, behind all other entries.
            match self.0.last_mut() {
                Some(last) if last.segment == claim.segment && last.end == claim.first => {
                    last.end = claim.end;
                    last.bytes = last.bytes.saturating_add(claim.bytes);
                    last.rows.append(&mut claim.rows);
                }
                _ => self.0.push(claim),
            }
            return;
        }
        let until = self.0.partition_point(|other| other.first < claim.end);
        let old = self.0.get(begin..until).unwrap_or_default();
        let before = old.first().and_then(|other| other.part(other.first, claim.first));
        let after = old.last().and_then(|other| other.part(claim.end, other.end));
        self.0.splice(begin..until, before.into_iter().chain([claim]).chain(after));
    }

    /// [`Claims::insert`] for the entries of one record.
    fn insert_record(&mut self, first: u64, count: u64, place: Place) {
        let end = first.saturating_add(count);
        match self.0.last_mut() {
            // Most replayed records continue the one before: extend its claim.
            Some(last) if last.segment == place.segment && last.end == first && first < end => {
                last.end = end;
                last.bytes = last.bytes.saturating_add(place.len);
                last.rows.push(Row::new(first, place));
            }
            _ => self.insert(Claim::of_record(first, count, place)),
        }
    }

    /// Adds a claim that is older than all others: it counts for the indexes that none of them covers.
    pub(crate) fn insert_older(&mut self, claim: Claim) {
        let begin = self.0.partition_point(|other| other.end <= claim.first);
        if self.0.get(begin).is_none_or(|newer| newer.first >= claim.end) {
            return self.insert(claim);
        }
        let (mut at, mut rest) = (claim.first, Vec::new());
        for newer in self.0.iter().skip(begin).take_while(|newer| newer.first < claim.end) {
            rest.extend(claim.part(at, newer.first));
            at = newer.end;
        }
        rest.extend(claim.part(at, claim.end));
        rest.into_iter().for_each(|part| self.insert(part));
    }

    /// Applies the record at `place`: adds its claim, or drops the claims of the entries that it removes.
    pub(crate) fn follow(&mut self, change: &Change<'_>, place: Place) {
        match *change {
            Change::Append { first, count, .. } | Change::Heal { first, count, .. } => {
                self.insert_record(first, count, place);
            }
            Change::Truncate { keep } => self.cut(keep.saturating_add(1)),
            Change::Reset { .. } | Change::Destroy => *self = Self::default(),
            _ => {}
        }
    }

    /// [`Claims::follow`] for a lost record: its entries are lost with it.
    pub(crate) fn follow_lost(&mut self, lost: &LostChange) {
        match *lost {
            LostChange::Entries { first, count, .. } => self.insert(Claim::lost(first, first.saturating_add(count))),
            LostChange::Change(change) => self.follow(&change, Place { segment: LOST_SEGMENT, offset: 0, len: 0 }),
            _ => {}
        }
    }

    /// Drops the claims of the entries from `from` on.
    fn cut(&mut self, from: u64) {
        self.0.truncate(self.0.partition_point(|claim| claim.first < from));
        if let Some(last) = self.0.last_mut()
            && let Some(part) = last.part(last.first, from)
        {
            *last = part;
        }
    }

    pub(crate) fn as_slice(&self) -> &[Claim] {
        &self.0
    }

    pub(crate) fn into_vec(self) -> Vec<Claim> {
        self.0
    }
}

impl Claim {
    /// The entries of one record.
    pub(crate) fn of_record(first: u64, count: u64, place: Place) -> Self {
        let end = first.saturating_add(count);
        Self { first, end, segment: place.segment, bytes: place.len, rows: vec![Row::new(first, place)] }
    }

    /// Entries that are lost.
    pub(crate) fn lost(first: u64, end: u64) -> Self {
        Self { first, end, segment: LOST_SEGMENT, bytes: 0, rows: Vec::new() }
    }

    /// [`Claim::part`], without a copy if all of it lies in `first..end`.
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

    fn claim(first: u64, end: u64, segment: u64) -> Claim {
        let rows = (first..end).step_by(4);
        let rows = rows.map(|first| Row { first, offset8: u32::try_from(segment * 100 + first).unwrap(), len8: 16 });
        let bytes = u32::try_from(end - first).unwrap() * 32;
        Claim { first, end, segment: SegmentId(segment), bytes, rows: rows.collect() }
    }

    fn at(index: u64) -> usize {
        usize::try_from(index).unwrap()
    }

    /// The segment of each index, and the row that has it.
    fn claimed(claims: &Claims, index: u64) -> Option<(u64, u32)> {
        let claim = claims.0.iter().find(|claim| (claim.first..claim.end).contains(&index))?;
        let row = claim.rows.iter().rfind(|row| row.first <= index)?;
        Some((claim.segment.0, row.offset8))
    }

    #[test]
    fn the_newest_claim_for_an_index_is_right() {
        let mut rng = fastrand::Rng::with_seed(3);
        for seed in 0..200 {
            let (mut claims, mut model) = (Claims::default(), vec![None; 60]);
            for segment in 1..12 {
                let first = rng.u64(..50);
                let claim = claim(first, first + rng.u64(1..10), segment);
                for index in claim.first..claim.end {
                    let row = index - (index - claim.first) % 4;
                    model[at(index)] = Some((segment, u32::try_from(segment * 100 + row).unwrap()));
                }
                claims.insert(claim);
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
    fn older_claims_count_where_no_newer_one_does() {
        let mut rng = fastrand::Rng::with_seed(5);
        for seed in 0..200 {
            let claims: Vec<Claim> = (1..12)
                .map(|segment| {
                    let first = rng.u64(..50);
                    claim(first, first + rng.u64(1..10), segment)
                })
                .collect();
            let (mut forth, mut back) = (Claims::default(), Claims::default());
            claims.iter().for_each(|claim| forth.insert(claim.clone()));
            claims.iter().rev().for_each(|claim| back.insert_older(claim.clone()));
            for index in 0..60 {
                assert_eq!(claimed(&forth, index), claimed(&back, index), "round {seed}, index {index}");
            }
            let bytes = |claims: &Claims| claims.0.iter().map(|claim| claim.bytes).sum::<u32>();
            assert_eq!(bytes(&forth), bytes(&back), "round {seed}");
            assert!(back.0.windows(2).all(|pair| pair[0].end <= pair[1].first), "{back:?}");
        }
    }

    #[test]
    fn recency_follows_the_records() {
        let record = |group: u64, ordinal| Recency::of(Sequence(group << 16 | ordinal));
        assert!(record(6, 65535) <= Recency::of_segment(6) && Recency::of_segment(6) < record(7, 0));
        assert!(Recency::of_segment(6) < Recency::before(7), "what was live then was not in that segment any more");
        assert!(Recency::before(7) < record(7, 0) && Recency::before(7) < Recency::of_segment(7));
        assert!(record(6, 1) < record(6, 2));
    }

    #[test]
    fn neighbours_in_one_segment_are_one_claim() {
        let mut claims = Claims::default();
        claims.insert(claim(1, 5, 1));
        claims.insert(claim(5, 9, 1));
        claims.insert(claim(9, 9, 2));
        assert_eq!(claims.0.len(), 1);
        assert_eq!(claims.0[0].rows.len(), 2);
    }
}
