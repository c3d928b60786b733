//! `Projection`: the columns that a scan gives.

use super::error::ColumnError;
use crate::catalog::{Column, ColumnRef, TableSchema};

/// The columns that a scan gives: those of the table that are asked for, in the table's order, and then what the log
/// tail knows of rows.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Projection {
    /// The table's columns; `None` for all.
    pub columns: Option<Vec<ColumnRef>>,
    /// Adds `_rowset` (`UInt64`) and `_row` (`UInt32`), the places of the rows: the two parts of a
    /// [`RowId`](crate::RowId). A flush moves rows, and so they are for a transaction at the timestamp of the scan.
    pub row_ids: bool,
    /// Adds `_commit_ts`, when the rows were committed.
    pub commit_timestamps: bool,
}

impl Projection {
    /// These columns of the table, by their names or ids, and nothing else. The default are all of them.
    pub fn of<C: Into<ColumnRef>>(columns: impl IntoIterator<Item = C>) -> Self {
        Self { columns: Some(columns.into_iter().map(Into::into).collect()), ..Self::default() }
    }

    /// The columns of the table, in its order.
    pub(super) fn resolve<'a>(&self, schema: &'a TableSchema) -> Result<Vec<&'a Column>, ColumnError> {
        let Some(asked) = &self.columns else { return Ok(schema.columns().iter().collect()) };
        let asked = asked.iter().map(|column| find(schema, column)).collect::<Result<Vec<_>, _>>()?;
        Ok(schema.columns().iter().filter(|column| asked.contains(column)).collect())
    }
}

/// The column that is meant.
pub(super) fn find<'a>(schema: &'a TableSchema, column: &ColumnRef) -> Result<&'a Column, ColumnError> {
    schema.find(column).ok_or_else(|| ColumnError::Absent { table: schema.id(), column: column.clone() })
}
