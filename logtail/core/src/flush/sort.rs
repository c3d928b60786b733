//! `SortJob`: the rows of memtables in the order of an object.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch};
use arrow_schema::ArrowError;

use super::{gather::Sources, incremental_sort::IncrementalSort};
use crate::{
    block_meta::BLOCK_ROWS_MAX,
    catalog::TableSchema,
    ids::{RowId, RowsetId},
    key::prefix,
    mutants::{self, Mutant},
    table::{Chunk, DeletedRows, Memtable, TableError, Transfer},
    timestamp::Timestamp,
};

/// Brings rows of memtables into the order of an object: by key and then by commit, or by commit where there is no key.
/// Takes CPU and no locks, so it runs on any thread.
///
/// Versions of rows that are dead below the horizon are left out; all others are kept, since readers may still ask for
/// them.
#[derive(Debug)]
pub struct SortJob {
    schema: Arc<TableSchema>,
    horizon: Timestamp,
    sources: Vec<Source>,
    keyed: bool,
}

/// A chunk with what a flush has to know of it.
#[derive(Debug)]
struct Source {
    memtable: RowsetId,
    chunk: Arc<Chunk>,
    deleted: Arc<DeletedRows>,
}

/// The rows of a [`SortJob`] in order, those of a block at a time.
#[derive(Debug)]
pub struct SortedRows {
    schema: Arc<TableSchema>,
    sources: Vec<Source>,
    /// Of each source, when its rows were committed.
    commits: Vec<ArrayRef>,
    rows: IncrementalSort,
    /// How many of them were given.
    given: usize,
    transfer: Transfer,
}

/// A row to be sorted: the first bytes of its key decide most comparisons.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) prefix: u64,
    pub(crate) source: u32,
    /// Its number among the rows of the source.
    pub(crate) at: u32,
}

/// Rows in the order of the object: at most those of a block.
#[derive(Debug)]
pub struct SortedBatch {
    /// The rows, by the table's schema.
    pub rows: RecordBatch,
    /// When each was committed; `None` for rows of a load, which commit together.
    pub commits: Option<Int64Array>,
}

impl SortJob {
    /// A job for the rows of memtables of one schema that take no more, all of which are committed.
    ///
    /// # Errors
    /// [`TableError`] where a memtable cannot be closed.
    pub(crate) fn new(
        schema: Arc<TableSchema>,
        memtables: &[Arc<Memtable>],
        horizon: Timestamp,
    ) -> Result<Self, TableError> {
        let mut sources = Vec::new();
        for memtable in memtables {
            let deleted = Arc::new(memtable.deletes());
            for chunk in memtable.close()? {
                sources.push(Source { memtable: memtable.id(), chunk, deleted: Arc::clone(&deleted) });
            }
        }
        let keyed = schema.key_columns().is_some();
        Ok(Self { schema, horizon, sources, keyed })
    }

    /// The schema of the batches.
    pub fn schema(&self) -> &Arc<TableSchema> {
        &self.schema
    }

    /// Begins to sort. `between` is called between pieces of the work, which take a fraction of a millisecond each: who
    /// sorts beside those that must not wait gives way there.
    pub fn sort(self, between: &mut dyn FnMut()) -> SortedRows {
        let rows = self.rows(between);
        let rows = if self.keyed { IncrementalSort::new(rows) } else { IncrementalSort::of_sorted(rows) };
        let mut ends: Vec<(RowsetId, u32)> = Vec::new();
        for source in &self.sources {
            match ends.last_mut() {
                Some((memtable, end)) if *memtable == source.memtable => *end = source.chunk.end(),
                _ => ends.push((source.memtable, source.chunk.end())),
            }
        }
        let commits = self.sources.iter().map(|source| Arc::new(Int64Array::from(source.chunk.commits())) as ArrayRef);
        SortedRows {
            commits: commits.collect(),
            schema: self.schema,
            sources: self.sources,
            rows,
            given: 0,
            transfer: Transfer::new(ends),
        }
    }

