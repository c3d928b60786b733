//! `KeyIndex`: finds rows by their keys.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashMap, HashTable, hash_table::Entry};

/// The newest row of each key, and which row was its newest before.
///
/// It holds row numbers alone: the keys stay where the rows are, and the caller compares them.
#[derive(Debug)]
pub(crate) struct KeyIndex {
    newest: Box<[HashTable<u32>]>,
    /// By row, the one with the same key before it. Few keys have several rows.
    older: HashMap<u32, u32>,
    hasher: DefaultHashBuilder,
}

impl KeyIndex {
    /// An empty index, spread over `shards` tables by hash. One without tables is of rows without keys, and takes none.
    pub(crate) fn new(shards: usize) -> Self {
        let newest = (0..shards).map(|_| HashTable::new()).collect();
        Self { newest, older: HashMap::default(), hasher: DefaultHashBuilder::default() }
    }

    pub(crate) fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash_one(key)
    }

    /// The newest row of the key with this hash, of which `is_key` tells whether a row has it.
    pub(crate) fn newest(&self, hash: u64, is_key: impl Fn(u32) -> bool) -> Option<u32> {
        self.newest[self.shard(hash)].find(hash, |row| is_key(*row)).copied()
    }

    /// The row that had the key of `row` before it.
    pub(crate) fn older(&self, row: u32) -> Option<u32> {
        self.older.get(&row).copied()
    }

    /// Adds a row, which is newer than all rows that are there. `key` gives the key of each.
    pub(crate) fn insert<'k>(&mut self, row: u32, key: impl Fn(u32) -> &'k [u8]) {
        let (hasher, own) = (&self.hasher, key(row));
        let hash = hasher.hash_one(own);
        let shard = self.shard(hash);
        let entry = self.newest[shard].entry(hash, |row| key(*row) == own, |row| hasher.hash_one(key(*row)));
        match entry {
            Entry::Occupied(mut entry) => {
                self.older.insert(row, *entry.get());
                *entry.get_mut() = row;
            }
            Entry::Vacant(entry) => {
                entry.insert(row);
            }
        }
    }

    /// Removes a row, which is the newest of its key: the one before it is the newest again.
    pub(crate) fn remove<'k>(&mut self, row: u32, key: impl Fn(u32) -> &'k [u8]) {
        let hash = self.hasher.hash_one(key(row));
        let shard = self.shard(hash);
        if let Ok(mut entry) = self.newest[shard].find_entry(hash, |other| *other == row) {
            match self.older.remove(&row) {
                Some(older) => *entry.get_mut() = older,
                None => drop(entry.remove()),
            }
        }
    }

    pub(crate) fn allocated_bytes(&self) -> usize {
        let newest: usize = self.newest.iter().map(HashTable::allocation_size).sum();
        newest + self.older.allocation_size() + self.newest.len() * size_of::<HashTable<u32>>()
    }

    /// The table of a hash, which itself uses the hash's lowest and its seven highest bits.
    fn shard(&self, hash: u64) -> usize {
        (hash >> 40) as usize % self.newest.len()
    }
}
