//! `SortJob`: the rows of memtables in the order of an object.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch};
use arrow_schema::{ArrowError, SchemaRef};
use arrow_select::interleave::interleave;

use crate::{
    block_meta::BLOCK_ROWS_MAX,
    catalog::TableSchema,
    ids::{RowId, RowsetId},
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
    commits: Vec<i64>,
    deleted: Arc<DeletedRows>,
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
                let (commits, deleted) = (chunk.commits(), Arc::clone(&deleted));
                sources.push(Source { memtable: memtable.id(), chunk, commits, deleted });
            }
        }
        let keyed = schema.key_columns().is_some();
        Ok(Self { schema, horizon, sources, keyed })
    }

    /// The schema of the batches.
    pub fn schema(&self) -> &Arc<TableSchema> {
        &self.schema
    }

    /// Sorts, and calls `write` with the batches in order. Returns where the rows are then, by their positions in this
    /// order; the objects are to be [added](Transfer::begin_object).
    ///
    /// # Errors
    /// Those of `write`, and of Arrow.
    pub fn run<E: From<ArrowError>>(self, mut write: impl FnMut(SortedBatch) -> Result<(), E>) -> Result<Transfer, E> {
        let mut ends: Vec<(RowsetId, u32)> = Vec::new();
        for source in &self.sources {
            match ends.last_mut() {
                Some((memtable, end)) if *memtable == source.memtable => *end = source.chunk.end(),
                _ => ends.push((source.memtable, source.chunk.end())),
            }
        }
        let mut transfer = Transfer::new(ends);
        let mut rows = self.rows();
        if self.keyed {
            // Stable: of a key's versions the older ones stay first.
            rows.sort_by(|a, b| a.prefix.cmp(&b.prefix).then_with(|| self.key(*a).cmp(self.key(*b))));
        }
        let mut position = 0;
        for block in rows.chunks(BLOCK_ROWS_MAX as usize) {
            for row in block {
                let source = &self.sources[row.source as usize];
                transfer.set(RowId { rowset: source.memtable, row: source.chunk.first() + row.at }, position);
                position += 1;
            }
            write(self.batch(block)?)?;
        }
        Ok(transfer)
    }

    /// The rows that are not dead below the horizon, in the order of their commits.
    fn rows(&self) -> Vec<Row> {
        let horizon = if mutants::is_on(Mutant::HistoryDropped) { Timestamp::MAX } else { self.horizon };
        let mut rows = Vec::new();
        for (number, source) in (0..).zip(&self.sources) {
            let (first, end) = (source.chunk.first(), source.chunk.end());
            let mut dead = source.deleted.at(first..end, horizon).peekable();
            for position in first..end {
                if dead.next_if_eq(&position).is_none() {
                    let prefix = if self.keyed { prefix(source.chunk.key(position).unwrap_or_default()) } else { 0 };
                    rows.push(Row { prefix, source: number, at: position - first });
                }
            }
        }
        rows
    }

    fn key(&self, row: Row) -> &[u8] {
        let chunk = &self.sources[row.source as usize].chunk;
        chunk.key(chunk.first() + row.at).unwrap_or_default()
    }

    fn batch(&self, rows: &[Row]) -> Result<SortedBatch, ArrowError> {
        let commits = rows.iter().map(|row| self.sources[row.source as usize].commits[row.at as usize]).collect();
        let rows = gather(self.schema.arrow(), rows, |source| self.sources[source as usize].chunk.columns())?;
        Ok(SortedBatch { rows, commits: Some(commits) })
    }
}

/// A batch of `rows`, of which `columns` gives those of each source.
pub(crate) fn gather<'a>(
    schema: &SchemaRef,
    rows: &[Row],
    columns: impl Fn(u32) -> &'a [ArrayRef],
) -> Result<RecordBatch, ArrowError> {
    // Arrow looks at every array that it is given, so it gets those alone of which there are rows.
    let mut used: Vec<u32> = rows.iter().map(|row| row.source).collect();
    used.sort_unstable();
    used.dedup();
    let place = |row: &Row| (used.partition_point(|source| *source < row.source), row.at as usize);
    let places: Vec<_> = rows.iter().map(place).collect();
    let column = |at: usize| {
        let arrays: Vec<&dyn Array> = used.iter().map(|source| columns(*source)[at].as_ref()).collect();
        interleave(&arrays, &places)
    };
    let columns = (0..schema.fields().len()).map(column).collect::<Result<_, _>>()?;
    RecordBatch::try_new(SchemaRef::clone(schema), columns)
}

/// The first eight bytes of a key, which sort as it does.
#[expect(clippy::big_endian_bytes, reason = "bytes compare from the first to the last")]
pub(crate) fn prefix(key: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    let len = key.len().min(bytes.len());
    bytes[..len].copy_from_slice(&key[..len]);
    u64::from_be_bytes(bytes)
}
