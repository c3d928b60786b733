//! `Value`: what columns are compared with.

use std::{cmp::Ordering, fmt};

use arrow_schema::DataType;

/// A value that columns are compared with, of their types in the table's schema. It is made `from` Rust's own types.
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

    /// Whether columns of this type are compared with it. Integers and floats are with each other; decimals, dates,
    /// times, timestamps and durations with integers alone, as these are unscaled; nested types with nothing.
    pub fn is_comparable(&self, data_type: &DataType) -> bool {
        use DataType as T;
        match data_type {
            T::Boolean => matches!(self, Self::Boolean(_)),
            T::Float16 | T::Float32 | T::Float64 => matches!(self, Self::Integer(_) | Self::Float(_)),
            number if number.is_integer() => matches!(self, Self::Integer(_) | Self::Float(_)),
            T::Decimal128(..) | T::Decimal256(..) | T::Date32 | T::Date64 => matches!(self, Self::Integer(_)),
            T::Time32(_) | T::Time64(_) | T::Timestamp(..) | T::Duration(_) => matches!(self, Self::Integer(_)),
            T::Utf8 | T::LargeUtf8 | T::Binary | T::LargeBinary | T::FixedSizeBinary(_) => {
                matches!(self, Self::Bytes(_))
            }
            _ => false,
        }
    }
}

/// The kind of the value, not itself: `an integer`.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Boolean(_) => "a boolean",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Bytes(_) => "a string or binary",
        })
    }
}

macro_rules! from {
    ($($variant:ident: $($type:ty),+;)+) => {
        $($(
            impl From<$type> for Value {
                fn from(value: $type) -> Self {
                    Self::$variant(value.into())
                }
            }
        )+)+
    };
}

from! {
    Boolean: bool;
    Integer: i8, i16, i32, i64, i128, u8, u16, u32, u64;
    Float: f32, f64;
    Bytes: &str, String, &[u8], Vec<u8>;
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
}
