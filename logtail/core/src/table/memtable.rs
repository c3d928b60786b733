//! `Memtable`: the rows of a table that are in memory and in the log alone.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use parking_lot::RwLock;

use super::{
    chunk::{Chunk, OpenChunk, Piece},
    deleted::DeletedRows,
    error::TableError,
    key_index::KeyIndex,
    memory::MemoryBytes,
};
use crate::{
    block_meta::BLOCK_ROWS_MAX,
    catalog::TableSchema,
    ids::{RowId, RowsetId},
    timestamp::Timestamp,
};

/// Rows of one schema in the order of their commits, with the index of their keys.
///
/// Rows are added when a transaction is prepared, before its record is durable: readers see the rows up to their
/// timestamp, which is at most the watermark, so they see those later, and all at once. One thread at a time adds; any
/// number reads.
#[derive(Debug)]
pub struct Memtable {
    id: RowsetId,
    schema: Arc<TableSchema>,
    rows: RwLock<Rows>,
    /// The timestamp of the last checkpoint that has its rows; zero for none.
    copied: AtomicI64,
}

#[derive(Debug)]
struct Rows {
    full: Vec<Arc<Chunk>>,
    full_memory: MemoryBytes,
    open: OpenChunk,
    index: KeyIndex,
    deleted: DeletedRows,
    /// The timestamps of the first and the last rows.
    first: Timestamp,
    last: Timestamp,
}

/// A row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where it is.
    pub row: RowId,
    /// When it was committed.
    pub committed: Timestamp,
    /// When it was deleted, if it was.
    pub deleted: Option<Timestamp>,
}

impl Found {
    /// Whether the row is there at `timestamp`.
    pub fn is_live(&self, timestamp: Timestamp) -> bool {
        self.committed <= timestamp && self.deleted.is_none_or(|deleted| timestamp < deleted)
    }
}

impl Memtable {
    /// An empty memtable.
    ///
    /// # Errors
    /// Where the schema has a type that rows or keys cannot have, which the catalog refuses.
    pub fn new(id: RowsetId, schema: Arc<TableSchema>) -> Result<Self, TableError> {
        let open = OpenChunk::new(0, &schema)?;
        let (index, deleted) = (KeyIndex::default(), DeletedRows::default());
        let rows = Rows {
            full: Vec::new(),
            full_memory: MemoryBytes::default(),
            open,
            index,
            deleted,
            first: Timestamp::MAX,
            last: Timestamp::ZERO,
        };
        Ok(Self { id, schema, rows: RwLock::new(rows), copied: AtomicI64::new(0) })
    }

    /// Its number, by which its rows are named.
    pub fn id(&self) -> RowsetId {
        self.id
    }

    /// The schema of its rows.
    pub fn schema(&self) -> &Arc<TableSchema> {
        &self.schema
    }

    /// The timestamp of the last checkpoint that has its rows; zero for none.
    pub fn copied(&self) -> Timestamp {
        Timestamp::from_i64(self.copied.load(Ordering::Relaxed)).unwrap_or_default()
    }

    /// A checkpoint of this timestamp has its rows.
    pub(crate) fn set_copied(&self, at: Timestamp) {
        self.copied.fetch_max(at.to_i64(), Ordering::Relaxed);
    }

    /// How many rows it has, those that are not committed yet included.
    pub fn len(&self) -> u32 {
        self.rows.read().open.end()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The memory that it takes, in bytes.
    pub fn allocated_bytes(&self) -> usize {
        self.memory().total()
    }

    /// The memory that it takes, by what takes it.
    pub fn memory(&self) -> MemoryBytes {
        let rows = self.rows.read();
        let (keys, deletes) = (rows.index.allocated_bytes(), rows.deleted.allocated_bytes());
        rows.full_memory + rows.open.memory() + MemoryBytes { keys, deletes, ..MemoryBytes::default() }
    }

    /// Adds encoded rows of a commit, which is not before the last one's. Returns their positions.
    ///
    /// # Errors
    /// [`TableError`] for rows that are not of the schema, or more than a memtable numbers; it is unchanged then.
    pub(crate) fn append(&self, encoded: &[u8], committed: Timestamp) -> Result<Range<u32>, TableError> {
        let mut rows = self.rows.write();
        let added = rows.open.append(encoded, committed, &self.schema)?;
        (rows.first, rows.last) = (rows.first.min(committed), committed);
        if self.schema.key_columns().is_some() {
            rows.add_keys(added.clone());
        }
        if rows.open.is_full() {
            let next = rows.open.next(&self.schema)?;
            rows.close_chunk(next);
        }
        Ok(added)
    }

    /// Deletes a row. Returns whether it was there and not deleted before.
    pub(crate) fn delete(&self, row: u32, timestamp: Timestamp) -> bool {
        let mut rows = self.rows.write();
        row < rows.open.end() && rows.deleted.insert(row, timestamp)
    }

    /// Takes no more rows. Returns those that are there.
    ///
    /// # Errors
    /// As [`Memtable::new`].
    pub(crate) fn close(&self) -> Result<Vec<Arc<Chunk>>, TableError> {
        let mut rows = self.rows.write();
        if !rows.open.is_empty() {
            let next = OpenChunk::new(rows.open.end(), &self.schema)?;
            rows.close_chunk(next);
        }
        Ok(rows.full.clone())
    }

    /// The timestamp of the first rows.
    pub fn first_commit(&self) -> Timestamp {
        self.rows.read().first
    }

    /// The timestamp of the last rows.
    pub(crate) fn last_commit(&self) -> Timestamp {
        self.rows.read().last
    }

    /// All deletes of its rows.
    pub(crate) fn deletes(&self) -> DeletedRows {
        self.rows.read().deleted.clone()
    }

    /// The newest row of `key` that was committed at `timestamp` or before, deleted or not.
    pub fn find(&self, key: &[u8], timestamp: Timestamp) -> Option<Found> {
        let rows = self.rows.read();
        let mut row = rows.index.newest(rows.index.hash(key), |row| rows.key(row) == Some(key));
        while let Some(at) = row {
            let found = self.found(&rows, at)?;
            if found.committed <= timestamp {
                return Some(found);
            }
            row = rows.index.older(at);
        }
        None
    }

    /// When one of `keys` was written after `timestamp`, if any was.
    pub(crate) fn written_after<'k>(
        &self,
        mut keys: impl Iterator<Item = &'k [u8]>,
        timestamp: Timestamp,
    ) -> Option<Timestamp> {
        let rows = self.rows.read();
        if rows.last <= timestamp {
            return None;
        }
        keys.find_map(|key| {
            let row = rows.index.newest(rows.index.hash(key), |row| rows.key(row) == Some(key))?;
            rows.committed(row).filter(|committed| *committed > timestamp)
        })
    }

