//! The footer of a sealed segment: which entries of which shards lie in it, and where.
//!
//! The *head* lists the shards and their ranges, and every opening reads it. The *rows*, most of the bytes, have the
//! places of the records. A footer lists exactly the entries that were live, in a state that is durable, when it was
//! made. The bytes are laid out in FORMAT.md, "Footer".

use std::{collections::BTreeMap, ops::Range};

use hashbrown::HashMap;
use logboom_wal::{FooterParts, FooterSpace, Loss, Scanned, SegmentId};
use rkyv::{Archive, Serialize};

use crate::{
    encoding::{
        archive::ArchiveFormat,
        operation::{Change, LostChange},
    },
    index::{
        claims::{Claim, Claims, LOST_SEGMENT, Recency},
        log_index::{EntryLocation, ROW_UNIT, Row, payload_bytes_min, place},
    },
    types::{error::Result, ids::ShardId, ranges::Ranges},
};

const HEAD: ArchiveFormat = ArchiveFormat { name: *b"footer", version: 2 };
const ROWS: ArchiveFormat = ArchiveFormat { name: *b"places", version: 1 };
/// Begins the head of a cold segment's footer; a group (8 bytes) follows: the listed entries were live before it.
const MOVED: &[u8; 8] = b"moved.\x01\0";

/// An upper bound of a footer's size: see the archived types below.
pub(crate) const SPACE: FooterSpace = FooterSpace { fixed: 128, per_record: 12, per_range: 32 };

#[derive(Archive, Serialize)]
struct ShardArchive {
    shard: u64,
    first: u64,
    count: u32,
    rows_at: u32,
    rows: u32,
    bytes: u32,
}

const _: () = assert!(size_of::<ArchivedShardArchive>() == SPACE.per_range);
const _: () = assert!(size_of::<ArchivedFooterRow>() == SPACE.per_record);

/// The part of a footer that opening reads.
#[derive(Debug, Default)]
pub(crate) struct Head {
    /// Of a cold segment: the group before which all listed entries were live.
    live_before: Option<u64>,
    /// By shard and first entry.
    shards: Box<[ShardRows]>,
}

/// A loaded footer.
#[derive(Debug, Default)]
pub(crate) struct Footer {
    pub(crate) head: Head,
    rows: Box<[FooterRow]>,
}

/// Contiguous entries of one shard in a segment; a shard may have several such ranges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ShardRows {
    pub(crate) shard: ShardId,
    pub(crate) first: u64,
    pub(crate) count: u32,
    rows_at: u32,
    rows: u32,
    /// The bytes of the records that hold them.
    bytes: u32,
}

/// A record: its first entry is `first_delta` after the first of its [`ShardRows`].
#[derive(Archive, Serialize, Clone, Copy, Debug, PartialEq, Eq)]
struct FooterRow {
    first_delta: u32,
    offset8: u32,
    len8: u32,
}

/// Builds a footer.
#[derive(Debug, Default)]
pub(crate) struct FooterBuilder {
    shards: Vec<ShardRows>,
    rows: Vec<FooterRow>,
}

impl FooterBuilder {
    /// Adds entries of a shard. Shards, and the entries of a shard, rise from call to call.
    pub(crate) fn add(&mut self, shard: ShardId, entries: Range<u64>, rows: &[Row]) -> Result<()> {
        let number = |number: u64| u32::try_from(number).map_err(|_| HEAD.malformed(&"a number beyond 32 bits"));
        let rows_at = number(self.rows.len() as u64)?;
        for row in rows {
            let first_delta = number(row.first.saturating_sub(entries.start))?;
            self.rows.push(FooterRow { first_delta, offset8: row.offset8, len8: row.len8 });
        }
        let count = number(entries.end.saturating_sub(entries.start))?;
        let bytes = rows.iter().fold(0, |bytes: u32, row| bytes.saturating_add(row.len8.saturating_mul(ROW_UNIT)));
        let rows = number(rows.len() as u64)?;
        self.shards.push(ShardRows { shard, first: entries.start, count, rows_at, rows, bytes });
        Ok(())
    }

    pub(crate) fn build(self) -> Footer {
        Footer { head: Head { live_before: None, shards: self.shards.into() }, rows: self.rows.into() }
    }

