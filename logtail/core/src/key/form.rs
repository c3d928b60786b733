//! How values of a column's type stand in a key.

use arrow_array::Array;
use arrow_buffer::BooleanBuffer;
use arrow_schema::DataType;

use crate::{
    physical::{Offsets, Physical, width},
    predicate::Value,
};

/// Ends an escaped value; below all bytes that one has.
pub(super) const END: u8 = 0;

/// Stands before a byte of a value that is not above it: such a byte is written as `ESCAPE` and itself plus one.
pub(super) const ESCAPE: u8 = 1;

/// The form of a column's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A byte, 0 or 1.
    Boolean,
    /// Big-endian; `sign` has the bit that is flipped in the first byte, so that negative numbers come first.
    Number { width: usize, sign: u8 },
    /// As it is.
    Plain { width: usize },
    /// Without a 0, and a 0 behind it.
    Escaped,
}

impl Form {
    /// The form of a type's values; `None` for types that keys do not have.
    pub(super) fn of(data_type: &DataType) -> Option<Self> {
        use DataType as T;
        let sign = match data_type {
            T::Boolean => return Some(Self::Boolean),
            T::Utf8 | T::LargeUtf8 | T::Binary | T::LargeBinary => return Some(Self::Escaped),
            T::FixedSizeBinary(_) => {
                return width(data_type).filter(|width| *width > 0).map(|width| Self::Plain { width });
            }
            T::UInt8 | T::UInt16 | T::UInt32 | T::UInt64 => 0,
            T::Int8 | T::Int16 | T::Int32 | T::Int64 | T::Decimal128(..) | T::Decimal256(..) => 0x80,
            T::Date32 | T::Date64 | T::Time32(_) | T::Time64(_) | T::Timestamp(..) | T::Duration(_) => 0x80,
            _ => return None,
        };
        Some(Self::Number { width: width(data_type)?, sign })
    }

    /// Appends a value that a column of this form is compared with; `None` where none of its values equals it.
    pub(super) fn put_value(self, value: &Value, out: &mut Vec<u8>) -> Option<()> {
        match (self, value) {
            (Self::Boolean, Value::Boolean(value)) => out.push(u8::from(*value)),
            (Self::Number { width, sign }, Value::Integer(value)) => {
                let (is_signed, is_negative, own) = (sign != 0, *value < 0, value.to_be_bytes());
                let fill = if is_negative { u8::MAX } else { 0 };
                let (left_out, kept) = own.split_at_checked(own.len().saturating_sub(width))?;
                // What is left out has to follow from what is kept.
                let follows = !is_signed || (kept.first()? & 0x80 != 0) == is_negative;
                if (is_negative && !is_signed) || !follows || left_out.iter().any(|byte| *byte != fill) {
                    return None;
                }
                let start = out.len();
                out.resize(start + width.saturating_sub(own.len()), fill);
                out.extend_from_slice(kept);
                *out.get_mut(start)? ^= sign;
            }
            (Self::Plain { width }, Value::Bytes(value)) if value.len() == width => out.extend_from_slice(value),
            (Self::Escaped, Value::Bytes(value)) => put_escaped(value, out),
            _ => return None,
        }
        Some(())
    }

    /// Bytes of each value; `None` where they differ.
    pub(super) fn width(self) -> Option<usize> {
        match self {
            Self::Boolean => Some(1),
            Self::Number { width, .. } | Self::Plain { width } => Some(width),
            Self::Escaped => None,
        }
    }
}

/// The values of a column that is encoded.
pub(super) enum Values<'a> {
    Booleans(&'a BooleanBuffer),
    Bytes1(&'a [[u8; 1]], u8),
    Bytes2(&'a [[u8; 2]], u8),
    Bytes4(&'a [[u8; 4]], u8),
    Bytes8(&'a [[u8; 8]], u8),
    Bytes16(&'a [[u8; 16]], u8),
    Bytes32(&'a [[u8; 32]], u8),
    Plain { width: usize, bytes: &'a [u8] },
    Escaped { offsets: Offsets<'a>, bytes: &'a [u8] },
}

impl<'a> Values<'a> {
    /// The values of `array`; `None` if it has not this form.
    pub(super) fn of(form: Form, array: &'a dyn Array) -> Option<Self> {
        match (form, Physical::of(array)?) {
            (Form::Boolean, Physical::Bits(bits)) => Some(Self::Booleans(bits)),
            (Form::Number { width, sign }, Physical::Fixed(bytes)) => match width {
                1 => Some(Self::Bytes1(bytes.as_chunks().0, sign)),
                2 => Some(Self::Bytes2(bytes.as_chunks().0, sign)),
                4 => Some(Self::Bytes4(bytes.as_chunks().0, sign)),
                8 => Some(Self::Bytes8(bytes.as_chunks().0, sign)),
                16 => Some(Self::Bytes16(bytes.as_chunks().0, sign)),
                32 => Some(Self::Bytes32(bytes.as_chunks().0, sign)),
                _ => None,
            },
            (Form::Plain { width }, Physical::Fixed(bytes)) => Some(Self::Plain { width, bytes }),
            (Form::Escaped, Physical::Bytes { offsets, bytes }) => Some(Self::Escaped { offsets, bytes }),
            _ => None,
        }
    }

    /// Appends the value of `row`, which the column must have.
    pub(super) fn put(&self, row: usize, out: &mut Vec<u8>) {
        match *self {
            Self::Booleans(bits) => out.push(u8::from(bits.value(row))),
            Self::Bytes1(values, sign) => put_number(values[row], sign, out),
            Self::Bytes2(values, sign) => put_number(values[row], sign, out),
            Self::Bytes4(values, sign) => put_number(values[row], sign, out),
            Self::Bytes8(values, sign) => put_number(values[row], sign, out),
            Self::Bytes16(values, sign) => put_number(values[row], sign, out),
            Self::Bytes32(values, sign) => put_number(values[row], sign, out),
            Self::Plain { width, bytes } => out.extend_from_slice(&bytes[row * width..][..width]),
            Self::Escaped { offsets, bytes } => put_escaped(&bytes[offsets.span(row..row + 1)], out),
        }
    }
}

/// Appends the number with the little-endian bytes `value`.
fn put_number<const WIDTH: usize>(mut value: [u8; WIDTH], sign: u8, out: &mut Vec<u8>) {
    value.reverse();
    if let Some(first) = value.first_mut() {
        *first ^= sign;
    }
    out.extend_from_slice(&value);
}

fn put_escaped(mut value: &[u8], out: &mut Vec<u8>) {
    while let Some(at) = value.iter().position(|byte| *byte <= ESCAPE) {
        out.extend_from_slice(&value[..at]);
        out.extend_from_slice(&[ESCAPE, value[at] + 1]);
        value = &value[at + 1..];
    }
    out.extend_from_slice(value);
    out.push(END);
}
