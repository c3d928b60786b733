//! Bytes of an object: what of them is needed, and what was checked.

use std::{ops::Range, sync::Arc};

use bytes::{Buf, Bytes, buf::Reader};
use parquet::{
    errors::{ParquetError, Result},
    file::reader::{ChunkReader, Length},
};

use crate::{
    error::ReadError,
    footer::{Footer, Place},
};

/// Bytes of an object that are what was written there: whole pages, each with the right checksum.
///
/// They come from [`Footer::check_bytes`]. A cache that keeps them spares the next reader their checksums.
#[derive(Clone, Debug)]
pub struct CheckedBytes {
    pub(crate) start: u64,
    pub(crate) bytes: Bytes,
}

impl CheckedBytes {
    /// Where in the object the bytes are.
    pub fn range(&self) -> Range<u64> {
        self.start..self.start + self.bytes.len() as u64
    }

    /// The bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

impl Footer {
    /// Checks bytes that a reader asked for, against the checksums of the pages that they are.
    ///
    /// # Errors
    /// [`ReadError::Damaged`] or [`ReadError::Bloom`] where a page or bloom filter is not what was written;
    /// [`ReadError::Range`] where the range is not made of whole ones, or has another length than the bytes.
    pub fn check_bytes(&self, range: Range<u64>, bytes: Bytes) -> std::result::Result<CheckedBytes, ReadError> {
        let Range { start, end } = range;
        let other = || ReadError::Range { object: self.object(), start, end, len: bytes.len() };
        if end.checked_sub(start) != Some(bytes.len() as u64) {
            return Err(other());
        }
        let mut next = start;
        while next < end {
            let part = self.part_at(next).filter(|part| part.place.bytes.end <= end).ok_or_else(other)?;
            let of = |at: u64| usize::try_from(at - start).unwrap_or(usize::MAX);
            let found = bytes.get(of(next)..of(part.place.bytes.end)).unwrap_or_default();
            if crc32fast::hash(found) != part.place.crc {
                return Err(self.damage(&part));
            }
            next = part.place.bytes.end;
        }
        Ok(CheckedBytes { start, bytes })
    }

    /// What begins at an offset of the object.
    fn part_at(&self, offset: u64) -> Option<Part> {
        let groups = self.parquet().row_groups();
        let begin = |group: usize| groups[group].columns().first().map_or(u64::MAX, |leaf| leaf.byte_range().0);
        let group = last_where(groups.len(), |group| begin(group) <= offset)?;
        let leaves = groups[group].columns();
        let leaf = last_where(leaves.len(), |leaf| leaves[leaf].byte_range().0 <= offset)?;
        let page = |block| self.page(group, leaf, block);
        let blocks = self.groups().get(group)?.len();
        let block = last_where(blocks, |block| page(block).is_some_and(|page| page.bytes.start <= offset));
        let pages = block.and_then(|block| Some((leaf, Kind::Page(block), page(block)?)));
        let dictionary = || Some((leaf, Kind::Dictionary, self.dictionary(group, leaf)?));
        let blooms = || {
            let mut blooms = (0..leaves.len()).filter_map(|leaf| Some((leaf, self.bloom_filter(group, leaf)?)));
            blooms.find(|(_, place)| place.bytes.start == offset).map(|(leaf, place)| (leaf, Kind::Bloom, place))
        };
        let begins = |part: &(usize, Kind, Place)| part.2.bytes.start == offset;
        let part = pages.filter(begins).or_else(|| dictionary().filter(begins)).or_else(blooms);
        part.map(|(leaf, kind, place)| Part { group, leaf, kind, place })
    }

    fn damage(&self, part: &Part) -> ReadError {
        let (object, column) = (self.object(), self.leaf_name(part.leaf));
        let first = self.groups().get(part.group).map_or(0, |blocks| blocks.start);
        match part.kind {
            Kind::Bloom => ReadError::Bloom { object, column },
            Kind::Dictionary => ReadError::Damaged { object, block: first, column },
            Kind::Page(block) => ReadError::Damaged { object, block: first + block, column },
        }
    }
}

/// A part of an object that has a checksum.
struct Part {
    group: usize,
    leaf: usize,
    kind: Kind,
    place: Place,
}

enum Kind {
    Dictionary,
    /// Of this block, counted within its row group.
    Page(usize),
    Bloom,
}

/// Checked bytes by their offsets, as the parquet crate reads them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fetched {
    object_bytes: u64,
    parts: Arc<Vec<CheckedBytes>>,
}

impl Fetched {
    pub(crate) fn new(object_bytes: u64) -> Self {
        Self { object_bytes, parts: Arc::default() }
    }

    pub(crate) fn add(&mut self, bytes: CheckedBytes) {
        let parts = Arc::make_mut(&mut self.parts);
        let at = parts.partition_point(|part| part.start <= bytes.start);
        parts.insert(at, bytes);
    }

    /// Lets go of the bytes that end at or before `offset`.
    pub(crate) fn forget_before(&mut self, offset: u64) {
        Arc::make_mut(&mut self.parts).retain(|part| part.range().end > offset);
    }

    /// The ranges that are not there in one piece.
    pub(crate) fn missing(&self, ranges: &[Range<u64>]) -> Vec<Range<u64>> {
        ranges.iter().filter(|range| self.get(range).is_none()).cloned().collect()
    }

    /// The bytes of a range, which lie in one piece.
    pub(crate) fn get(&self, range: &Range<u64>) -> Option<Bytes> {
        let before = self.parts.partition_point(|part| part.start <= range.start);
        let part = self.parts.get(..before)?.iter().rev().find(|part| part.range().end >= range.end)?;
        let of = |at: u64| usize::try_from(at - part.start).ok();
        Some(part.bytes.slice(of(range.start)?..of(range.end)?))
    }
}

impl Length for Fetched {
    fn len(&self) -> u64 {
        self.object_bytes
    }
}

impl ChunkReader for Fetched {
    type T = Reader<Bytes>;

    /// Readers of pages with known places do not call it.
    fn get_read(&self, start: u64) -> Result<Self::T> {
        let part = self.parts.iter().find(|part| part.range().contains(&start));
        let part = part.ok_or_else(|| ParquetError::General(format!("nothing was fetched at {start}")))?;
        let at = usize::try_from(start - part.start).unwrap_or(usize::MAX);
        Ok(part.bytes.slice(at.min(part.bytes.len())..).reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let range = start..start.saturating_add(length as u64);
        self.get(&range).ok_or_else(|| ParquetError::General(format!("{range:?} was not fetched")))
    }
}

/// The ranges that cover `places`, in the order of the object, those that touch joined.
pub(crate) fn joined(mut places: Vec<Range<u64>>) -> Vec<Range<u64>> {
    places.sort_by_key(|place| place.start);
    let mut joined: Vec<Range<u64>> = Vec::new();
    for place in places {
        match joined.last_mut() {
            Some(last) if last.end >= place.start => last.end = last.end.max(place.end),
            _ => joined.push(place),
        }
    }
    joined
}

/// The last number below `len` of which `holds` holds, as it does of all before it.
fn last_where(len: usize, holds: impl Fn(usize) -> bool) -> Option<usize> {
    let (mut low, mut high) = (0, len);
    while low < high {
        let middle = low.midpoint(high);
        if holds(middle) { low = middle + 1 } else { high = middle }
    }
    low.checked_sub(1)
}
