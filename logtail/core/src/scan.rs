//! Scans: what they give, and those of the rows that are in memory.

mod error;
mod filter;
mod plan;
mod projection;
mod rows;

pub use error::{ColumnError, ScanError};
pub use filter::Filter;
pub use plan::ScanPlan;
pub use projection::Projection;
pub use rows::read_rows;

use std::{collections::VecDeque, sync::Arc};

use arrow_array::RecordBatch;
use arrow_schema::ArrowError;

use rows::StoredColumns;

use crate::{
    table::{Memtable, Version},
    timestamp::Timestamp,
};

/// The most rows of a batch.
pub const BATCH_ROWS: usize = 8192;

/// Batches of the wanted rows of a table that are in memory and visible at a timestamp, at most [`BATCH_ROWS`] each, in
/// the order of their commits.
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
            let columns = StoredColumns::new(&self.plan, memtable);
            let Some(piece) = memtable.read(self.next, self.timestamp, &columns.stored) else {
                self.memtables.pop_front();
                self.next = 0;
                continue;
            };
            self.next = piece.first + piece.len;
            let batch = columns.batch(&self.plan, memtable, &piece)?;
            let step = |start| batch.slice(start, BATCH_ROWS.min(batch.num_rows() - start));
            self.batches.extend((0..batch.num_rows()).step_by(BATCH_ROWS).map(step));
            return Ok(true);
        }
        Ok(false)
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
