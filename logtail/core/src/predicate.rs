//! Predicates: which rows are wanted, by comparisons of columns with values, and by whether they have values.

mod select;
mod value;

pub use value::Value;

use std::cmp::Ordering;

use crate::ids::ColumnId;

/// Which rows are wanted: those of which all that it has holds. One that has nothing wants all rows.
///
/// [`Predicate::filter`] keeps those rows alone, and [`Term::may_hold`] tells by bounds where none are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Predicate {
    /// Comparisons, all of which are to hold.
    terms: Vec<Term>,
    /// Columns that are to have a value, or are to lack it.
    nulls: Vec<NullTest>,
    /// Of each of these lists, one predicate is to hold: of an empty one, none does.
    any: Vec<Vec<Predicate>>,
}

/// Whether a column lacks its value. It holds of each row or does not, also where a comparison does neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NullTest {
    /// The column, of any type.
    pub column: ColumnId,
    /// Whether the value is to be lacking, rather than there.
    pub is_null: bool,
}

/// A comparison of a column with a value. It does not hold of a row that lacks the column's value, whatever the
/// operator is, as in SQL.
///
/// Floats compare as IEEE 754 says: 0.0 equals -0.0, and of a value that is not a number only [`Op::NotEqual`] holds.
/// Integers and floats compare by value, neither rounded. Strings compare by their bytes in UTF-8.
#[derive(Clone, Debug, PartialEq)]
pub struct Term {
    /// The column.
    pub column: ColumnId,
    /// How it compares.
    pub op: Op,
    /// With what.
    pub value: Value,
}

/// A comparison: of the column, on the left, with the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "they are their names")]
pub enum Op {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Predicate {
    /// That all of these comparisons hold.
    pub fn all(terms: impl IntoIterator<Item = Term>) -> Self {
        Self { terms: terms.into_iter().collect(), ..Self::default() }
    }

    /// That one of these predicates holds: of none, none does.
    pub fn any(predicates: impl IntoIterator<Item = Self>) -> Self {
        Self { any: vec![predicates.into_iter().collect()], ..Self::default() }
    }

    /// That a column lacks its value, or has one.
    pub fn null(test: NullTest) -> Self {
        Self { nulls: vec![test], ..Self::default() }
    }

    /// That `other` holds too.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.terms.extend(other.terms);
        self.nulls.extend(other.nulls);
        self.any.extend(other.any);
        self
    }

    /// Comparisons, all of which are to hold.
    pub fn terms(&self) -> &[Term] {
        &self.terms
    }

    /// Columns that are to have a value, or are to lack it.
    pub fn nulls(&self) -> &[NullTest] {
        &self.nulls
    }

    /// Lists of predicates, of each of which one is to hold.
    pub fn alternatives(&self) -> impl Iterator<Item = &[Self]> {
        self.any.iter().map(Vec::as_slice)
    }

    /// Calls `visit` with each column that it asks for, once for each time.
    pub fn visit_columns(&self, visit: &mut impl FnMut(ColumnId)) {
        self.terms.iter().for_each(|term| visit(term.column));
        self.nulls.iter().for_each(|test| visit(test.column));
        self.any.iter().flatten().for_each(|own| own.visit_columns(visit));
    }

    /// Whether it may hold, where `term` and `null` say so of the comparisons and of the tests for null that it has.
    pub fn may_hold(&self, term: &mut impl FnMut(&Term) -> bool, null: &mut impl FnMut(&NullTest) -> bool) -> bool {
        self.terms.iter().all(&mut *term)
            && self.nulls.iter().all(&mut *null)
            && self.any.iter().all(|any| any.iter().any(|own| own.may_hold(term, null)))
    }
}

impl Term {
    /// Whether the comparison may hold of a value between `low` and `high`, both inclusive; `None` is no bound.
    ///
    /// Values that do not compare, as a number and a string, or not a number, may hold.
    pub fn may_hold(&self, low: Option<&Value>, high: Option<&Value>) -> bool {
        let low = low.and_then(|low| low.compare(&self.value));
        let high = high.and_then(|high| high.compare(&self.value));
        let (above, below) = (low == Some(Ordering::Greater), high == Some(Ordering::Less));
        match self.op {
            Op::Equal => !above && !below,
            Op::NotEqual => low != Some(Ordering::Equal) || high != Some(Ordering::Equal),
            Op::Less => low.is_none_or(Ordering::is_lt),
            Op::LessOrEqual => !above,
            Op::Greater => high.is_none_or(Ordering::is_gt),
            Op::GreaterOrEqual => !below,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_holds_nowhere_where_no_value_satisfies_it() {
        let ops = [Op::Equal, Op::NotEqual, Op::Less, Op::LessOrEqual, Op::Greater, Op::GreaterOrEqual];
        let holds = |op, value: i128, literal: i128| match op {
            Op::Equal => value == literal,
            Op::NotEqual => value != literal,
            Op::Less => value < literal,
            Op::LessOrEqual => value <= literal,
            Op::Greater => value > literal,
            Op::GreaterOrEqual => value >= literal,
        };
        for op in ops {
            for (low, high) in (0..5).flat_map(|low| (low..5).map(move |high| (low, high))) {
                for literal in -1..6 {
                    let term = Term { column: ColumnId(1), op, value: Value::Integer(literal) };
                    let expected = (low..=high).any(|value| holds(op, value, literal));
                    let (low, high) = (Value::Integer(low), Value::Integer(high));
                    assert_eq!(term.may_hold(Some(&low), Some(&high)), expected, "{op:?} {low:?} {high:?} {literal}");
                    assert!(
                        expected <= term.may_hold(None, Some(&high)) && expected <= term.may_hold(Some(&low), None)
                    );
                    assert!(term.may_hold(None, None));
                }
            }
        }
    }

    #[test]
    fn what_does_not_compare_may_hold() {
        let term = |value| Term { column: ColumnId(1), op: Op::Equal, value };
        let low = Value::Integer(5);
        assert!(term(Value::Bytes(b"1".to_vec())).may_hold(Some(&low), Some(&low)));
        assert!(term(Value::Float(f64::NAN)).may_hold(Some(&low), Some(&low)));
        assert!(!term(Value::Float(4.5)).may_hold(Some(&low), Some(&low)));
    }
}
