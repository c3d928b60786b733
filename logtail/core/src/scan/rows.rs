//! Rows in memory by their places.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions, UInt32Array, UInt64Array, new_null_array,
};
use arrow_buffer::BooleanBufferBuilder;
use arrow_schema::ArrowError;
use arrow_select::filter::FilterBuilder;

use super::plan::ScanPlan;
use crate::{
    ids::RowsetId,
    table::{Memtable, Piece, Version},
    widening::widen,
};

/// What the plan gives of these rows of a memtable, in their order. Rows that are not there, or that the plan does not
/// want, are left out.
///
/// # Errors
/// Those of Arrow.
pub fn read_rows(
    version: &Version,
    plan: &ScanPlan,
    memtable: RowsetId,
    rows: &[u32],
) -> Result<Vec<RecordBatch>, ArrowError> {
    let Some(memtable) = version.memtable(memtable) else { return Ok(Vec::new()) };
    let columns = StoredColumns::new(plan, memtable);
    let pieces = rows.iter().filter_map(|row| memtable.read_row(*row, &columns.stored));
    pieces.map(|piece| columns.batch(plan, memtable, &piece)).collect()
}

/// The columns of a plan that a memtable has.
pub(super) struct StoredColumns {
    /// By the plan's column, where the memtable has it.
    positions: Vec<Option<usize>>,
    /// Those that it has.
    pub(super) stored: Vec<usize>,
}

impl StoredColumns {
    pub(super) fn new(plan: &ScanPlan, memtable: &Memtable) -> Self {
        let positions = plan.columns().iter().map(|column| memtable.schema().position(column.id));
        let positions: Vec<_> = positions.collect();
        Self { stored: positions.iter().flatten().copied().collect(), positions }
    }

    /// The rows of a piece of the memtable, read with these columns, that are wanted and not deleted.
    pub(super) fn batch(&self, plan: &ScanPlan, memtable: &Memtable, piece: &Piece) -> Result<RecordBatch, ArrowError> {
        let len = piece.len as usize;
        let mut stored = piece.columns.iter();
        let mut columns = Vec::with_capacity(plan.read_schema().fields().len());
        for (column, position) in plan.columns().iter().zip(&self.positions) {
            let array = position.and_then(|_| stored.next()).and_then(|array| widen(array, &column.data_type));
            columns.push(array.unwrap_or_else(|| new_null_array(&column.data_type, len)));
        }
        let end = piece.first + piece.len;
        if plan.row_ids() {
            columns.push(Arc::new(UInt64Array::from_value(memtable.id().0, len)) as ArrayRef);
            columns.push(Arc::new(UInt32Array::from_iter_values(piece.first..end)));
        }
        if plan.commit_timestamps() {
            columns.push(Arc::new(Int64Array::from(piece.commits.expand(end))));
        }
        if !piece.deleted.is_empty() {
            let predicate = FilterBuilder::new(&kept(piece)).optimize().build();
            columns = columns.iter().map(|column| predicate.filter(column)).collect::<Result<_, _>>()?;
        }
        let options = RecordBatchOptions::new().with_row_count(Some(len - piece.deleted.len()));
        let read = RecordBatch::try_new_with_options(Arc::clone(plan.read_schema()), columns, &options)?;
        plan.apply(&read)
    }
}

/// The rows of a piece that are not deleted, as a filter.
fn kept(piece: &Piece) -> BooleanArray {
    let mut kept = BooleanBufferBuilder::new(piece.len as usize);
    kept.append_n(piece.len as usize, true);
    piece.deleted.iter().for_each(|row| kept.set_bit((row - piece.first) as usize, false));
    BooleanArray::new(kept.finish(), None)
}
