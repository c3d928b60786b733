//! `Filter`: the rows that a scan gives.

use super::{
    error::{ColumnError, ScanError},
    projection::find,
};
use crate::{
    catalog::{ColumnRef, TableSchema},
    predicate::{NullTest, Op, Predicate, Term, Value},
};

/// The rows that a scan gives, by comparisons of columns with values and by whether they have values. The default are
/// all rows.
///
/// A comparison does not hold of a row that lacks the column's value; [`Term`] says how values compare, and
/// [`Value`] which Rust types they are made of.
///
/// ```
/// use logboom_logtail_core::{predicate::Op, scan::Filter};
///
/// let open = Filter::is_null("shipped").and(Filter::new("price", Op::Greater, 100));
/// let wanted = open.or(Filter::new("buyer", Op::Equal, "ada")); // whether shipped or not
/// let two = wanted.and(Filter::any([4, 7].map(|id| Filter::new("id", Op::Equal, id))));
/// # drop(two);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    /// All of these hold.
    conditions: Vec<Condition>,
    /// The most unions, one in the other, that it has.
    depth: usize,
}

/// The most unions, one in the other, that a filter has: what looks at one, and drops it, calls itself for each.
const DEPTH_MAX: usize = 100;

#[derive(Clone, Debug, PartialEq)]
enum Condition {
    Compares(ColumnRef, Op, Value),
    IsNull(ColumnRef, bool),
    /// One of these holds, at least.
    Any(Vec<Filter>),
    /// In place of more unions than may be in each other.
    TooDeep,
}

impl Filter {
    /// The rows whose `column`, by its name or id, compares with `value` like this.
    pub fn new(column: impl Into<ColumnRef>, op: Op, value: impl Into<Value>) -> Self {
        Self::of(Condition::Compares(column.into(), op, value.into()))
    }

    /// The rows that lack the value of `column`.
    pub fn is_null(column: impl Into<ColumnRef>) -> Self {
        Self::of(Condition::IsNull(column.into(), true))
    }

    /// The rows that have a value of `column`.
    pub fn is_not_null(column: impl Into<ColumnRef>) -> Self {
        Self::of(Condition::IsNull(column.into(), false))
    }

    /// The rows that one at least of `filters` gives: none if there is no filter. A union in an intersection in a
    /// union, and so on, is resolved up to 100 of them deep; a union of any number of filters counts as one.
    pub fn any(filters: impl IntoIterator<Item = Self>) -> Self {
        let (mut any, mut depth) = (Vec::new(), 1);
        for filter in filters {
            if filter.conditions.is_empty() {
                return Self::default();
            }
            depth = depth.max(filter.depth_of_union());
            any.extend(filter.alternatives());
        }
        if depth > DEPTH_MAX {
            return Self::of(Condition::TooDeep);
        }
        Self { conditions: vec![Condition::Any(any)], depth }
    }

    /// Those of the rows that `other` gives too.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.conditions.extend(other.conditions);
        self.depth = self.depth.max(other.depth);
        self
    }

    /// The rows, and those that `other` gives: see [`Filter::any`].
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self::any([self, other])
    }

    /// The same by the ids of the columns of a table.
    ///
    /// # Errors
    /// [`ScanError`]: a column that the table does not have, a value of another type than the column's, or too many
    /// unions in each other.
    pub fn resolve(&self, schema: &TableSchema) -> Result<Predicate, ScanError> {
        let mut predicate = Predicate::default();
        for condition in &self.conditions {
            predicate = predicate.and(match condition {
                Condition::Compares(column, op, value) => Predicate::all([term(schema, column, *op, value)?]),
                Condition::IsNull(column, is_null) => {
                    Predicate::null(NullTest { column: find(schema, column)?.id, is_null: *is_null })
                }
                Condition::Any(any) => {
                    let any = any.iter().map(|own| own.resolve(schema)).collect::<Result<Vec<_>, _>>()?;
                    Predicate::any(any)
                }
                Condition::TooDeep => return Err(ScanError::FilterTooDeep { max: DEPTH_MAX }),
            });
        }
        Ok(predicate)
    }

    fn of(condition: Condition) -> Self {
        Self { conditions: vec![condition], depth: 0 }
    }

    /// The depth of a union of it with others.
    fn depth_of_union(&self) -> usize {
        if matches!(*self.conditions, [Condition::Any(_)]) { self.depth } else { self.depth + 1 }
    }

    /// The filters of which it is the union.
    fn alternatives(mut self) -> Vec<Self> {
        match (self.conditions.pop(), self.conditions.is_empty()) {
            (Some(Condition::Any(any)), true) => any,
            (last, _) => {
                self.conditions.extend(last);
                vec![self]
            }
        }
    }
}

fn term(schema: &TableSchema, column: &ColumnRef, op: Op, value: &Value) -> Result<Term, ColumnError> {
    let column = find(schema, column)?;
    if !value.is_comparable(&column.data_type) {
        let (name, data_type) = (column.name.clone(), column.data_type.clone());
        return Err(ColumnError::Incomparable { column: name, data_type, value: value.clone() });
    }
    Ok(Term { column: column.id, op, value: value.clone() })
}
