//! Keys as bytes that sort as the keys do.
//!
//! The bytes are a format: block metadata keep them. `logtail/FORMAT.md` states them.

mod bound;
mod decode;
mod error;
mod form;
mod keys;
mod prefix;
mod range;

use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, Field};

pub use bound::{BOUND_BYTES_MAX, cut_lower, cut_upper};
pub use error::KeyError;
pub use keys::{Iter, Keys};
pub use range::KeyRange;

pub(crate) use prefix::prefix;

use form::{Form, Values};

use crate::predicate::Value;

/// Encodes the primary keys of a table, of one or several columns.
///
/// Encoded keys compare, byte by byte, as tuples of the columns' values do: numbers by value, `false` before `true`,
/// strings and binaries by their bytes. No key is a prefix of another one of the same table.
///
/// Floats are refused, since two that are equal can differ in their bytes, and so are nested types. A key has no nulls.
#[derive(Clone, Debug)]
pub struct KeyEncoder {
    columns: Vec<KeyColumn>,
}

#[derive(Clone, Debug)]
struct KeyColumn {
    name: String,
    data_type: DataType,
    form: Form,
}

impl KeyEncoder {
    /// An encoder of keys of these columns, the most significant first.
    ///
    /// # Errors
    /// [`KeyError::NoColumns`]; [`KeyError::Unsupported`] for a column of a type that keys do not have.
    pub fn new<'a>(fields: impl IntoIterator<Item = &'a Field>) -> Result<Self, KeyError> {
        let columns: Vec<_> = fields.into_iter().map(KeyColumn::new).collect::<Result<_, _>>()?;
        if columns.is_empty() {
            return Err(KeyError::NoColumns);
        }
        Ok(Self { columns })
    }

    /// The length of each key in bytes; `None` where keys differ in length.
    pub fn fixed_width(&self) -> Option<usize> {
        self.columns.iter().map(|column| column.form.width()).sum()
    }

    /// No keys yet, for [`KeyEncoder::encode_into`].
    pub fn no_keys(&self) -> Keys {
        Keys::new(self.fixed_width())
    }

    /// The keys of the rows of `columns`, which are the key's alone and in its order.
    ///
    /// # Errors
    /// As [`KeyEncoder::encode_into`].
    pub fn encode(&self, columns: &[ArrayRef]) -> Result<Keys, KeyError> {
        let mut keys = self.no_keys();
        self.encode_into(columns, &mut keys)?;
        Ok(keys)
    }

    /// Appends the keys of the rows of `columns` to `keys`, which are of this encoder or one for the same types.
    ///
    /// # Errors
    /// [`KeyError::Count`], [`KeyError::Type`] and [`KeyError::Rows`] for columns that are not the key's,
    /// [`KeyError::Null`] for a null in one, [`KeyError::OtherWidth`] for keys of another table, [`KeyError::Full`] at
    /// 4 GiB of keys. `keys` are unchanged then.
    pub fn encode_into(&self, columns: &[ArrayRef], keys: &mut Keys) -> Result<(), KeyError> {
        let (rows, values) = self.values(columns)?;
        keys.append(self.fixed_width(), rows, |row, out| values.iter().for_each(|values| values.put(row, out)))
    }

    /// Appends to `out` what a key has of a value of the key's column of this number, from 0. Returns whether there is
    /// such a value in the column's type.
    fn put_value(&self, column: usize, value: &Value, out: &mut Vec<u8>) -> bool {
        self.columns.get(column).is_some_and(|column| column.form.put_value(value, out).is_some())
    }

    /// The number of rows of `columns`, and their values.
    fn values<'a>(&self, columns: &'a [ArrayRef]) -> Result<(usize, Vec<Values<'a>>), KeyError> {
        if columns.len() != self.columns.len() {
            return Err(KeyError::Count { expected: self.columns.len(), found: columns.len() });
        }
        let rows = columns.first().map_or(0, |column| column.len());
        let values = self.columns.iter().zip(columns).map(|(column, array)| column.values(array, rows));
        Ok((rows, values.collect::<Result<_, _>>()?))
    }
}

impl KeyColumn {
    fn new(field: &Field) -> Result<Self, KeyError> {
        let (name, data_type) = (field.name().clone(), field.data_type().clone());
        match Form::of(&data_type) {
            Some(form) => Ok(Self { name, data_type, form }),
            None => Err(KeyError::Unsupported { column: name, data_type }),
        }
    }

    /// The values of `array`, which must have `rows` of them and no null.
    fn values<'a>(&self, array: &'a ArrayRef, rows: usize) -> Result<Values<'a>, KeyError> {
        let column = || self.name.clone();
        let other =
            || KeyError::Type { column: column(), expected: self.data_type.clone(), found: array.data_type().clone() };
        if *array.data_type() != self.data_type {
            return Err(other());
        }
        if array.len() != rows {
            return Err(KeyError::Rows { column: column(), expected: rows, found: array.len() });
        }
        let null = array.nulls().filter(|nulls| nulls.null_count() > 0);
        if let Some(row) = null.and_then(|nulls| nulls.iter().position(|valid| !valid)) {
            return Err(KeyError::Null { column: column(), row });
        }
        Values::of(self.form, array).ok_or_else(other)
    }
}
