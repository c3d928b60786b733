//! Predicates that skip blocks.

use std::cmp::Ordering;

use crate::ids::ColumnId;

/// A conjunction of comparisons of columns with values.
///
/// It says which rows are wanted. A scan may give others as well, as it leaves out whole blocks only, but never lacks a
/// wanted one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Predicate {
    /// All of these are to hold. None: all rows are wanted.
    pub terms: Vec<Term>,
}

/// A comparison of a column with a value. It does not hold of a row that lacks the column's value.
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

/// A value that columns are compared with, of their types in the table's schema.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// Of a boolean.
    Boolean(bool),
    /// Of an integer; of a decimal, unscaled; of a date, a time, a timestamp or a duration, in its unit.
    Integer(i128),
    /// Of a float.
    Float(f64),
    /// Of a string, in UTF-8, or a binary.
    Bytes(Vec<u8>),
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

impl Value {
    /// The order of the two; numbers compare by value, exactly. `None` where they do not compare.
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Boolean(one), Self::Boolean(other)) => Some(one.cmp(other)),
            (Self::Integer(one), Self::Integer(other)) => Some(one.cmp(other)),
            (Self::Float(one), Self::Float(other)) => one.partial_cmp(other),
            (Self::Integer(one), Self::Float(other)) => compare(*one, *other),
            (Self::Float(one), Self::Integer(other)) => compare(*other, *one).map(Ordering::reverse),
            (Self::Bytes(one), Self::Bytes(other)) => Some(one.cmp(other)),
            _ => None,
        }
    }
}

/// The order of an integer and a float, without rounding either.
fn compare(integer: i128, float: f64) -> Option<Ordering> {
    const END: f64 = 170_141_183_460_469_231_731_687_303_715_884_105_728.0; // 2^127
    if float.is_nan() {
        return None;
    }
    if float >= END {
        return Some(Ordering::Less);
    }
    if float < -END {
        return Some(Ordering::Greater);
    }
    #[expect(clippy::cast_possible_truncation, reason = "whole, and within the bounds that were just checked")]
    let whole = float.trunc() as i128;
    Some(integer.cmp(&whole).then_with(|| 0.0_f64.total_cmp(&(float.fract() + 0.0))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_and_floats_compare_without_rounding() {
        let integer = |value| Value::Integer(value);
        let check = |one: i128, other: f64, expected| {
            assert_eq!(integer(one).compare(&Value::Float(other)), expected, "{one} {other}");
            assert_eq!(Value::Float(other).compare(&integer(one)), expected.map(Ordering::reverse), "{other} {one}");
        };
        check(1, 1.5, Some(Ordering::Less));
        check(-1, -1.5, Some(Ordering::Greater));
        check(0, -0.0, Some(Ordering::Equal));
        check(0, -0.5, Some(Ordering::Greater));
        check((1 << 53) + 1, 9_007_199_254_740_992.0, Some(Ordering::Greater));
        check(i128::MAX, f64::INFINITY, Some(Ordering::Less));
        check(i128::MAX, 2.0_f64.powi(127), Some(Ordering::Less));
        check(i128::MIN, -(2.0_f64.powi(127)), Some(Ordering::Equal));
        check(i128::MIN, f64::NEG_INFINITY, Some(Ordering::Greater));
        check(0, f64::NAN, None);
    }

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