    /// The footer of a cold segment. All listed entries were live in the state before group `live_before`.
    pub(crate) fn build_cold(self, live_before: u64) -> Footer {
        let mut footer = self.build();
        footer.head.live_before = Some(live_before);
        footer
    }
}

impl Head {
    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        let shard = |rows: &ShardRows| ShardArchive {
            shard: rows.shard.0,
            first: rows.first,
            count: rows.count,
            rows_at: rows.rows_at,
            rows: rows.rows,
            bytes: rows.bytes,
        };
        let archive = HEAD.encode(&self.shards.iter().map(shard).collect::<Vec<_>>())?;
        Ok(match self.live_before {
            Some(group) => [MOVED, &group.to_le_bytes(), &*archive].concat(),
            None => archive,
        })
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let moved = bytes.strip_prefix(MOVED).and_then(<[u8]>::split_first_chunk);
        let (live_before, archive) = match moved {
            Some((group, archive)) => (Some(u64::from_le_bytes(*group)), archive),
            None => (None, bytes),
        };
        let shard = |rows: &ArchivedShardArchive| ShardRows {
            shard: ShardId(rows.shard.to_native()),
            first: rows.first.to_native(),
            count: rows.count.to_native(),
            rows_at: rows.rows_at.to_native(),
            rows: rows.rows.to_native(),
            bytes: rows.bytes.to_native(),
        };
        let shards = HEAD.decode::<Vec<ShardArchive>, _>(archive, |shards| Ok(shards.iter().map(shard).collect()))?;
        Ok(Self { live_before, shards })
    }

    /// The recency of its claims; `last` is the last group of its segment.
    pub(crate) fn recency(&self, last: u64) -> Recency {
        self.live_before.map_or(Recency::of_segment(last), Recency::before)
    }

    /// The claims that it makes.
    pub(crate) fn claims(&self, segment: SegmentId) -> impl Iterator<Item = (ShardId, Claim)> {
        self.shards.iter().map(move |entries| {
            let ShardRows { shard, first, count, bytes, .. } = *entries;
            let end = first.saturating_add(u64::from(count));
            (shard, Claim { first, end, segment, bytes, rows: Vec::new() })
        })
    }

    /// The range that has the entry, or else the last one before it.
    fn entries_of(&self, shard: ShardId, index: u64) -> Option<&ShardRows> {
        let behind = self.shards.partition_point(|rows| (rows.shard, rows.first) <= (shard, index));
        let entries = self.shards.get(behind.checked_sub(1)?)?;
        (entries.shard == shard).then_some(entries)
    }
}

impl Footer {
    pub(crate) fn encode_rows(&self) -> Result<Vec<u8>> {
        ROWS.encode(&self.rows)
    }

    pub(crate) fn decode(parts: &FooterParts) -> Result<Self> {
        let head = Head::decode(&parts.head)?;
        let row = |row: &ArchivedFooterRow| FooterRow {
            first_delta: row.first_delta.to_native(),
            offset8: row.offset8.to_native(),
            len8: row.len8.to_native(),
        };
        let rows = ROWS.decode::<Box<[FooterRow]>, _>(&parts.body, |rows| Ok(rows.iter().map(row).collect()))?;
        Ok(Self { head, rows })
    }

    /// Appends to `locations` the records that hold the entries of `wanted`, in order, until they must exceed
    /// `max_bytes`. Returns false if it does not list all entries up to there.
    pub(crate) fn locate(
        &self,
        shard: ShardId,
        wanted: &EntryLocation,
        max_bytes: u64,
        locations: &mut Vec<EntryLocation>,
    ) -> bool {
        let mut start = wanted.range.start;
        while start < wanted.range.end {
            let Some(entries) = self.head.entries_of(shard, start) else { return false };
            let end = entries.first.saturating_add(u64::from(entries.count)).min(wanted.range.end);
            if end <= start {
                return false;
            }
            let part = EntryLocation { range: start..end, ..wanted.clone() };
            if !self.locate_part(entries, &part, max_bytes, locations) {
                return true;
            }
            start = end;
        }
        true
    }

