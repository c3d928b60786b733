//! `Rows`: every version of the rows that a table ever had.

use std::{collections::BTreeMap, sync::Arc};

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, Field, Schema};
use logboom_logtail::Timestamp;

use crate::{
    catalog::Table,
    value::{self, Value},
};

/// A row: values by the numbers of their columns.
pub(crate) type Row = BTreeMap<i32, Value>;

/// The values of a key's columns.
pub(crate) type Key = Vec<Value>;

/// The versions of a table's rows, in the order of their commits.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rows(Vec<Version>);

#[derive(Clone, Debug)]
pub(crate) struct Version {
    pub(crate) row: Row,
    pub(crate) committed: Timestamp,
    pub(crate) deleted: Option<Timestamp>,
}

impl Version {
    pub(crate) fn is_live(&self, at: Timestamp) -> bool {
        self.committed <= at && self.deleted.is_none_or(|deleted| at < deleted)
    }

    fn has_key(&self, table: &Table, key: &Key) -> bool {
        table.key.iter().zip(key).all(|(column, value)| self.row.get(column) == Some(value))
    }
}

impl Rows {
    pub(crate) const fn none() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn insert(&mut self, row: Row, committed: Timestamp) {
        self.0.push(Version { row, committed, deleted: None });
    }

    /// Deletes the row that is live and `is_it`, if there is one.
    pub(crate) fn delete(&mut self, at: Timestamp, is_it: impl Fn(&Version) -> bool) {
        let live = self.0.iter_mut().find(|version| version.deleted.is_none() && is_it(version));
        if let Some(version) = live {
            version.deleted = Some(at);
        }
    }

    pub(crate) fn delete_key(&mut self, table: &Table, key: &Key, at: Timestamp) {
        self.delete(at, |version| version.has_key(table, key));
    }

    /// The version with a key that is live at a timestamp.
    pub(crate) fn find(&self, table: &Table, key: &Key, at: Timestamp) -> Option<&Version> {
        self.0.iter().find(|version| version.is_live(at) && version.has_key(table, key))
    }

    /// Whether a key was written or deleted after a timestamp.
    pub(crate) fn is_written_after(&self, table: &Table, key: &Key, at: Timestamp) -> bool {
        let after = |version: &Version| version.committed > at || version.deleted.is_some_and(|deleted| deleted > at);
        self.0.iter().any(|version| after(version) && version.has_key(table, key))
    }

    pub(crate) fn live(&self, at: Timestamp) -> impl Iterator<Item = &Version> {
        self.0.iter().filter(move |version| version.is_live(at))
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Version> {
        self.0.iter()
    }

    /// Forgets all that was done after a timestamp.
    pub(crate) fn lose_after(&mut self, at: Timestamp) {
        self.0.retain(|version| version.committed <= at);
        for version in &mut self.0 {
            version.deleted = version.deleted.filter(|deleted| *deleted <= at);
        }
    }
}

/// The values that a table shows of a row: columns that were added after it are null, dropped ones left out.
pub(crate) fn shown(table: &Table, row: &Row) -> Vec<Value> {
    table.columns.iter().map(|column| row.get(&column.id).cloned().unwrap_or(Value::Null)).collect()
}

/// Rows as a batch of the table's columns.
pub(crate) fn batch(table: &Table, rows: &[Row]) -> Result<RecordBatch, ArrowError> {
    let fields = table.columns.iter().map(|column| Field::new(&column.name, column.kind.data_type(), column.nullable));
    let columns = table
        .columns
        .iter()
        .map(|column| column.kind.array(rows.iter().map(|row| row.get(&column.id).unwrap_or(&Value::Null))));
    RecordBatch::try_new(Arc::new(Schema::new(fields.collect::<Vec<_>>())), columns.collect())
}

/// Keys as arrays of the key's columns.
pub(crate) fn key_arrays(table: &Table, keys: &[Key]) -> Vec<ArrayRef> {
    let columns = table.key_columns().enumerate();
    columns.map(|(at, column)| column.kind.array(keys.iter().filter_map(|key| key.get(at)))).collect()
}

/// The first `columns` values of the rows of a batch; `None` where one has a type that simulated tables do not have.
pub(crate) fn read(batch: &RecordBatch, columns: usize) -> Option<Vec<Vec<Value>>> {
    let values = |row| batch.columns().iter().take(columns).map(|column| value::read(column, row)).collect();
    (0..batch.num_rows()).map(values).collect()
}
