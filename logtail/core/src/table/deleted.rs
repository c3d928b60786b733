//! `DeletedRows`: which rows of a rowset are deleted, and since when.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    ops::Range,
    sync::Arc,
};

use crate::timestamp::Timestamp;

/// Rows of a page: a delete copies no more than this many, where somebody has the page as it was.
const PAGE_ROWS: u32 = 8192;

/// Deleted rows of a rowset with the timestamps of their deletes: those that are in memory alone.
///
/// A row is deleted once: another delete of it is a conflict. Clones share pages of rows until one is written.
#[derive(Clone, Debug, Default)]
pub struct DeletedRows {
    /// By the number of the page, none of which is empty.
    pages: BTreeMap<u32, Arc<Page>>,
    len: usize,
}

#[derive(Clone, Debug)]
struct Page {
    rows: BTreeMap<u32, Timestamp>,
    /// Of the timestamps of the rows.
    oldest: Timestamp,
    newest: Timestamp,
}

impl DeletedRows {
    /// Deletes `row` at `timestamp`. Returns whether it was there: a second delete changes nothing.
    pub(crate) fn insert(&mut self, row: u32, timestamp: Timestamp) -> bool {
        let added = match self.pages.entry(row / PAGE_ROWS) {
            Entry::Vacant(entry) => {
                entry.insert(Arc::new(Page::of(row, timestamp)));
                true
            }
            // Looked at first: a page that does not change stays shared.
            Entry::Occupied(entry) if entry.get().rows.contains_key(&row) => false,
            Entry::Occupied(mut entry) => {
                Arc::make_mut(entry.get_mut()).insert(row, timestamp);
                true
            }
        };
        self.len += usize::from(added);
        added
    }

    /// Forgets the deletes of the rows of `range` up to `timestamp`, inclusive.
    pub(crate) fn forget(&mut self, range: Range<u32>, timestamp: Timestamp) {
        let pages = range.start / PAGE_ROWS..range.end.div_ceil(PAGE_ROWS);
        let touched: Vec<u32> = self.pages.range(pages).map(|(number, _)| *number).collect();
        for number in touched {
            let Entry::Occupied(mut entry) = self.pages.entry(number) else { continue };
            let first = number * PAGE_ROWS;
            let is_whole = range.start <= first && first.saturating_add(PAGE_ROWS) <= range.end;
            if is_whole && entry.get().newest <= timestamp {
                self.len -= entry.remove().rows.len();
                continue;
            }
            let stays = |row: &u32, at: &Timestamp| !range.contains(row) || *at > timestamp;
            let left = entry.get().rows.iter().filter(|(row, at)| stays(row, at)).map(|(row, at)| (*row, *at));
            let left: BTreeMap<u32, Timestamp> = left.collect();
            self.len -= entry.get().rows.len() - left.len();
            match Page::new(left) {
                Some(page) => *entry.get_mut() = Arc::new(page),
                None => _ = entry.remove(),
            }
        }
    }

    /// Those of the pages that have rows of `range`, which are shared.
    pub(crate) fn pages_of(&self, range: Range<u32>) -> Self {
        let pages = self.pages.range(range.start / PAGE_ROWS..range.end.div_ceil(PAGE_ROWS));
        let pages: BTreeMap<u32, Arc<Page>> = pages.map(|(number, page)| (*number, Arc::clone(page))).collect();
        let len = pages.values().map(|page| page.rows.len()).sum();
        Self { pages, len }
    }

    /// When `row` was deleted.
    pub fn of(&self, row: u32) -> Option<Timestamp> {
        self.pages.get(&(row / PAGE_ROWS))?.rows.get(&row).copied()
    }

    /// The timestamp of the oldest delete.
    pub fn oldest(&self) -> Option<Timestamp> {
        self.pages.values().map(|page| page.oldest).min()
    }

