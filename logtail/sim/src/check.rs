//! The invariants by name, and the comparison of a tail with the model.

use std::sync::Arc;

use logboom_logtail::{ColumnId, Error, Filter, Object, TableId, Tail, Timestamp};
use logboom_sim::{Choices, Failure};
use logboom_wal::marks;

use crate::{
    catalog::Catalog,
    model::Model,
    rows::shown,
    scan::{Seen, scan},
    value::Value,
};

/// The invariants of a log tail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// A tail opens after any crash.
    Opens,
    /// Each opening has an epoch of its own, above those before it, and its record is durable when it serves.
    Epochs,
    /// What was acknowledged or seen is there after a crash. All else is there up to some transaction.
    Kept,
    /// At each timestamp between horizon and watermark, scans and the catalog are those of the model.
    Visible,
    /// Nobody sees what is not durable, or reads above the watermark.
    Durable,
    /// Timestamps rise, none is given twice, and they stay near the wall clock.
    Timestamps,
    /// A transaction commits if and only if nobody wrote what it writes, or changed its tables, since its snapshot.
    Conflicts,
    /// An operation is refused if and only if it does not fit the table, or the transaction.
    Operations,
    /// A transaction with a client's id that was committed before is not repeated.
    Retries,
    /// The catalog changes as asked, or refuses to; no number is given twice.
    Changes,
    /// A flush succeeds while the engine serves, whatever the store does.
    Flushes,
    /// The log has the records that were proposed, and no others.
    Logged,
    /// A tail serves while its engine does and nobody has replaced it; it does not afterwards.
    Serves,
}

/// Compares everything at a timestamp, which is not above the watermark.
///
/// # Errors
/// [`Check::Visible`].
pub(crate) fn compare(tail: &Tail, model: &Model, at: Timestamp) -> Result<(), Failure> {
    compare_catalog(tail, model, at)?;
    model.tables().into_iter().try_for_each(|table| compare_rows(tail, model, table, at, None))
}

/// Compares some columns of a table at a timestamp.
///
/// # Errors
/// [`Check::Visible`].
pub(crate) fn compare_some(tail: &Tail, model: &Model, at: Timestamp, choices: &mut Choices) -> Result<(), Failure> {
    let tables: Vec<u64> = model.tables().into_iter().collect();
    let Some(table) = tables.get(choices.size(tables.len())) else { return Ok(()) };
    let schema = model.catalog(at).tables.get(table);
    let columns = schema.into_iter().flat_map(|schema| &schema.columns).map(|column| ColumnId(column.id));
    let columns = columns.filter(|_| choices.percent(50)).collect();
    compare_rows(tail, model, *table, at, Some(columns))
}

fn compare_catalog(tail: &Tail, model: &Model, at: Timestamp) -> Result<(), Failure> {
    let ours = &**model.catalog(at);
    let theirs = match tail.catalog(at) {
        Ok(catalog) => Catalog::of(&catalog),
        Err(error) => return visible(at, format_args!("the catalog cannot be read: {error}")),
    };
    if theirs.as_ref() == Some(ours) {
        return Ok(());
    }
    visible(at, format_args!("the catalog is {theirs:?} instead of {ours:?}"))
}

fn compare_rows(
    tail: &Tail,
    model: &Model,
    table: u64,
    at: Timestamp,
    columns: Option<Vec<ColumnId>>,
) -> Result<(), Failure> {
    let is_asked = |id: i32| columns.as_ref().is_none_or(|columns| columns.contains(&ColumnId(id)));
    let schema = model.catalog(at).tables.get(&table);
    let ours =
        schema.map(|schema| {
            let asked: Vec<bool> = schema.columns.iter().map(|column| is_asked(column.id)).collect();
            let of_row = |values: Vec<Value>| values.into_iter().zip(&asked).filter(|(_, is_asked)| **is_asked);
            let live = model.rows(table).live(at);
            sorted(live.map(|version| {
                (of_row(shown(schema, &version.row)).map(|(value, _)| value).collect(), version.committed)
            }))
        });
    mark_places(tail, table, at);
    let theirs = match scan(tail, table, at, columns, Filter::default()) {
        Ok(rows) => Some(sorted(rows.into_iter().map(|Seen { values, committed, .. }| (values, committed)))),
        Err(Error::NoTable { .. }) => None,
        Err(Error::Store(_)) => {
            marks::hit("store: a read is given up");
            return Ok(());
        }
        Err(error) => return visible(at, format_args!("table {table} cannot be read: {error}")),
    };
    if theirs == ours {
        return Ok(());
    }
    visible(at, format_args!("table {table} has {theirs:?} instead of {ours:?}"))
}

/// Marks where the rows of a table are.
fn mark_places(tail: &Tail, table: u64, at: Timestamp) {
    let Some(version) = tail.version(TableId(table)) else { return };
    let (objects, memtables) = (version.objects(), version.memtables());
    marks::hit_if(!objects.is_empty() && !memtables.is_empty(), "scan: rows are in objects and in memory");
    let before = objects.iter().any(|object| object.flushed_at() > at);
    marks::hit_if(before, "scan: at a timestamp before a flush");
    let persisted = objects.iter().any(|object| !object.tombstones().is_empty());
    marks::hit_if(persisted, "scan: deleted rows have tombstones");
    let both = |object: &Arc<Object>| object.dirty_blocks().into_iter().any(|at| object.tombstones_of(at).is_some());
    marks::hit_if(objects.iter().any(both), "scan: a block has deletes in memory and tombstones");
    let copied = memtables.iter().any(|memtable| memtable.copied() > Timestamp::ZERO);
    marks::hit_if(copied, "scan: rows in memory are in a checkpoint");
    let schemas = memtables.windows(2).any(|pair| pair[0].schema().version() != pair[1].schema().version());
    marks::hit_if(schemas, "scan: rows in memory are of several schemas");
}

fn sorted(rows: impl Iterator<Item = (Vec<Value>, Timestamp)>) -> Vec<(Vec<Value>, Timestamp)> {
    let mut rows: Vec<_> = rows.collect();
    rows.sort();
    rows
}

pub(crate) fn visible(at: Timestamp, what: std::fmt::Arguments<'_>) -> Result<(), Failure> {
    Err(Failure::new(Check::Visible, format!("at {at}: {what}")))
}
