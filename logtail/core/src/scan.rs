//! Scans of the rows that are in memory.

use std::{collections::VecDeque, sync::Arc};

use arrow_array::{
    ArrayRef, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions, UInt32Array, UInt64Array, new_null_array,
};
use arrow_buffer::BooleanBufferBuilder;
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use arrow_select::filter::FilterBuilder;

use crate::{
    catalog::{Column, TableSchema},
    ids::ColumnId,
    table::{Memtable, Piece, Version},
    timestamp::Timestamp,
    widening::widen,
};

/// The most rows of a batch.
pub const BATCH_ROWS: usize = 8192;

/// The columns that a scan gives, in their order: those of the table that are asked for, then what the log tail knows
/// of rows.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Projection {
    /// The table's columns; `None` for all.
    pub columns: Option<Vec<ColumnId>>,
    /// Adds `_rowset` and `_row`, the places of the rows.
    pub row_ids: bool,
    /// Adds `_commit_ts`, when the rows were committed.
    pub commit_timestamps: bool,
}

impl Default for Projection {
    /// All columns of the table, and nothing else.
    fn default() -> Self {
        Self { columns: None, row_ids: false, commit_timestamps: false }
    }
}

/// Batches of the rows of a table that are in memory and visible at a timestamp, at most [`BATCH_ROWS`] each, in the
/// order of their commits.
#[derive(Debug)]
pub struct MemoryScan {
    columns: Vec<Column>,
    projection: Projection,
    schema: SchemaRef,
    timestamp: Timestamp,
    memtables: VecDeque<Arc<Memtable>>,
    /// The position of the next row in the first memtable.
    next: u32,
    /// What is left of a piece.
    batches: VecDeque<RecordBatch>,
}

impl MemoryScan {
    /// A scan of `version` at `timestamp`, which is at most the watermark, by the table's schema of that time.
    pub fn new(version: &Version, schema: &TableSchema, timestamp: Timestamp, projection: Projection) -> Self {
        let asked = |column: &&Column| projection.columns.as_ref().is_none_or(|asked| asked.contains(&column.id));
        let columns: Vec<_> = schema.columns().iter().filter(asked).cloned().collect();
        let schema = output_schema(schema, &columns, &projection);
        let memtables = version.memtables().iter().cloned().collect();
        Self { columns, projection, schema, timestamp, memtables, next: 0, batches: VecDeque::new() }
    }

    /// The schema of the batches.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The schema of the table's columns among them.
    pub fn columns(&self) -> SchemaRef {
        let fields = self.schema.fields().iter().take(self.columns.len());
        Arc::new(Schema::new(fields.cloned().collect::<Vec<_>>()))
    }

    /// Leaves out the rest.
    pub fn end(&mut self) {
        self.memtables.clear();
        self.batches.clear();
    }

    fn read(&mut self) -> Result<bool, ArrowError> {
        while let Some(memtable) = self.memtables.front() {
            let memtable = Arc::clone(memtable);
            let positions: Vec<_> = self.columns.iter().map(|column| memtable.schema().position(column.id)).collect();
            let stored: Vec<_> = positions.iter().flatten().copied().collect();
            let Some(piece) = memtable.read(self.next, self.timestamp, &stored) else {
                self.memtables.pop_front();
                self.next = 0;
                continue;
            };
            self.next = piece.first + piece.len;
            let batch = self.batch(&memtable, &positions, &piece)?;
            let step = |start| batch.slice(start, BATCH_ROWS.min(batch.num_rows() - start));
            self.batches.extend((0..batch.num_rows()).step_by(BATCH_ROWS).map(step));
            return Ok(true);
        }
        Ok(false)
    }

    /// The rows of a piece that are not deleted.
    fn batch(
        &self,
        memtable: &Memtable,
        positions: &[Option<usize>],
        piece: &Piece,
    ) -> Result<RecordBatch, ArrowError> {
        let len = piece.len as usize;
        let mut stored = piece.columns.iter();
        let mut columns = Vec::with_capacity(self.schema.fields().len());
        for (column, position) in self.columns.iter().zip(positions) {
            let array = position.and_then(|_| stored.next()).and_then(|array| widen(array, &column.data_type));
            columns.push(array.unwrap_or_else(|| new_null_array(&column.data_type, len)));
        }
        let end = piece.first + piece.len;
        if self.projection.row_ids {
            columns.push(Arc::new(UInt64Array::from_value(memtable.id().0, len)) as ArrayRef);
            columns.push(Arc::new(UInt32Array::from_iter_values(piece.first..end)));
        }
        if self.projection.commit_timestamps {
            columns.push(Arc::new(Int64Array::from(piece.commits.expand(end))));
        }
        if !piece.deleted.is_empty() {
            let predicate = FilterBuilder::new(&kept(piece)).optimize().build();
            columns = columns.iter().map(|column| predicate.filter(column)).collect::<Result<_, _>>()?;
        }
        let options = RecordBatchOptions::new().with_row_count(Some(len - piece.deleted.len()));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
    }
}

impl Iterator for MemoryScan {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(batch) = self.batches.pop_front() {
                return Some(Ok(batch));
            }
            match self.read() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => {
                    self.memtables.clear();
                    return Some(Err(error));
                }
            }
        }
    }
}

/// The rows of a piece that are not deleted, as a filter.
fn kept(piece: &Piece) -> BooleanArray {
    let mut kept = BooleanBufferBuilder::new(piece.len as usize);
    kept.append_n(piece.len as usize, true);
    piece.deleted.iter().for_each(|row| kept.set_bit((row - piece.first) as usize, false));
    BooleanArray::new(kept.finish(), None)
}

fn output_schema(table: &TableSchema, columns: &[Column], projection: &Projection) -> SchemaRef {
    let own = columns.iter().filter_map(|column| table.position(column.id));
    let mut fields: Vec<_> = own.map(|at| Arc::clone(&table.arrow().fields()[at])).collect();
    if projection.row_ids {
        fields.push(Arc::new(Field::new("_rowset", DataType::UInt64, false)));
        fields.push(Arc::new(Field::new("_row", DataType::UInt32, false)));
    }
    if projection.commit_timestamps {
        fields.push(Arc::new(Field::new("_commit_ts", DataType::Int64, false)));
    }
    Arc::new(Schema::new(fields))
}
