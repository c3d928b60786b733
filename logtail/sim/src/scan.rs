//! Scans and gets of a tail, as rows of the model.

use arrow_array::{
    ArrayRef, RecordBatch,
    cast::AsArray,
    types::{Int64Type, UInt32Type, UInt64Type},
};
use logboom_logtail::{ColumnId, Error, Filter, Projection, RowId, RowsetId, ScanOptions, TableId, Tail, Timestamp};

use crate::{rows, value::Value};

/// A row that a scan gave.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) values: Vec<Value>,
    pub(crate) place: RowId,
    pub(crate) committed: Timestamp,
}

/// The rows of a table at a timestamp that satisfy a filter: of the columns that are asked for, or of all.
pub(crate) fn scan(
    tail: &Tail,
    table: u64,
    at: Timestamp,
    columns: Option<Vec<ColumnId>>,
    filter: Filter,
) -> Result<Vec<Seen>, Error> {
    let mut options = ScanOptions::from(filter);
    options.projection = projection();
    options.projection.columns = columns.map(|columns| columns.into_iter().map(Into::into).collect());
    let mut seen = Vec::new();
    for batch in tail.scan(TableId(table), at, options)? {
        seen.extend(rows_of(&batch?));
    }
    Ok(seen)
}

/// The rows of a table with these keys at a timestamp, by key.
pub(crate) fn get(tail: &Tail, table: u64, at: Timestamp, keys: &[ArrayRef]) -> Result<Vec<Option<Seen>>, Error> {
    let found = tail.get(TableId(table), at, keys, &projection())?;
    let rows = rows_of(&found.rows);
    Ok(found.positions.iter().map(|position| rows.get((*position)?).cloned()).collect())
}

/// All columns, the places of rows and their timestamps.
fn projection() -> Projection {
    let mut projection = Projection::default();
    (projection.row_ids, projection.commit_timestamps) = (true, true);
    projection
}

/// The rows of a batch, whose last columns are places and timestamps.
///
/// # Panics
/// Where those or values are of other types than the tail promises.
fn rows_of(batch: &RecordBatch) -> Vec<Seen> {
    let values = rows::read(batch, batch.num_columns() - 3).expect("the columns are of the simulation's types");
    let rowsets = batch["_rowset"].as_primitive::<UInt64Type>().values();
    let positions = batch["_row"].as_primitive::<UInt32Type>().values();
    let committed = batch["_commit_ts"].as_primitive::<Int64Type>().values();
    let places = rowsets.iter().zip(positions).map(|(rowset, row)| RowId { rowset: RowsetId(*rowset), row: *row });
    let seen = values.into_iter().zip(places).zip(committed);
    seen.map(|((values, place), committed)| {
        let committed = Timestamp::from_i64(*committed).expect("timestamps are not negative");
        Seen { values, place, committed }
    })
    .collect()
}
