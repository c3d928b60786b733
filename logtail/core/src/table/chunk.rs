//! `Chunk`: rows of a memtable that are in one piece of memory.

use std::ops::Range;

use arrow_array::ArrayRef;

use super::{commits::Commits, error::TableError, memory::MemoryBytes};
use crate::{
    catalog::{KeyColumns, TableSchema},
    key::Keys,
    rows::RowChunk,
    timestamp::Timestamp,
};

/// A chunk takes rows until it has this many: those of a block. A larger transaction makes it larger.
pub(super) const CHUNK_ROWS: usize = 8192;

/// Rows that take no more behind them.
#[derive(Debug)]
pub(crate) struct Chunk {
    first: u32,
    columns: Vec<ArrayRef>,
    len: u32,
    keys: Option<Keys>,
    commits: Commits,
}

/// The last rows of a memtable, behind which others come.
#[derive(Debug)]
pub(super) struct OpenChunk {
    first: u32,
    rows: RowChunk,
    keys: Option<Keys>,
    commits: Commits,
}

impl OpenChunk {
    pub(super) fn new(first: u32, schema: &TableSchema) -> Result<Self, TableError> {
        let rows = RowChunk::new(schema.arrow().fields())?;
        Ok(Self { first, rows, keys: schema.key_columns().map(KeyColumns::no_keys), commits: Commits::default() })
    }

    /// The chunk that follows this one. It takes memory for as many rows at once: columns that grow by doubling are
    /// copied in commits, and leave half of their memory unused.
    pub(super) fn next(&self, schema: &TableSchema) -> Result<Self, TableError> {
        let mut next = Self::new(self.end(), schema)?;
        // One that a large transaction has filled says nothing of what follows.
        if self.rows.len() < 2 * CHUNK_ROWS {
            next.rows.reserve_like(&self.rows);
            if let (Some(keys), Some(own)) = (&mut next.keys, &self.keys) {
                keys.reserve_like(own);
            }
        }
        Ok(next)
    }

    /// The position of the first row.
    pub(super) fn first(&self) -> u32 {
        self.first
    }

    /// The position behind the last row.
    pub(super) fn end(&self) -> u32 {
        self.first + self.len()
    }

    fn len(&self) -> u32 {
        // A chunk refuses more rows than 32 bits number.
        u32::try_from(self.rows.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.rows.len() >= CHUNK_ROWS
    }

    /// Adds encoded rows, and returns their positions. Adds all or none.
    pub(super) fn append(
        &mut self,
        encoded: &[u8],
        committed: Timestamp,
        schema: &TableSchema,
    ) -> Result<Range<u32>, TableError> {
        let before = self.rows.len();
        let added = self.rows.append(encoded)?;
        if self.first.checked_add(added.end).is_none() {
            self.rows.truncate(before);
            return Err(TableError::Full);
        }
        if let (Some(key), Some(keys)) = (schema.key_columns(), &mut self.keys) {
            let range = added.start as usize..added.end as usize;
            let columns: Vec<_> =
                key.positions().iter().filter_map(|at| self.rows.column(*at, range.clone())).collect();
            if let Err(error) = key.encoder().encode_into(&columns, keys) {
                self.rows.truncate(before);
                return Err(error.into());
            }
        }
        let added = self.first + added.start..self.first + added.end;
        self.commits.push(added.start, committed);
        Ok(added)
    }

    pub(super) fn key(&self, row: u32) -> Option<&[u8]> {
        self.keys.as_ref()?.get(row.checked_sub(self.first)? as usize)
    }

    pub(super) fn committed(&self, row: u32) -> Option<Timestamp> {
        self.commits.of(row)
    }

    /// Copies the rows: more come behind them while they are read.
    pub(super) fn read(&self, from: u32, timestamp: Timestamp, projection: &[usize]) -> Option<Piece> {
        let range = visible(&self.commits, self.first, self.len(), from, timestamp)?;
        let rows = range.start as usize..range.end as usize;
        let columns = projection.iter().filter_map(|at| self.rows.column(*at, rows.clone())).collect();
        Some(Piece::new(self.first, range, columns, &self.commits))
    }

    pub(super) fn read_row(&self, row: u32, projection: &[usize]) -> Option<Piece> {
        let at = row.checked_sub(self.first).filter(|at| *at < self.len())?;
        let columns = projection.iter().filter_map(|column| self.rows.column(*column, one(at)));
        Some(Piece::new(self.first, at..at + 1, columns.collect(), &self.commits))
    }

    /// The rows as a chunk that takes no more.
    pub(super) fn close(self) -> Chunk {
        let Self { first, mut rows, mut keys, mut commits } = self;
        rows.shrink_to_fit();
        if let Some(keys) = &mut keys {
            keys.shrink_to_fit();
        }
        let len = u32::try_from(rows.len()).unwrap_or(u32::MAX);
        commits.shrink();
        Chunk { first, columns: rows.into_columns(), len, keys, commits }
    }

    pub(super) fn memory(&self) -> MemoryBytes {
        let rows = self.rows.allocated_bytes() + self.commits.allocated_bytes();
        MemoryBytes { rows, keys: self.keys.as_ref().map_or(0, Keys::allocated_bytes), ..MemoryBytes::default() }
    }
}

impl Chunk {
    /// The position of the first row.
    pub(crate) fn first(&self) -> u32 {
        self.first
    }

