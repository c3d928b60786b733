//! `Filter`: the rows that a scan gives.

use super::{error::ColumnError, projection::find};
use crate::{
    catalog::{ColumnRef, TableSchema},
    predicate::{Op, Predicate, Term, Value},
};

/// The rows that a scan gives: those of which all comparisons of a column with a value hold. The default are all rows.
///
/// A comparison does not hold of a row that lacks the column's value; [`Term`] says how values compare, and
/// [`Value`] which Rust types they are made of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    comparisons: Vec<(ColumnRef, Op, Value)>,
}

impl Filter {
    /// The rows whose `column`, by its name or id, compares with `value` like this.
    pub fn new(column: impl Into<ColumnRef>, op: Op, value: impl Into<Value>) -> Self {
        Self::default().and(column, op, value)
    }

    /// Those of the rows whose `column` compares with `value` like this.
    #[must_use]
    pub fn and(mut self, column: impl Into<ColumnRef>, op: Op, value: impl Into<Value>) -> Self {
        self.comparisons.push((column.into(), op, value.into()));
        self
    }

    /// The same by the ids of the columns of a table.
    ///
    /// # Errors
    /// [`ColumnError`]: a column that the table does not have, or a value of another type than the column's.
    pub fn resolve(&self, schema: &TableSchema) -> Result<Predicate, ColumnError> {
        let term = |(column, op, value): &(ColumnRef, Op, Value)| {
            let column = find(schema, column)?;
            if !value.is_comparable(&column.data_type) {
                let (name, data_type) = (column.name.clone(), column.data_type.clone());
                return Err(ColumnError::Incomparable { column: name, data_type, value: value.clone() });
            }
            Ok(Term { column: column.id, op: *op, value: value.clone() })
        };
        Ok(Predicate { terms: self.comparisons.iter().map(term).collect::<Result<_, _>>()? })
    }
}