    /// The rows that are not dead below the horizon, in the order of their commits.
    fn rows(&self, between: &mut dyn FnMut()) -> Vec<Row> {
        let horizon = if mutants::is_on(Mutant::HistoryDropped) { Timestamp::MAX } else { self.horizon };
        let count = self.sources.iter().map(|source| source.chunk.end() - source.chunk.first());
        let mut rows = Vec::with_capacity(count.sum::<u32>() as usize);
        for (number, source) in (0..).zip(&self.sources) {
            let (first, end) = (source.chunk.first(), source.chunk.end());
            let mut dead = source.deleted.at(first..end, horizon).peekable();
            for position in first..end {
                if dead.next_if_eq(&position).is_none() {
                    let prefix = if self.keyed { prefix(source.chunk.key(position).unwrap_or_default()) } else { 0 };
                    rows.push(Row { prefix, source: number, at: position - first });
                }
                if (position - first) % BLOCK_ROWS_MAX == BLOCK_ROWS_MAX - 1 {
                    between();
                }
            }
            between();
        }
        rows
    }
}

impl Source {
    fn key(&self, row: Row) -> &[u8] {
        self.chunk.key(self.chunk.first() + row.at).unwrap_or_default()
    }
}

impl SortedRows {
    /// The rows of the next block; `None` behind the last. `between` is called as by [`SortJob::sort`].
    ///
    /// # Errors
    /// Those of Arrow.
    pub fn next_batch(&mut self, between: &mut dyn FnMut()) -> Result<Option<SortedBatch>, ArrowError> {
        let block = self.given..self.rows.len().min(self.given + BLOCK_ROWS_MAX as usize);
        if block.is_empty() {
            return Ok(None);
        }
        // Of a key's versions the older ones come first: the sources are in the order of the commits.
        let key = |row: Row| self.sources[row.source as usize].key(row);
        let rows = &self.rows.first(block.end, &key, between)[block.clone()];
        note_positions(&mut self.transfer, &self.sources, rows, self.given);
        self.given = block.end;
        let sources = Sources::of(rows);
        between();
        let columns = |source: u32| self.sources[source as usize].chunk.columns();
        let rows = sources.batch(self.schema.arrow(), columns, between)?;
        let commits = sources.gather(|source| &self.commits[source as usize])?;
        Ok(Some(SortedBatch { rows, commits: Some(commits.to_data().into()) }))
    }

    /// Where the rows that were given are, by their positions in this order; the objects are to be
    /// [added](Transfer::begin_object).
    pub fn into_transfer(self) -> Transfer {
        self.transfer
    }
}

/// Notes where rows are: `rows` are those from position `start` on.
fn note_positions(transfer: &mut Transfer, sources: &[Source], rows: &[Row], start: usize) {
    // A flush has no more rows than 32 bits number.
    for (position, row) in (u32::try_from(start).unwrap_or(u32::MAX)..).zip(rows) {
        let source = &sources[row.source as usize];
        transfer.set(RowId { rowset: source.memtable, row: source.chunk.first() + row.at }, position);
    }
}

/// Sorts rows by their keys; those of one key stay in the order of their sources.
pub(crate) fn sort<'k>(rows: &mut [Row], key: impl Fn(Row) -> &'k [u8]) {
    // Most prefixes differ. Comparing numbers alone takes no branches, so keys are looked at afterwards.
    rows.sort_unstable_by_key(|row| (u128::from(row.prefix) << 64) | u128::from(row.rank()));
    for same in rows.chunk_by_mut(|one, next| one.prefix == next.prefix).filter(|same| same.len() > 1) {
        same.sort_by(|one, other| key(*one).cmp(key(*other)));
    }
}

impl Row {
    /// Sorts as the rows stand in their sources.
    pub(crate) fn rank(self) -> u64 {
        u64::from(self.source) << 32 | u64::from(self.at)
    }
}