    pub(super) fn read(&self, from: u32, timestamp: Timestamp, projection: &[usize]) -> Option<Piece> {
        let range = visible(&self.commits, self.first, self.len, from, timestamp)?;
        let (offset, len) = (range.start as usize, range.len());
        let columns = projection.iter().filter_map(|at| Some(self.columns.get(*at)?.slice(offset, len))).collect();
        Some(Piece::new(self.first, range, columns, &self.commits))
    }

    pub(super) fn read_row(&self, row: u32, projection: &[usize]) -> Option<Piece> {
        let at = row.checked_sub(self.first).filter(|at| *at < self.len)?;
        let columns = projection.iter().filter_map(|column| Some(self.columns.get(*column)?.slice(one(at).start, 1)));
        Some(Piece::new(self.first, at..at + 1, columns.collect(), &self.commits))
    }

    /// The position behind the last row.
    pub(crate) fn end(&self) -> u32 {
        self.first + self.len
    }

    /// All rows.
    pub(crate) fn columns(&self) -> &[ArrayRef] {
        &self.columns
    }

    /// When each row was committed.
    pub(crate) fn commits(&self) -> Vec<i64> {
        self.commits.expand(self.end())
    }

    pub(crate) fn key(&self, row: u32) -> Option<&[u8]> {
        self.keys.as_ref()?.get(row.checked_sub(self.first)? as usize)
    }

    pub(super) fn committed(&self, row: u32) -> Option<Timestamp> {
        (row - self.first < self.len).then(|| self.commits.of(row)).flatten()
    }

    pub(super) fn memory(&self) -> MemoryBytes {
        let columns: usize = self.columns.iter().map(|column| column.get_array_memory_size()).sum();
        let rows = columns + self.commits.allocated_bytes();
        MemoryBytes { rows, keys: self.keys.as_ref().map_or(0, Keys::allocated_bytes), ..MemoryBytes::default() }
    }
}

/// Rows of a chunk that are visible at a timestamp, the deleted ones included.
#[derive(Debug)]
pub(crate) struct Piece {
    /// The position of the first row in its memtable.
    pub(crate) first: u32,
    /// How many rows.
    pub(crate) len: u32,
    /// The columns that were asked for.
    pub(crate) columns: Vec<ArrayRef>,
    /// The deleted rows among them, by their positions in the memtable, in order.
    pub(crate) deleted: Vec<u32>,
    /// The commit timestamps of the rows that are visible.
    pub(crate) commits: Commits,
}

impl Piece {
    fn new(first: u32, range: Range<u32>, columns: Vec<ArrayRef>, commits: &Commits) -> Self {
        let (first, len) = (first + range.start, range.end - range.start);
        Self { first, len, columns, deleted: Vec::new(), commits: commits.of_range(first..first + len) }
    }
}

/// The row at a position of a chunk, as a range.
fn one(at: u32) -> Range<usize> {
    at as usize..at as usize + 1
}

/// The rows from position `from` on that are committed at `timestamp`, of `len` ones from position `first` on.
fn visible(commits: &Commits, first: u32, len: u32, from: u32, timestamp: Timestamp) -> Option<Range<u32>> {
    let end = commits.visible(first + len, timestamp).checked_sub(first)?;
    let start = from.checked_sub(first)?;
    (start < end).then_some(start..end)
}
