//! `KeyFilters`: which blocks of an object may have a key, as its bloom filters say.

use std::{fmt, ops::Range, sync::OnceLock};

use arrow_array::ArrayRef;
use bytes::Bytes;
use logboom_logtail_core::ColumnId;
use parquet::basic::Type;

use crate::{
    bloom::Bloom,
    fetched::{CheckedBytes, joined},
    footer::Footer,
    key_values::{bloom_hash, value},
};

/// The bloom filters of the key's columns of an object, kept to be asked for the few keys of many transactions: of a
/// key that they rule out, nothing else of the object is looked at. They are read row group by row group, as they are
/// needed.
pub struct KeyFilters {
    /// The type of each column in Parquet; `None` for one that the object does not have.
    types: Vec<Option<Type>>,
    groups: Vec<Group>,
    bytes: usize,
}

struct Group {
    /// The number behind that of its last block.
    end: usize,
    /// The place of each column's filter, if it has one.
    places: Vec<Option<Range<u64>>>,
    /// By column; empty until they are read.
    filters: OnceLock<Vec<Option<Bloom>>>,
}

/// Keys as the filters of objects know them, whose columns have these types.
#[derive(Debug)]
pub struct KeyHashes {
    types: Vec<Option<Type>>,
    /// By key, then column; `None` for a value that filters do not have.
    hashes: Vec<Option<u64>>,
}

impl KeyFilters {
    /// The filters of the key's columns in the object with this footer, none of which is read yet.
    pub fn new(footer: &Footer, key: &[ColumnId]) -> Self {
        let leaf = |column: &ColumnId| footer.leaves(footer.column(*column)?).next();
        let leaves: Vec<Option<usize>> = key.iter().map(leaf).collect();
        let place = |group: usize, leaf: &Option<usize>| Some(footer.bloom_filter(group, (*leaf)?)?.bytes);
        let groups = footer.groups().iter().enumerate().map(|(number, blocks)| Group {
            end: blocks.end,
            places: leaves.iter().map(|leaf| place(number, leaf)).collect(),
            filters: OnceLock::new(),
        });
        let groups: Vec<Group> = groups.collect();
        let places = groups.iter().flat_map(|group| group.places.iter().flatten());
        let bytes: u64 = places.map(|place| place.end - place.start).sum();
        Self {
            types: leaves.iter().map(|leaf| footer.leaf_type((*leaf)?)).collect(),
            groups,
            bytes: usize::try_from(bytes).unwrap_or(usize::MAX),
        }
    }

    /// The bytes of memory that they take when all are read, to bound a cache by.
    pub fn memory_bytes(&self) -> usize {
        self.bytes + self.groups.len() * (size_of::<Group>() + self.types.len() * 48) + size_of::<Self>()
    }

    /// What is to be [read](KeyFilters::read) before a block is asked for keys; nothing if that is there.
    pub fn missing(&self, block: usize) -> Vec<Range<u64>> {
        let group = self.group(block).filter(|group| group.filters.get().is_none());
        group.map_or_else(Vec::new, |group| joined(group.places.iter().flatten().cloned().collect()))
    }

    /// Takes the bytes that were missing for a block.
    pub fn read(&self, block: usize, bytes: &[CheckedBytes]) {
        let Some(group) = self.group(block) else { return };
        let filter = |place: &Option<Range<u64>>| {
            let place = place.as_ref()?;
            Bloom::parse(&bytes.iter().find_map(|read| part(read, place))?)
        };
        group.filters.get_or_init(|| group.places.iter().map(filter).collect());
    }

    /// Whether a block may have a key, of which `number` is the number among those of `hashes`. A filter that there is
    /// not, or that was not read, rules out nothing.
    pub fn may_have(&self, block: usize, hashes: &KeyHashes, number: usize) -> bool {
        let Some(filters) = self.group(block).and_then(|group| group.filters.get()) else { return true };
        let columns = self.types.len();
        let hashes = hashes.hashes.get(number * columns..(number + 1) * columns).unwrap_or_default();
        filters.iter().zip(hashes).all(|(filter, hash)| match (filter, hash) {
            (Some(filter), Some(hash)) => filter.may_hold(*hash),
            _ => true,
        })
    }

    /// The hashes of keys, given as the key's columns in its order.
    pub fn hashes(&self, keys: &[ArrayRef]) -> KeyHashes {
        let rows = keys.first().map_or(0, |column| column.len());
        let hash = |row: usize, column: usize| {
            let value = value(keys.get(column)?, row)?;
            bloom_hash(&value, (*self.types.get(column)?)?)
        };
        let hashes = (0..rows).flat_map(|row| (0..self.types.len()).map(move |column| hash(row, column)));
        KeyHashes { types: self.types.clone(), hashes: hashes.collect() }
    }

    /// Whether these are the hashes of this object's filters: of columns of the same types.
    pub fn knows(&self, hashes: &KeyHashes) -> bool {
        self.types == hashes.types
    }

    fn group(&self, block: usize) -> Option<&Group> {
        self.groups.get(self.groups.partition_point(|group| group.end <= block))
    }
}

/// The part of bytes that were read which is at a place.
fn part(read: &CheckedBytes, place: &Range<u64>) -> Option<Bytes> {
    let start = usize::try_from(place.start.checked_sub(read.range().start)?).ok()?;
    let end = start.checked_add(usize::try_from(place.end - place.start).ok()?)?;
    (end <= read.bytes().len()).then(|| read.bytes().slice(start..end))
}

impl fmt::Debug for KeyFilters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyFilters").field("groups", &self.groups.len()).finish_non_exhaustive()
    }
}