    /// Returns false if it stopped for `max_bytes`.
    fn locate_part(
        &self,
        entries: &ShardRows,
        wanted: &EntryLocation,
        max_bytes: u64,
        locations: &mut Vec<EntryLocation>,
    ) -> bool {
        let EntryLocation { range, segment, term, .. } = wanted;
        let rows = self.footer_rows(entries);
        let first_of = |row: &FooterRow| entries.first.saturating_add(u64::from(row.first_delta));
        let begin = rows.partition_point(|row| first_of(row) <= range.start).saturating_sub(1);
        let mut bytes_min = 0;
        for (at, row) in rows.iter().enumerate().skip(begin) {
            let first = first_of(row);
            if first >= range.end {
                break;
            }
            if bytes_min > max_bytes {
                return false;
            }
            let row_end = rows.get(at + 1).map_or(range.end, |next| first_of(next).min(range.end));
            let part = first.max(range.start)..row_end;
            if first >= range.start {
                bytes_min += payload_bytes_min(row.len8, part.end.saturating_sub(part.start));
            }
            let place = Some(place(*segment, row.offset8, row.len8));
            locations.push(EntryLocation { range: part, term: *term, segment: *segment, place });
        }
        true
    }

    /// The entries of `range` that it does not list.
    pub(crate) fn gaps(&self, shard: ShardId, range: &Range<u64>) -> Ranges {
        let mut gaps: Ranges = std::iter::once(range.clone()).collect();
        for entries in self.head.shards.iter().filter(|entries| entries.shard == shard) {
            gaps.remove(&(entries.first..entries.first.saturating_add(u64::from(entries.count))));
        }
        gaps
    }

    /// The memory that the footer takes, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        (size_of_val(&*self.head.shards) + size_of_val(&*self.rows)) as u64
    }

    fn footer_rows(&self, entries: &ShardRows) -> &[FooterRow] {
        let begin = entries.rows_at as usize;
        self.rows.get(begin..begin.saturating_add(entries.rows as usize)).unwrap_or_default()
    }
}

/// Rebuilds a missing or damaged footer from the records of its segment.
///
/// It also lists entries that records of later segments have removed.
#[derive(Debug, Default)]
pub(crate) struct FooterRebuilder {
    shards: HashMap<ShardId, Claims>,
}

impl FooterRebuilder {
    /// Adds the next record of the segment, or the next loss.
    pub(crate) fn add(&mut self, scanned: &Scanned) {
        match scanned {
            Scanned::Record(record, place) => {
                if let Some(change) = Change::decode(record) {
                    self.claims(record.owner()).follow(&change, *place);
                }
            }
            Scanned::Lost(Loss::Record { descriptor, .. } | Loss::Moved { descriptor, .. }) => {
                self.claims(descriptor.owner).follow_lost(&LostChange::of(descriptor));
            }
            // Without a descriptor there is nothing to claim.
            Scanned::Lost(Loss::Unknown { .. }) => {}
        }
    }

    /// The claims of each shard, those for lost entries included.
    pub(crate) fn into_claims(self) -> BTreeMap<ShardId, Claims> {
        self.shards.into_iter().collect()
    }

    /// The footer. It does not list lost entries: a lookup finds them missing.
    pub(crate) fn finish(self) -> Result<Footer> {
        let mut builder = FooterBuilder::default();
        for (shard, claims) in self.into_claims() {
            for claim in claims.as_slice().iter().filter(|claim| claim.segment != LOST_SEGMENT) {
                builder.add(shard, claim.first..claim.end, &claim.rows)?;
            }
        }
        Ok(builder.build())
    }

    fn claims(&mut self, shard: u64) -> &mut Claims {
        self.shards.entry(ShardId(shard)).or_default()
    }
}

#[cfg(test)]
mod tests {
    use logboom_disk::{Pool, Slice};

    use super::*;

    const SEGMENT: SegmentId = SegmentId(9);

    fn row(first: u64) -> Row {
        Row { first, offset8: u32::try_from(first).unwrap() * 100, len8: 16 }
    }

    fn footer() -> Footer {
        let mut builder = FooterBuilder::default();
        builder.add(ShardId(3), 10..20, &[row(10), row(12), row(19)]).unwrap();
        builder.add(ShardId(3), 23..30, &[row(23), row(25)]).unwrap();
        builder.add(ShardId(3), 30..31, &[row(30)]).unwrap();
        builder.add(ShardId(5), 0..4, &[row(0)]).unwrap();
        builder.build()
    }

