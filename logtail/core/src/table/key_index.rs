//! `KeyIndex`: finds rows by their keys.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable, hash_table::Entry};

use super::older_rows::OlderRows;

/// The newest row of each key, and which row was its newest before.
///
/// It holds row numbers alone: the keys stay where the rows are, and the caller compares them.
///
/// A commit waits while it grows, so it grows in small steps, by extendible hashing: rows are in tables of a bounded
/// size, which the highest bits of a hash choose, and a table that is full is split in two. With each row is its hash,
/// so that no key is looked at meanwhile.
#[derive(Debug, Default)]
pub(crate) struct KeyIndex {
    /// By the highest bits of a hash, the number of its table. Empty without rows.
    directory: Vec<u32>,
    tables: Vec<Table>,
    older: OlderRows,
    hasher: DefaultHashBuilder,
    /// What the tables have allocated.
    table_bytes: usize,
}

/// The rows whose hashes have the same highest bits.
#[derive(Debug, Default)]
struct Table {
    /// How many bits.
    bits: u32,
    rows: HashTable<Row>,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    number: u32,
    hash: u32,
}

/// The rows with which a table is split: all that a hash table of 1024 places has room for.
const TABLE_ROWS: usize = 896;
/// The bits that choose a table, at most. Tables grow then.
const BITS_MAX: u32 = 20;

impl KeyIndex {
    pub(crate) fn hash(&self, key: &[u8]) -> u32 {
        hash(&self.hasher, key)
    }

    /// Takes memory at once for the first rows, as far as one table has them.
    pub(crate) fn reserve(&mut self, rows: usize) {
        if self.directory.is_empty() {
            let table = Table { bits: 0, rows: HashTable::with_capacity(rows.min(TABLE_ROWS)) };
            self.table_bytes = table.rows.allocation_size();
            self.directory.push(0);
            self.tables.push(table);
        }
    }

    /// The newest row of the key with this hash, of which `is_key` tells whether a row has it.
    pub(crate) fn newest(&self, hash: u32, is_key: impl Fn(u32) -> bool) -> Option<u32> {
        let table = self.tables.get(self.table(hash)?)?;
        let found = table.rows.find(spread(hash), |row| row.hash == hash && is_key(row.number));
        found.map(|row| row.number)
    }

    /// The row that had the key of `row` before it.
    pub(crate) fn older(&self, row: u32) -> Option<u32> {
        self.older.get(row)
    }

