//! `TailTable`: the transactions of the log's tail, by timestamp.

use std::{ops::RangeInclusive, sync::Arc};

use crate::{ids::TableId, timestamp::Timestamp};

/// Transactions a page.
const PAGE_LEN: usize = 256;

/// A transaction in a page.
#[derive(Clone, Copy, Debug)]
struct Handle {
    timestamp: Timestamp,
    index: u64,
    /// Where its tables end among those of its page; they begin where those of the one before end.
    tables_end: u32,
}

/// The transactions whose records are in the log, in the order of their timestamps: in pages, so that the old ones are
/// dropped in one piece.
///
/// A page knows when it was *born*: a lower bound of its timestamps. So a transaction is found by a search for its page
/// and one within. A [`Snapshot`] shares the pages and has its own end, so it is not changed by what is appended.
#[derive(Debug, Default)]
pub struct TailTable {
    full: Vec<Arc<Page>>,
    open: Page,
}

#[derive(Clone, Debug, Default)]
struct Page {
    born: Timestamp,
    handles: Vec<Handle>,
    tables: Vec<TableId>,
}

/// A transaction of a [`Snapshot`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// When it committed.
    pub timestamp: Timestamp,
    /// The index of its record in the log.
    pub index: u64,
    /// The tables that it wrote, each once.
    pub tables: &'a [TableId],
}

/// The tail up to a timestamp.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pages: Vec<Arc<Page>>,
    end: Timestamp,
}

impl TailTable {
    /// Adds a transaction, which is later than all others.
    pub fn push(&mut self, timestamp: Timestamp, index: u64, tables: impl IntoIterator<Item = TableId>) {
        if self.open.handles.len() == PAGE_LEN {
            let page = std::mem::take(&mut self.open);
            self.full.push(Arc::new(page));
        }
        let page = &mut self.open;
        if page.handles.is_empty() {
            page.born = timestamp;
        }
        let start = page.tables.len();
        for table in tables {
            if !page.tables.iter().skip(start).any(|other| *other == table) {
                page.tables.push(table);
            }
        }
        // A page has at most as many tables as its transactions have rows, which 32 bits count.
        let tables_end = u32::try_from(page.tables.len()).unwrap_or(u32::MAX);
        page.handles.push(Handle { timestamp, index, tables_end });
    }

    /// Drops pages all of whose transactions are at `timestamp` or before. The last page stays, so that those that
    /// follow have one before them.
    pub fn truncate(&mut self, timestamp: Timestamp) {
        let next_born = self.full.iter().skip(1).map(|page| page.born).chain([self.open.born]);
        let dropped = next_born.take_while(|born| *born <= timestamp && *born > Timestamp::ZERO).count();
        self.full.drain(..dropped.min(self.full.len()));
    }

    /// The transactions up to `end`, inclusive. It copies the last page, and shares the others.
    pub fn snapshot(&self, end: Timestamp) -> Snapshot {
        let pages = self.full.iter().take_while(|page| page.born <= end).cloned();
        let open = (!self.open.handles.is_empty() && self.open.born <= end).then(|| Arc::new(self.open.clone()));
        Snapshot { pages: pages.chain(open).collect(), end }
    }

    /// The number of transactions.
    pub fn len(&self) -> usize {
        self.full.len() * PAGE_LEN + self.open.handles.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Snapshot {
    /// The transactions of `range` that are in the snapshot, in their order.
    pub fn scan(&self, range: RangeInclusive<Timestamp>) -> impl Iterator<Item = Entry<'_>> {
        let (start, end) = (*range.start(), self.end.min(*range.end()));
        let page = self.pages.partition_point(|page| page.born <= start).saturating_sub(1);
        let entries = self.pages.iter().skip(page).flat_map(move |page| {
            let first = page.handles.partition_point(|handle| handle.timestamp < start);
            (first..page.handles.len()).map_while(|at| page.entry(at))
        });
        entries.take_while(move |entry| entry.timestamp <= end)
    }

    /// Those of them that wrote `table`.
    pub fn of_table(&self, table: TableId, range: RangeInclusive<Timestamp>) -> impl Iterator<Item = Entry<'_>> {
        self.scan(range).filter(move |entry| entry.tables.contains(&table))
    }
}

impl Page {
    fn entry(&self, at: usize) -> Option<Entry<'_>> {
        let handle = self.handles.get(at)?;
        let start = at.checked_sub(1).and_then(|before| self.handles.get(before)).map_or(0, |before| before.tables_end);
        let tables = self.tables.get(start as usize..handle.tables_end as usize)?;
        Some(Entry { timestamp: handle.timestamp, index: handle.index, tables })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(timestamp: i64) -> Timestamp {
        Timestamp::from_i64(timestamp).expect("it is positive")
    }

    /// Transactions at the timestamps, which write table `timestamp % 3`.
    fn tail(timestamps: impl Iterator<Item = i64>) -> TailTable {
        let mut tail = TailTable::default();
        for timestamp in timestamps {
            let table = TableId(timestamp.cast_unsigned() % 3);
            tail.push(at(timestamp), timestamp.cast_unsigned() * 2, [table, table]);
        }
        tail
    }

    fn timestamps<'a>(entries: impl Iterator<Item = Entry<'a>>) -> Vec<i64> {
        entries.map(|entry| entry.timestamp.to_i64()).collect()
    }

    #[test]
    fn scans_are_those_of_a_list() {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut all: Vec<i64> = (0..2000).map(|_| rng.i64(1..100_000)).collect();
        all.sort_unstable();
        all.dedup();
        let tail = tail(all.iter().copied());
        for _ in 0..500 {
            let (end, from, to) = (rng.i64(0..100_010), rng.i64(0..100_010), rng.i64(0..100_010));
            let expected = |table: Option<i64>| -> Vec<i64> {
                let within = |ts: &i64| (from..=to.min(end)).contains(ts) && table.is_none_or(|table| ts % 3 == table);
                all.iter().copied().filter(within).collect()
            };
            let snapshot = tail.snapshot(at(end));
            assert_eq!(timestamps(snapshot.scan(at(from)..=at(to))), expected(None), "{from}..={to} until {end}");
            assert_eq!(timestamps(snapshot.of_table(TableId(1), at(from)..=at(to))), expected(Some(1)));
        }
        assert!(tail.snapshot(at(100_000)).scan(at(0)..=at(100_000)).all(|entry| entry.tables.len() == 1));
    }

    #[test]
    fn a_snapshot_has_its_end() {
        let mut tail = tail(1..400);
        let snapshot = tail.snapshot(at(300));
        for timestamp in 400..1000 {
            tail.push(at(timestamp), 0, []);
        }
        tail.truncate(at(999));
        assert_eq!(timestamps(snapshot.scan(at(250)..=at(1000))), (250..=300).collect::<Vec<_>>());
    }

    #[test]
    fn whole_pages_are_dropped() {
        // Pages of 256 that are born at 1, 257 and 513.
        let first = |tail: &TailTable| timestamps(tail.snapshot(Timestamp::MAX).scan(at(0)..=Timestamp::MAX))[0];
        for (truncated, expected) in [(5, 1), (256, 1), (257, 257), (512, 257), (513, 513), (10_000, 513)] {
            let mut tail = tail(1..600);
            tail.truncate(at(truncated));
            assert_eq!(first(&tail), expected, "truncated at {truncated}");
            assert_eq!(tail.len(), usize::try_from(600 - expected).unwrap());
        }
        let mut empty = TailTable::default();
        empty.truncate(at(5));
        assert!(empty.is_empty());
    }
}