    fn ranges(footer: &Footer, shard: u64, range: Range<u64>, max_bytes: u64) -> Option<Vec<(u64, u64)>> {
        let mut locations = Vec::new();
        let wanted = EntryLocation { range, term: 1, segment: SEGMENT, place: None };
        let known = footer.locate(ShardId(shard), &wanted, max_bytes, &mut locations);
        known.then(|| locations.into_iter().map(|location| (location.range.start, location.range.end)).collect())
    }

    fn written(footer: &Footer) -> FooterParts {
        let slice = |bytes: Vec<u8>| Slice::copy_from(&Pool::new(0), &bytes);
        FooterParts { head: slice(footer.head.encode().unwrap()), body: slice(footer.encode_rows().unwrap()) }
    }

    #[test]
    fn a_footer_comes_back() {
        let footer = footer();
        let decoded = Footer::decode(&written(&footer)).unwrap();
        assert_eq!(decoded.head.shards, footer.head.shards);
        assert_eq!(decoded.rows, footer.rows);
        assert_eq!(decoded.head.recency(7), Recency::of_segment(7));
        let bytes: Vec<u32> = decoded.head.claims(SEGMENT).map(|(_, claim)| claim.bytes).collect();
        assert_eq!(bytes, [3 * 128, 2 * 128, 128, 128]);

        let cold = Footer { head: Head { live_before: Some(5), ..footer.head }, ..footer };
        let decoded = Footer::decode(&written(&cold)).unwrap();
        assert_eq!((decoded.head.recency(7), &decoded.rows), (Recency::before(5), &cold.rows));
        assert!(Head::decode(MOVED).is_err());
    }

    #[test]
    fn records_are_found_by_entry() {
        let footer = footer();
        assert_eq!(ranges(&footer, 3, 10..20, u64::MAX), Some(vec![(10, 12), (12, 19), (19, 20)]));
        assert_eq!(ranges(&footer, 3, 11..13, u64::MAX), Some(vec![(11, 12), (12, 13)]));
        assert_eq!(ranges(&footer, 3, 13..18, u64::MAX), Some(vec![(13, 18)]));
        assert_eq!(ranges(&footer, 3, 10..20, 0), Some(vec![(10, 12)]));
        assert_eq!(ranges(&footer, 3, 10..21, u64::MAX), None, "not all of it is here");
        assert_eq!(ranges(&footer, 3, 21..25, 0), None);
        assert_eq!(ranges(&footer, 3, 24..31, u64::MAX), Some(vec![(24, 25), (25, 30), (30, 31)]));
        assert_eq!(ranges(&footer, 3, 30..32, u64::MAX), None);
        assert_eq!(ranges(&footer, 3, 5..11, 0), None);
        assert_eq!(ranges(&footer, 4, 10..11, 0), None);
    }

    #[test]
    fn a_footer_fits_in_the_space_reserved_for_it() {
        for (shards, rows) in [(0, 0), (1, 1), (1, 1000), (1000, 1000)] {
            let mut builder = FooterBuilder::default();
            for shard in 0..shards {
                let rows: Vec<Row> = (0..rows / shards).map(row).collect();
                builder.add(ShardId(shard), 0..rows.len() as u64, &rows).unwrap();
            }
            let FooterParts { head, body } = written(&builder.build_cold(1));
            let len = head.len() + body.len();
            let space = SPACE.fixed
                + SPACE.per_range * usize::try_from(shards).unwrap()
                + SPACE.per_record * usize::try_from(rows).unwrap();
            assert!(len <= space, "{shards} shards, {rows} rows: {len} of {space} bytes");
        }
    }

    #[test]
    fn a_row_is_small() {
        assert!(size_of::<FooterRow>() <= 16);
    }

    #[test]
    fn rows_out_of_range_are_ignored() {
        let mut footer = footer();
        footer.head.shards[0].rows_at = u32::MAX;
        assert_eq!(ranges(&footer, 3, 10..20, 0), Some(vec![]));
    }
}
