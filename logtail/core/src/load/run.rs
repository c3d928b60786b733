//! `LoadRun`: rows of a load in memory, until they are sorted and become objects.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::ArrowError;

use crate::{
    block_meta::BLOCK_ROWS_MAX,
    catalog::{KeyColumns, TableSchema},
    flush::{Row, SortedBatch, Sources, sort},
    key::{Keys, prefix},
    transaction::{OperationError, check_columns},
};

/// Numbers of rows have 32 bits.
const ROWS_MAX: usize = 1 << 31;

/// Rows of a load in memory, up to a bound: with their keys, and what sorting takes.
///
/// The rows stay in the batches that they came in. A batch that shares its memory with others keeps it.
#[derive(Debug)]
pub struct LoadRun {
    schema: Arc<TableSchema>,
    batches: Vec<RecordBatch>,
    /// For tables with a key.
    keys: Keys,
    rows: usize,
    /// What the rows take, without their keys.
    row_bytes: usize,
    bytes_max: usize,
}

/// Rows in the order of an object, no two of which have the same key.
#[derive(Debug)]
pub struct SortedRun {
    schema: Arc<TableSchema>,
    batches: Vec<RecordBatch>,
    rows: Vec<Row>,
}

/// Two rows of a run have the same key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DuplicateInRun {
    /// The [encoded](crate::key) key.
    pub key: Vec<u8>,
}

impl LoadRun {
    /// No rows of a table. It is full when they take `bytes_max`, or a row more.
    pub fn new(schema: Arc<TableSchema>, bytes_max: usize) -> Self {
        let keys = schema.key_columns().map_or_else(Keys::default, KeyColumns::no_keys);
        Self { schema, batches: Vec::new(), keys, rows: 0, row_bytes: 0, bytes_max }
    }

    /// Refuses rows that the table cannot have.
    ///
    /// # Errors
    /// [`OperationError`].
    pub fn check(&self, rows: &RecordBatch) -> Result<(), OperationError> {
        check_columns(&self.schema, rows)
    }

    /// Adds the first rows of a batch: all of them, or as many as there is room for, at least one. Returns how many.
    ///
    /// # Errors
    /// [`OperationError`] for rows that the table cannot have; none is added then.
    pub fn push(&mut self, rows: &RecordBatch) -> Result<usize, OperationError> {
        self.check(rows)?;
        if rows.num_rows() == 0 {
            return Ok(0);
        }
        let each = batch_bytes(rows) / rows.num_rows() + size_of::<Row>();
        let room = self.bytes_max.saturating_sub(self.bytes()) / each;
        let taken = rows.slice(0, room.min(ROWS_MAX - self.rows).clamp(1, rows.num_rows()));
        if let Some(key) = self.schema.key_columns() {
            let table = self.schema.id();
            let columns: Vec<ArrayRef> = key.of(taken.columns()).cloned().collect();
            let encoded = key.encoder().encode_into(&columns, &mut self.keys);
            encoded.map_err(|source| OperationError::Key { table, source })?;
        }
        let count = taken.num_rows();
        self.rows += count;
        self.row_bytes += each * count;
        self.batches.push(taken);
        Ok(count)
    }

    /// The memory that the rows, their keys, and sorting them take, about.
    pub fn bytes(&self) -> usize {
        self.row_bytes + self.keys.allocated_bytes()
    }

    /// Whether there is no room for more rows.
    pub fn is_full(&self) -> bool {
        self.rows > 0 && (self.bytes() >= self.bytes_max || self.rows >= ROWS_MAX)
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Sorts the rows by their keys; without a key they stay in their order. Takes CPU.
    ///
    /// # Errors
    /// [`DuplicateInRun`].
    pub fn sort(self) -> Result<SortedRun, DuplicateInRun> {
        let Self { schema, batches, keys, rows: count, .. } = self;
        let keyed = schema.key_columns().is_some();
        let mut firsts = Vec::with_capacity(batches.len());
        let mut rows = Vec::with_capacity(count);
        for (source, batch) in (0..).zip(&batches) {
            let first = rows.len();
            firsts.push(first);
            for at in 0..u32::try_from(batch.num_rows()).unwrap_or(u32::MAX) {
                let prefix = if keyed { prefix(keys.get(first + at as usize).unwrap_or_default()) } else { 0 };
                rows.push(Row { prefix, source, at });
            }
        }
        if keyed {
            let key = |row: &Row| keys.get(firsts[row.source as usize] + row.at as usize).unwrap_or_default();
            sort(&mut rows, |row| key(&row));
            let mut pairs = rows.iter().zip(rows.iter().skip(1));
            if let Some((row, _)) = pairs.find(|(a, b)| a.prefix == b.prefix && key(a) == key(b)) {
                return Err(DuplicateInRun { key: key(row).to_vec() });
            }
        }
        Ok(SortedRun { schema, batches, rows })
    }
}

impl SortedRun {
    /// The table.
    pub fn schema(&self) -> &Arc<TableSchema> {
        &self.schema
    }

    /// Calls `write` with the rows in their order, those of a block at a time.
    ///
    /// # Errors
    /// Those of `write`, and of Arrow.
    pub fn run<E: From<ArrowError>>(&self, mut write: impl FnMut(SortedBatch) -> Result<(), E>) -> Result<(), E> {
        for rows in self.rows.chunks(BLOCK_ROWS_MAX as usize) {
            let columns = |source: u32| self.batches[source as usize].columns();
            let rows = Sources::of(rows).batch(self.schema.arrow(), columns, &mut || {})?;
            write(SortedBatch { rows, commits: None })?;
        }
        Ok(())
    }
}

/// The memory of a batch's own rows.
fn batch_bytes(rows: &RecordBatch) -> usize {
    let column =
        |column: &ArrayRef| column.to_data().get_slice_memory_size().unwrap_or_else(|_| column.get_array_memory_size());
    rows.columns().iter().map(column).sum()
}