    /// Adds a row, which is newer than all rows that are there. `key` gives the key of each.
    pub(crate) fn insert<'k>(&mut self, row: u32, key: impl Fn(u32) -> &'k [u8]) {
        let own = key(row);
        let hash = self.hash(own);
        let number = self.table_with_room(hash);
        let rows = &mut self.tables[number].rows;
        let before = rows.allocation_size();
        let is_own = |other: &Row| other.hash == hash && key(other.number) == own;
        match rows.entry(spread(hash), is_own, |row| spread(row.hash)) {
            Entry::Occupied(mut entry) => {
                self.older.set(row, entry.get().number);
                entry.get_mut().number = row;
            }
            Entry::Vacant(entry) => {
                entry.insert(Row { number: row, hash });
            }
        }
        self.table_bytes += rows.allocation_size() - before;
    }

    /// Removes a row, which is the newest of its key: the one before it is the newest again.
    pub(crate) fn remove<'k>(&mut self, row: u32, key: impl Fn(u32) -> &'k [u8]) {
        let hash = self.hash(key(row));
        let Some(table) = self.table(hash).and_then(|number| self.tables.get_mut(number)) else { return };
        if let Ok(mut entry) = table.rows.find_entry(spread(hash), |other| other.number == row) {
            match self.older.remove(row) {
                Some(older) => entry.get_mut().number = older,
                None => drop(entry.remove()),
            }
        }
    }

    pub(crate) fn allocated_bytes(&self) -> usize {
        let directory = self.directory.capacity() * size_of::<u32>() + self.tables.capacity() * size_of::<Table>();
        self.table_bytes + directory + self.older.allocated_bytes()
    }

    /// The number of the table of a hash; `None` where there is none yet.
    fn table(&self, hash: u32) -> Option<usize> {
        self.directory.get(self.place(hash)).map(|number| *number as usize)
    }

    /// The place of a hash in the directory, whose length is a power of two.
    fn place(&self, hash: u32) -> usize {
        ((u64::from(hash) * self.directory.len() as u64) >> 32) as usize
    }

    /// The number of the table of a hash, which can take a row.
    fn table_with_room(&mut self, hash: u32) -> usize {
        self.reserve(0);
        loop {
            let number = self.directory[self.place(hash)] as usize;
            let table = &self.tables[number];
            if table.rows.len() < TABLE_ROWS || table.bits == BITS_MAX {
                return number;
            }
            self.split(number, self.place(hash));
        }
    }

    /// Splits a table, which is at `place` of the directory among others, by the next bit of its rows' hashes.
    fn split(&mut self, number: usize, mut place: usize) {
        let full = std::mem::take(&mut self.tables[number]);
        self.table_bytes -= full.rows.allocation_size();
        if 1 << full.bits == self.directory.len() {
            self.directory = self.directory.iter().flat_map(|number| [*number; 2]).collect();
            place *= 2;
        }
        let bits = full.bits + 1;
        // Tables do not grow by steps that copy them: each gets all of its memory now.
        let table = || Table { bits, rows: HashTable::with_capacity(TABLE_ROWS) };
        let (mut low, mut high) = (table(), table());
        for row in full.rows {
            let half = if row.hash >> (u32::BITS - bits) & 1 == 0 { &mut low } else { &mut high };
            half.rows.insert_unique(spread(row.hash), row, |row| spread(row.hash));
        }
        let places = self.directory.len() >> full.bits;
        let first = place / places * places;
        // Of at most 2 to the `BITS_MAX`th tables.
        let new = u32::try_from(self.tables.len()).unwrap_or(u32::MAX);
        self.directory[first + places / 2..first + places].fill(new);
        self.table_bytes += low.rows.allocation_size() + high.rows.allocation_size();
        self.tables[number] = low;
        self.tables.push(high);
    }
}

#[expect(clippy::cast_possible_truncation, reason = "half of the hash is meant")]
fn hash(hasher: &DefaultHashBuilder, key: &[u8]) -> u32 {
    hasher.hash_one(key) as u32
}

/// The hash for a hash table, which uses its lowest bits and its seven highest: all rows of a table have the same
/// highest bits in theirs.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// Rows with keys of which some repeat, more than many tables have room for. Some of the newest are removed again,
    /// and some of those are other rows then, with keys of their own.
    #[test]
    fn rows_are_those_of_a_map() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut rng = fastrand::Rng::with_seed(seed);
        for rows in [1, 5, TABLE_ROWS, 40_000] {
            let numbers = rows as u64 * 4;
            let mut keys: Vec<[u8; 8]> = (0..rows).map(|_| rng.u64(..numbers).to_le_bytes()).collect();
            let (mut index, mut model) = (KeyIndex::default(), HashMap::<[u8; 8], Vec<u32>>::new());
            for row in 0..u32::try_from(rows).unwrap() {
                index.insert(row, |row| &keys[row as usize]);
                if rng.u8(..) < 20 {
                    index.remove(row, |row| &keys[row as usize]);
                    if rng.bool() {
                        continue;
                    }
                    keys[row as usize] = (numbers + u64::from(row)).to_le_bytes();
                    index.insert(row, |row| &keys[row as usize]);
                }
                model.entry(keys[row as usize]).or_default().push(row);
            }
            for key in (0..numbers + rows as u64).map(u64::to_le_bytes) {
                let expected = model.get(&key).map_or(&[][..], Vec::as_slice);
                let mut next = index.newest(index.hash(&key), |row| keys[row as usize] == key);
                for row in expected.iter().rev() {
                    assert_eq!(next, Some(*row));
                    next = index.older(*row);
                }
                assert_eq!(next, None);
            }
            let tables: usize = index.tables.iter().map(|table| table.rows.allocation_size()).sum();
            assert_eq!(index.table_bytes, tables);
            assert!(index.tables.iter().all(|table| table.rows.len() <= TABLE_ROWS));
        }
    }
}
