//! Scans: what they give, and those of the rows that are in memory.

mod error;
mod filter;
mod plan;
mod projection;

pub use error::ColumnError;
pub use filter::Filter;
pub use plan::ScanPlan;
pub use projection::Projection;

use std::{collections::VecDeque, sync::Arc};

use arrow_array::{
    ArrayRef, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions, UInt32Array, UInt64Array, new_null_array,
};
use arrow_buffer::BooleanBufferBuilder;
use arrow_schema::ArrowError;
use arrow_select::filter::FilterBuilder;

use crate::{
    table::{Memtable, Piece, Version},
    timestamp::Timestamp,
    widening::widen,
};

/// The most rows of a batch.
pub const BATCH_ROWS: usize = 8192;

/// Batches of the wanted rows of a table that are in memory and visible at a timestamp, at most [`BATCH_ROWS`] each, in the
/// order of their commits.
#[derive(Debug)]
pub struct MemoryScan {
    plan: Arc<ScanPlan>,
    timestamp: Timestamp,
    memtables: VecDeque<Arc<Memtable>>,
    /// The position of the next row in the first memtable.
    next: u32,
    /// What is left of a piece.
    batches: VecDeque<RecordBatch>,
}

impl MemoryScan {
    /// A scan of `version` at `timestamp`, which is at most the watermark, and at which the plan was made.
    pub fn new(version: &Version, timestamp: Timestamp, plan: Arc<ScanPlan>) -> Self {
        let memtables = version.memtables().iter().cloned().collect();
        Self { plan, timestamp, memtables, next: 0, batches: VecDeque::new() }
    }

    /// Leaves out the rest.
    pub fn end(&mut self) {
        self.memtables.clear();
        self.batches.clear();
    }

    fn read(&mut self) -> Result<bool, ArrowError> {
        while let Some(memtable) = self.memtables.front() {
            let memtable = Arc::clone(memtable);
            let columns = self.plan.columns();
            let positions: Vec<_> = columns.iter().map(|column| memtable.schema().position(column.id)).collect();
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

    /// The rows of a piece that are wanted and not deleted.
    fn batch(
        &self,
        memtable: &Memtable,
        positions: &[Option<usize>],
        piece: &Piece,
    ) -> Result<RecordBatch, ArrowError> {
        let len = piece.len as usize;
        let mut stored = piece.columns.iter();
        let mut columns = Vec::with_capacity(self.plan.read_schema().fields().len());
        for (column, position) in self.plan.columns().iter().zip(positions) {
            let array = position.and_then(|_| stored.next()).and_then(|array| widen(array, &column.data_type));
            columns.push(array.unwrap_or_else(|| new_null_array(&column.data_type, len)));
        }
        let end = piece.first + piece.len;
        if self.plan.row_ids() {
            columns.push(Arc::new(UInt64Array::from_value(memtable.id().0, len)) as ArrayRef);
            columns.push(Arc::new(UInt32Array::from_iter_values(piece.first..end)));
        }
        if self.plan.commit_timestamps() {
            columns.push(Arc::new(Int64Array::from(piece.commits.expand(end))));
        }
        if !piece.deleted.is_empty() {
            let predicate = FilterBuilder::new(&kept(piece)).optimize().build();
            columns = columns.iter().map(|column| predicate.filter(column)).collect::<Result<_, _>>()?;
        }
        let options = RecordBatchOptions::new().with_row_count(Some(len - piece.deleted.len()));
        let read = RecordBatch::try_new_with_options(Arc::clone(self.plan.read_schema()), columns, &options)?;
        self.plan.apply(&read)
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
