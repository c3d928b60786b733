//! Keys back to columns.

use arrow_array::{ArrayRef, OffsetSizeTrait};
use arrow_buffer::{BooleanBufferBuilder, MutableBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::DataType;

use super::{
    KeyColumn, KeyEncoder,
    error::KeyError,
    form::{END, ESCAPE, Form},
};
use crate::physical::{array_of_bits, array_of_bytes, array_of_fixed};

impl KeyEncoder {
    /// The columns of which `keys` are the keys: what [`KeyEncoder::encode`] was given. For tests, and to show keys.
    ///
    /// # Errors
    /// [`KeyError::Malformed`] for bytes that are no key of these columns, and where the strings or binaries of a
    /// column are too long for its type together.
    pub fn decode<'a>(&self, keys: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<ArrayRef>, KeyError> {
        let mut decoded: Vec<_> = self.columns.iter().map(|column| Decoded::new(column.form)).collect();
        for (number, mut key) in keys.into_iter().enumerate() {
            for (column, decoded) in self.columns.iter().zip(&mut decoded) {
                decoded.take(column, &mut key).map_err(|reason| column.malformed(number, reason))?;
            }
            if let (Some(last), false) = (self.columns.last(), key.is_empty()) {
                return Err(last.malformed(number, "bytes behind it"));
            }
        }
        Ok(self.columns.iter().zip(decoded).map(|(column, decoded)| decoded.into_array(&column.data_type)).collect())
    }
}

impl KeyColumn {
    fn malformed(&self, key: usize, reason: &'static str) -> KeyError {
        KeyError::Malformed { key, column: self.name.clone(), reason }
    }
}

const TOO_EARLY: &str = "it ends too early";

/// The values of a column so far.
enum Decoded {
    Bits(BooleanBufferBuilder),
    Fixed(MutableBuffer),
    Bytes { bytes: Vec<u8>, ends: Vec<usize> },
}

impl Decoded {
    fn new(form: Form) -> Self {
        match form {
            Form::Boolean => Self::Bits(BooleanBufferBuilder::new(0)),
            Form::Number { .. } | Form::Plain { .. } => Self::Fixed(MutableBuffer::new(0)),
            Form::Escaped => Self::Bytes { bytes: Vec::new(), ends: Vec::new() },
        }
    }

    /// Takes a value of `column` off the front of `key`; what is wrong with it otherwise.
    fn take(&mut self, column: &KeyColumn, key: &mut &[u8]) -> Result<(), &'static str> {
        match self {
            Self::Bytes { bytes, ends } => {
                let start = bytes.len();
                take_escaped(key, bytes)?;
                check_bytes(&column.data_type, bytes, start)?;
                ends.push(bytes.len());
            }
            Self::Bits(bits) => match take_fixed(key, 1)? {
                [0] => bits.append(false),
                [1] => bits.append(true),
                _ => return Err("a boolean that is neither 0 nor 1"),
            },
            Self::Fixed(values) => {
                let at = values.len();
                values.extend_from_slice(take_fixed(key, column.form.width().unwrap_or(0))?);
                if let (Form::Number { sign, .. }, Some(number)) = (column.form, values.get_mut(at..)) {
                    number.iter_mut().take(1).for_each(|first| *first ^= sign);
                    number.reverse();
                }
            }
        }
        Ok(())
    }

    fn into_array(self, data_type: &DataType) -> ArrayRef {
        let made = match self {
            Self::Bits(mut bits) => Ok(array_of_bits(bits.finish(), None)),
            Self::Fixed(values) => array_of_fixed(data_type, values.into(), None),
            Self::Bytes { bytes, ends } if is_narrow(data_type) => {
                array_of_bytes(data_type, offsets::<i32>(&ends), bytes.into(), None)
            }
            Self::Bytes { bytes, ends } => array_of_bytes(data_type, offsets::<i64>(&ends), bytes.into(), None),
        };
        made.expect("each value was checked for its type")
    }
}

fn take_fixed<'a>(key: &mut &'a [u8], width: usize) -> Result<&'a [u8], &'static str> {
    let (value, rest) = key.split_at_checked(width).ok_or(TOO_EARLY)?;
    *key = rest;
    Ok(value)
}

/// Takes a value and its end off the front of `key`, and appends it to `out`.
fn take_escaped(key: &mut &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
    let mut bytes = key.iter();
    loop {
        match *bytes.next().ok_or(TOO_EARLY)? {
            END => break,
            ESCAPE => match *bytes.next().ok_or(TOO_EARLY)? {
                escaped @ 1..=2 => out.push(escaped - 1),
                _ => return Err("an escape of a byte that is not escaped"),
            },
            byte => out.push(byte),
        }
    }
    *key = bytes.as_slice();
    Ok(())
}

/// Checks the value from `start` on, the last one of a column's `bytes`.
fn check_bytes(data_type: &DataType, bytes: &[u8], start: usize) -> Result<(), &'static str> {
    let value = bytes.get(start..).unwrap_or_default();
    if matches!(data_type, DataType::Utf8 | DataType::LargeUtf8) && str::from_utf8(value).is_err() {
        return Err("a string that is not UTF-8");
    }
    if is_narrow(data_type) && i32::try_from(bytes.len()).is_err() {
        return Err("more bytes than a column of its type has");
    }
    Ok(())
}

/// Whether offsets of the type have 32 bits.
fn is_narrow(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::Binary)
}

fn offsets<O: OffsetSizeTrait>(ends: &[usize]) -> OffsetBuffer<O> {
    let offsets = std::iter::once(0).chain(ends.iter().copied()).map(O::usize_as);
    OffsetBuffer::new(ScalarBuffer::from(offsets.collect::<Vec<O>>()))
}