    /// How many rows committed at `timestamp` or before: the first ones.
    pub fn committed_rows(&self, timestamp: Timestamp) -> u32 {
        let rows = self.rows.read();
        let (mut low, mut high) = (0, rows.open.end());
        while low < high {
            let middle = low.midpoint(high);
            if rows.committed(middle).is_some_and(|at| at <= timestamp) { low = middle + 1 } else { high = middle }
        }
        low
    }

    /// Calls `visit` with the keys of rows from position `from` on, those of a block at most, that committed at
    /// `timestamp` or before. Returns the position behind them; `None` at the end.
    pub fn visit_keys(&self, from: u32, timestamp: Timestamp, mut visit: impl FnMut(&[u8], Found)) -> Option<u32> {
        let rows = self.rows.read();
        let end = rows.open.end().min(from.saturating_add(BLOCK_ROWS_MAX));
        for row in from..end {
            let found = self.found(&rows, row)?;
            // Rows are in the order of their commits.
            if found.committed > timestamp {
                return None;
            }
            visit(rows.key(row).unwrap_or_default(), found);
        }
        (from < end).then_some(end)
    }

    /// A row by its position.
    pub fn get(&self, row: u32) -> Option<Found> {
        self.found(&self.rows.read(), row)
    }

    /// The rows from position `from` on that are committed at `timestamp`, up to the end of a chunk: columns
    /// `projection` of them; `None` where there are none. Repeated calls give the same, also while rows are added.
    pub(crate) fn read(&self, from: u32, timestamp: Timestamp, projection: &[usize]) -> Option<Piece> {
        let rows = self.rows.read();
        let mut piece = if from >= rows.open.first() {
            rows.open.read(from, timestamp, projection)
        } else {
            chunk_of(&rows.full, from)?.read(from, timestamp, projection)
        }?;
        piece.deleted = rows.deleted.at(piece.first..piece.first + piece.len, timestamp).collect();
        Some(piece)
    }

    /// A row, deleted or not: columns `projection` of it. `None` where there is no such row.
    pub(crate) fn read_row(&self, row: u32, projection: &[usize]) -> Option<Piece> {
        let rows = self.rows.read();
        if row >= rows.open.first() {
            rows.open.read_row(row, projection)
        } else {
            chunk_of(&rows.full, row)?.read_row(row, projection)
        }
    }

    fn found(&self, rows: &Rows, row: u32) -> Option<Found> {
        let committed = rows.committed(row)?;
        Some(Found { row: RowId { rowset: self.id, row }, committed, deleted: rows.deleted.of(row) })
    }
}

impl Rows {
    fn add_keys(&mut self, added: Range<u32>) {
        let Self { full, open, index, .. } = self;
        let key = |row| key(full, open, row).unwrap_or_default();
        for row in added {
            index.insert(row, key);
        }
    }

    fn key(&self, row: u32) -> Option<&[u8]> {
        key(&self.full, &self.open, row)
    }

    fn committed(&self, row: u32) -> Option<Timestamp> {
        if row >= self.open.first() {
            return (row < self.open.end()).then(|| self.open.committed(row)).flatten();
        }
        chunk_of(&self.full, row)?.committed(row)
    }

    /// Rows that follow go to `next`.
    fn close_chunk(&mut self, next: OpenChunk) {
        let chunk = std::mem::replace(&mut self.open, next).close();
        self.full_memory = self.full_memory + chunk.memory();
        self.full.push(Arc::new(chunk));
    }
}

fn key<'a>(full: &'a [Arc<Chunk>], open: &'a OpenChunk, row: u32) -> Option<&'a [u8]> {
    if row >= open.first() { open.key(row) } else { chunk_of(full, row)?.key(row) }
}

fn chunk_of(full: &[Arc<Chunk>], row: u32) -> Option<&Arc<Chunk>> {
    full.get(full.partition_point(|chunk| chunk.first() <= row).checked_sub(1)?)
}
