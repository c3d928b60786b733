//! Rows in memory, appended record by record.

use std::ops::Range;

use arrow_array::ArrayRef;
use arrow_schema::FieldRef;

use super::{
    column::Column,
    cursor::Cursor,
    error::{AppendError, SchemaError},
};

/// Growing columns, to which encoded rows are appended.
///
/// They lie in memory as in Arrow's arrays, so that a finished chunk becomes arrays without a copy.
#[derive(Debug)]
pub struct RowChunk {
    columns: Vec<Column>,
    rows: u32,
}

impl RowChunk {
    /// A chunk of these columns without rows.
    ///
    /// # Errors
    /// As [`check`](super::check).
    pub fn new(fields: &[FieldRef]) -> Result<Self, SchemaError> {
        if fields.is_empty() {
            return Err(SchemaError::NoColumns);
        }
        let columns = fields.iter().map(|field| Column::new(field, 1)).collect::<Result<_, _>>()?;
        Ok(Self { columns, rows: 0 })
    }

    /// Takes memory for about as many values as `other` has, which is of the same columns: what is appended then is
    /// not copied as the columns grow.
    pub(crate) fn reserve_like(&mut self, other: &Self) {
        self.columns.iter_mut().zip(&other.columns).for_each(|(column, other)| column.reserve_like(other));
    }

    /// Gives back the memory that is not used.
    pub(crate) fn shrink_to_fit(&mut self) {
        self.columns.iter_mut().for_each(Column::shrink_to_fit);
    }

    /// Appends the rows of a record that [`encode`](super::encode) made, and returns which rows of the chunk they are.
    ///
    /// Everything is checked: `encoded` may be any bytes. A row or an item of a list has a bit in each column at least,
    /// so memory is taken for no more than eight of them a byte.
    ///
    /// # Errors
    /// [`AppendError`]; the rows of the chunk are unchanged then.
    pub fn append(&mut self, encoded: &[u8]) -> Result<Range<u32>, AppendError> {
        let before = self.rows;
        match self.append_columns(encoded) {
            Ok(after) => {
                self.rows = after;
                Ok(before..after)
            }
            Err(error) => {
                self.columns.iter_mut().for_each(|column| column.truncate(before as usize));
                Err(error)
            }
        }
    }

    /// Appends to the columns, and returns the number of rows then.
    fn append_columns(&mut self, encoded: &[u8]) -> Result<u32, AppendError> {
        let mut from = Cursor::new(encoded);
        let rows = from.varint().map_err(AppendError::Count)?;
        for column in &mut self.columns {
            column.append(&mut from, rows, None)?;
        }
        if from.left() > 0 {
            return Err(AppendError::Trailing(from.left()));
        }
        let after = u32::try_from(rows).ok().and_then(|rows| self.rows.checked_add(rows));
        after.ok_or_else(|| AppendError::Full { column: self.columns.first().map_or("", Column::name).to_owned() })
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.rows as usize
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The bytes of memory that the columns hold, those not used yet included.
    pub fn allocated_bytes(&self) -> usize {
        self.columns.iter().map(Column::allocated_bytes).sum()
    }

    /// A copy of the given rows, as far as there are such; the chunk can grow on.
    pub fn columns(&self, rows: Range<usize>) -> Vec<ArrayRef> {
        let end = rows.end.min(self.len());
        let rows = rows.start.min(end)..end;
        self.columns.iter().map(|column| column.copy(&rows).into_array()).collect()
    }

    /// A copy of the given rows of the column at `at`, as far as there are such.
    pub fn column(&self, at: usize, rows: Range<usize>) -> Option<ArrayRef> {
        let end = rows.end.min(self.len());
        Some(self.columns.get(at)?.copy(&(rows.start.min(end)..end)).into_array())
    }

    /// Drops the rows from position `rows` on.
    pub fn truncate(&mut self, rows: usize) {
        self.columns.iter_mut().for_each(|column| column.truncate(rows));
        self.rows = self.rows.min(u32::try_from(rows).unwrap_or(u32::MAX));
    }

    /// All rows, without a copy.
    pub fn into_columns(self) -> Vec<ArrayRef> {
        self.columns.into_iter().map(Column::into_array).collect()
    }
}