    /// The rows of `range` that are deleted at `timestamp`, inclusive, in their order.
    pub fn at(&self, range: Range<u32>, timestamp: Timestamp) -> impl Iterator<Item = u32> + '_ {
        self.of_range(range).filter(move |(_, deleted)| *deleted <= timestamp).map(|(row, _)| row)
    }

    /// The deletes of the rows of `range`, in their order.
    pub fn of_range(&self, range: Range<u32>) -> impl Iterator<Item = (u32, Timestamp)> + '_ {
        let pages = self.pages.range(range.start / PAGE_ROWS..range.end.div_ceil(PAGE_ROWS));
        pages.flat_map(move |(_, page)| page.rows.range(range.clone())).map(|(row, deleted)| (*row, *deleted))
    }

    /// The first one at position `from` or behind it.
    pub(super) fn first_from(&self, from: u32) -> Option<u32> {
        self.pages.range(from / PAGE_ROWS..).find_map(|(_, page)| page.rows.range(from..).next()).map(|(row, _)| *row)
    }

    /// All of them in their order.
    pub fn iter(&self) -> impl Iterator<Item = (u32, Timestamp)> + '_ {
        self.pages.values().flat_map(|page| &page.rows).map(|(row, deleted)| (*row, *deleted))
    }

    /// Those after `timestamp`, in the order of their rows. Pages of older ones are not looked at.
    pub(crate) fn after(&self, timestamp: Timestamp) -> impl Iterator<Item = (u32, Timestamp)> + '_ {
        let newer = self.pages.values().filter(move |page| page.newest > timestamp).flat_map(|page| &page.rows);
        newer.map(|(row, deleted)| (*row, *deleted)).filter(move |(_, deleted)| *deleted > timestamp)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The memory they take, as far as it can be told: 12 bytes each in nodes that are two thirds full, and the pages.
    pub(super) fn allocated_bytes(&self) -> usize {
        self.len * 18 + self.pages.len() * 96
    }
}

impl Page {
    fn of(row: u32, timestamp: Timestamp) -> Self {
        Self { rows: BTreeMap::from([(row, timestamp)]), oldest: timestamp, newest: timestamp }
    }

    /// `None` without rows.
    fn new(rows: BTreeMap<u32, Timestamp>) -> Option<Self> {
        let (oldest, newest) = (rows.values().min().copied()?, rows.values().max().copied()?);
        Some(Self { rows, oldest, newest })
    }

    fn insert(&mut self, row: u32, timestamp: Timestamp) {
        self.rows.insert(row, timestamp);
        (self.oldest, self.newest) = (self.oldest.min(timestamp), self.newest.max(timestamp));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(timestamp: i64) -> Timestamp {
        Timestamp::from_i64(timestamp).unwrap()
    }

    #[test]
    fn deletes_are_those_of_a_map() {
        let mut rng = fastrand::Rng::with_seed(16);
        for _ in 0..200 {
            let (mut deleted, mut model) = (DeletedRows::default(), BTreeMap::new());
            for time in 1..300 {
                let start = rng.u32(..40_000);
                let range = start..start + rng.u32(..20_000);
                if rng.u8(..10) == 0 {
                    let through = rng.i64(0..time);
                    let before = (deleted.clone(), model.clone());
                    deleted.forget(range.clone(), at(through));
                    model.retain(|row, deleted| !range.contains(row) || *deleted > at(through));
                    assert!(before.0.iter().eq(before.1), "a clone stays as it was");
                } else {
                    let row = rng.u32(..60_000);
                    assert_eq!(deleted.insert(row, at(time)), !model.contains_key(&row));
                    model.entry(row).or_insert(at(time));
                }
                let (seen, row) = (at(rng.i64(0..time)), rng.u32(..60_000));
                assert_eq!((deleted.len(), deleted.of(row)), (model.len(), model.get(&row).copied()));
                assert_eq!(deleted.oldest(), model.values().min().copied());
                assert_eq!(deleted.first_from(row), model.range(row..).next().map(|(row, _)| *row));
                let part = deleted.pages_of(range.clone());
                assert_eq!(part.len(), part.iter().count());
                assert!(part.of_range(range.clone()).eq(deleted.of_range(range.clone())));
                let visible = model.range(range.clone()).filter(|(_, at)| **at <= seen).map(|(row, _)| *row);
                assert!(deleted.at(range, seen).eq(visible));
                assert!(deleted.iter().eq(model.clone()));
                assert!(
                    deleted.after(seen).eq(model.iter().filter(|(_, at)| **at > seen).map(|(row, at)| (*row, *at)))
                );
            }
        }
    }
}
