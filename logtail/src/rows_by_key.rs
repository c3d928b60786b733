//! `RowsByKey`: the rows with certain keys at a timestamp.

use std::{collections::BTreeMap, sync::Arc};

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt64Array};
use arrow_schema::SchemaRef;
use arrow_select::{concat::concat_batches, take::take_record_batch};
use logboom_logtail_blocks::{ScanBlock, ScanRequest};
use logboom_logtail_core::{
    RowId, RowsetId, TableId,
    block_meta::BlockMeta,
    catalog::TableSchema,
    key::Keys,
    scan::{ScanPlan, read_rows},
    state::OpenSnapshot,
    table::{Object, Version},
    transaction::OperationError,
};

use crate::{
    error::{Error, Result},
    lookup::find_rows,
    object_rows::ObjectRows,
    shared::Shared,
};

/// The rows with certain keys, as [`Tail::get`](crate::Tail::get) gives them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RowsByKey {
    /// The rows, in the order of their keys. Keys that are not there have none; of a key that was given twice there are
    /// two.
    pub rows: RecordBatch,
    /// By the number of the key, from 0: the number of its row in `rows`, if it has one.
    pub positions: Vec<Option<usize>>,
}

impl RowsByKey {
    /// The row of the key of this number, from 0, as a batch of one row; `None` where there is none.
    pub fn row(&self, key: usize) -> Option<RecordBatch> {
        let position = *self.positions.get(key)?;
        position.map(|position| self.rows.slice(position, 1))
    }
}

/// The keys in the encoded form.
pub(crate) fn encode_keys(table: TableId, schema: &TableSchema, keys: &[ArrayRef]) -> Result<Keys> {
    let key = schema.key_columns().ok_or(OperationError::NoKey(table))?;
    Ok(key.encoder().encode(keys).map_err(|source| OperationError::Key { table, source })?)
}

/// Reads the rows with these keys.
pub(crate) fn get(
    shared: &Shared,
    snapshot: &OpenSnapshot,
    version: &Version,
    schema: &TableSchema,
    plan: &Arc<ScanPlan>,
    keys: &Keys,
) -> Result<RowsByKey> {
    let found = find_rows(&shared.store, version, schema, keys.iter(), snapshot.timestamp())?;
    let mut by_rowset: BTreeMap<RowsetId, Vec<u32>> = BTreeMap::new();
    for row in found.iter().flatten() {
        by_rowset.entry(row.rowset).or_default().push(row.row);
    }
    let (mut batches, mut places, mut next) = (Vec::new(), BTreeMap::new(), 0_u64);
    let mut add = |rowset: RowsetId, rows: &[u32], read: Vec<RecordBatch>| {
        batches.extend(read);
        for row in rows {
            places.insert(RowId { rowset, row: *row }, next);
            next += 1;
        }
    };
    for (rowset, mut rows) in by_rowset {
        rows.sort_unstable();
        rows.dedup();
        let read = match version.objects().iter().find(|object| object.rowset() == rowset) {
            Some(object) => read_object(shared, object, plan, &rows)?,
            None => read_rows(version, plan, rowset, &rows)?,
        };
        if read.iter().map(RecordBatch::num_rows).sum::<usize>() != rows.len() {
            return Err(Error::Bug(format!("rows {rows:?} of rowset {rowset} were found and cannot be read")));
        }
        add(rowset, &rows, read);
    }
    let all = concat_batches(plan.schema(), &batches)?;
    let mut positions = Vec::with_capacity(found.len());
    let mut taken = Vec::new();
    for row in found {
        let place = row.and_then(|row| places.get(&row).copied());
        positions.push(place.map(|_| taken.len()));
        taken.extend(place);
    }
    // A projection may have no columns: who asks wants to know which keys there are.
    let rows = if all.num_columns() == 0 {
        let options = RecordBatchOptions::new().with_row_count(Some(taken.len()));
        RecordBatch::try_new_with_options(SchemaRef::clone(plan.schema()), Vec::new(), &options)?
    } else {
        take_record_batch(&all, &UInt64Array::from(taken))?
    };
    Ok(RowsByKey { rows, positions })
}

/// These rows of an object, which are rising: of each block what is asked for of its columns.
fn read_object(shared: &Shared, object: &Arc<Object>, plan: &Arc<ScanPlan>, rows: &[u32]) -> Result<Vec<RecordBatch>> {
    let mut request = ScanRequest::new(plan.table_schema(), []);
    for (number, block) in object.meta().blocks.iter().enumerate() {
        let wanted = rows_of_block(block, rows);
        if !wanted.is_empty() {
            let left_out = block.row_range().filter(|row| wanted.binary_search(row).is_err()).collect();
            request.blocks.push(ScanBlock { number, left_out });
        }
    }
    let mut reader = ObjectRows::new(object, plan, request);
    let mut read = Vec::new();
    while let Some(batch) = reader.next(&shared.store)? {
        read.push(batch);
    }
    Ok(read)
}

fn rows_of_block<'a>(block: &BlockMeta, rows: &'a [u32]) -> &'a [u32] {
    let range = block.row_range();
    let at = |row: u32| rows.partition_point(|other| *other < row);
    rows.get(at(range.start)..at(range.end)).unwrap_or_default()
}
