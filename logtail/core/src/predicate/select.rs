//! Which rows of a batch satisfy a predicate.

use std::cmp::Ordering;

use arrow_array::{
    Array, ArrayRef, BooleanArray, RecordBatch,
    cast::AsArray,
    types::{
        BinaryType, ByteArrayType, Float16Type, Float32Type, Float64Type, LargeBinaryType, LargeUtf8Type, Utf8Type,
    },
};
use arrow_buffer::{BooleanBuffer, i256};
use arrow_schema::{ArrowError, DataType};
use arrow_select::filter::filter_record_batch;

use super::{NullTest, Op, Predicate, Term, value::Value};
use crate::{
    ids::ColumnId,
    physical::{Physical, width},
};

impl Predicate {
    /// The rows of `batch` that are wanted. `position` tells where a column is in it.
    ///
    /// # Errors
    /// [`ArrowError`] for a column that is not there, or of which the value is not [comparable](Value::is_comparable).
    pub fn filter(
        &self,
        batch: &RecordBatch,
        position: impl Fn(ColumnId) -> Option<usize>,
    ) -> Result<RecordBatch, ArrowError> {
        let column = |id| position(id).and_then(|at| batch.columns().get(at));
        match self.select(batch.num_rows(), &column)? {
            Some(wanted) if wanted.count_set_bits() < batch.num_rows() => {
                filter_record_batch(batch, &BooleanArray::new(wanted, None))
            }
            _ => Ok(batch.clone()),
        }
    }

    /// The rows that are wanted of so many; `None` for all.
    fn select<'a>(
        &self,
        rows: usize,
        column: &impl Fn(ColumnId) -> Option<&'a ArrayRef>,
    ) -> Result<Option<BooleanBuffer>, ArrowError> {
        let mut wanted: Option<BooleanBuffer> = None;
        let mut narrow =
            |own: BooleanBuffer| wanted = Some(wanted.as_ref().map_or(own.clone(), |wanted| wanted & &own));
        for term in &self.terms {
            narrow(column(term.column).and_then(|column| term.select(column)).ok_or_else(|| incomparable(term))?);
        }
        for test in &self.nulls {
            narrow(test.select(column(test.column).ok_or_else(|| absent(test.column))?));
        }
        for any in &self.any {
            let mut either = BooleanBuffer::new_unset(rows);
            for own in any {
                match own.select(rows, column)? {
                    Some(own) => either = &either | &own,
                    None => either = BooleanBuffer::new_set(rows),
                }
            }
            narrow(either);
        }
        Ok(wanted)
    }
}

impl NullTest {
    /// The rows of `column` that lack its value, or have it.
    fn select(self, column: &ArrayRef) -> BooleanBuffer {
        match column.logical_nulls() {
            Some(nulls) if self.is_null => !nulls.inner(),
            Some(nulls) => nulls.into_inner(),
            None if self.is_null => BooleanBuffer::new_unset(column.len()),
            None => BooleanBuffer::new_set(column.len()),
        }
    }
}

impl Term {
    /// The rows of `column` of which the comparison holds; `None` where the two do not compare.
    fn select(&self, column: &ArrayRef) -> Option<BooleanBuffer> {
        let held = self.holds(column)?;
        Some(match column.nulls() {
            Some(nulls) => &held & nulls.inner(),
            None => held,
        })
    }

    /// As [`Term::select`], with anything for rows that lack the value.
    fn holds(&self, column: &ArrayRef) -> Option<BooleanBuffer> {
        let data_type = column.data_type();
        if !self.value.is_comparable(data_type) {
            return None;
        }
        let rows = column.len();
        match (&self.value, data_type) {
            (Value::Boolean(literal), _) => {
                let values = column.as_boolean_opt()?.values();
                Some(compare(self.op, rows, |row| values.value(row), *literal))
            }
            (literal, DataType::Float16 | DataType::Float32 | DataType::Float64) => self.floats(column, literal),
            (Value::Integer(literal), _) => self.integers(column, *literal),
            // Of integers. Each compares exactly.
            (Value::Float(_), _) => {
                let integers = integers(column)?;
                Some(self.by_order(rows, |row| Value::Integer(integers(row)).compare(&self.value)))
            }
            (Value::Bytes(literal), _) => self.bytes(column, literal),
        }
    }

    fn floats(&self, column: &ArrayRef, literal: &Value) -> Option<BooleanBuffer> {
        macro_rules! with {
            ($type:ty) => {{
                let values = column.as_primitive_opt::<$type>()?.values();
                match literal {
                    Value::Float(literal) => {
                        Some(compare(self.op, values.len(), |row| f64::from(values[row]), *literal))
                    }
                    other => {
                        Some(self.by_order(values.len(), |row| Value::Float(f64::from(values[row])).compare(other)))
                    }
                }
            }};
        }
        match column.data_type() {
            DataType::Float16 => with!(Float16Type),
            DataType::Float32 => with!(Float32Type),
            _ => with!(Float64Type),
        }
    }

    fn integers(&self, column: &ArrayRef, literal: i128) -> Option<BooleanBuffer> {
        let Physical::Fixed(bytes) = Physical::of(column)? else { return None };
        // Compared as the column's own type, and where that has no such value, all rows are on one side of it.
        macro_rules! with {
            ($type:ty) => {{
                let (values, _) = bytes.as_chunks::<{ size_of::<$type>() }>();
                match <$type>::try_from(literal) {
                    Ok(literal) => compare(self.op, values.len(), |row| <$type>::from_le_bytes(values[row]), literal),
                    Err(_) => compare(self.op, values.len(), |_| 0, literal.signum()),
                }
            }};
        }
        let is_unsigned = column.data_type().is_unsigned_integer();
        Some(match (width(column.data_type())?, is_unsigned) {
            (1, true) => with!(u8),
            (2, true) => with!(u16),
            (4, true) => with!(u32),
            (8, true) => with!(u64),
            (1, false) => with!(i8),
            (2, false) => with!(i16),
            (4, false) => with!(i32),
            (8, false) => with!(i64),
            (16, false) => with!(i128),
            (32, false) => {
                let (values, _) = bytes.as_chunks::<32>();
                compare(self.op, values.len(), |row| i256::from_le_bytes(values[row]), i256::from_i128(literal))
            }
            _ => return None,
        })
    }

    fn bytes(&self, column: &ArrayRef, literal: &[u8]) -> Option<BooleanBuffer> {
        fn of<T: ByteArrayType>(term: &Term, column: &ArrayRef, literal: &[u8]) -> Option<BooleanBuffer> {
            let values = column.as_bytes_opt::<T>()?;
            Some(compare(term.op, values.len(), |row| AsRef::<[u8]>::as_ref(values.value(row)), literal))
        }
        match column.data_type() {
            DataType::Utf8 => of::<Utf8Type>(self, column, literal),
            DataType::LargeUtf8 => of::<LargeUtf8Type>(self, column, literal),
            DataType::Binary => of::<BinaryType>(self, column, literal),
            DataType::LargeBinary => of::<LargeBinaryType>(self, column, literal),
            _ => {
                let values = column.as_fixed_size_binary_opt()?;
                Some(compare(self.op, values.len(), |row| values.value(row), literal))
            }
        }
    }

    /// The rows whose order to the value, if there is one, is as the operator says.
    fn by_order(&self, rows: usize, order: impl Fn(usize) -> Option<Ordering>) -> BooleanBuffer {
        let holds = |order: Option<Ordering>| match self.op {
            Op::Equal => order == Some(Ordering::Equal),
            Op::NotEqual => order != Some(Ordering::Equal),
            Op::Less => order == Some(Ordering::Less),
            Op::LessOrEqual => order.is_some_and(Ordering::is_le),
            Op::Greater => order == Some(Ordering::Greater),
            Op::GreaterOrEqual => order.is_some_and(Ordering::is_ge),
        };
        BooleanBuffer::collect_bool(rows, |row| holds(order(row)))
    }
}

/// The rows of which the comparison holds. A loop for each operator, so that the compiler makes vectors of it.
fn compare<T: PartialOrd + Copy>(op: Op, rows: usize, value: impl Fn(usize) -> T, literal: T) -> BooleanBuffer {
    match op {
        Op::Equal => BooleanBuffer::collect_bool(rows, |row| value(row) == literal),
        Op::NotEqual => BooleanBuffer::collect_bool(rows, |row| value(row) != literal),
        Op::Less => BooleanBuffer::collect_bool(rows, |row| value(row) < literal),
        Op::LessOrEqual => BooleanBuffer::collect_bool(rows, |row| value(row) <= literal),
        Op::Greater => BooleanBuffer::collect_bool(rows, |row| value(row) > literal),
        Op::GreaterOrEqual => BooleanBuffer::collect_bool(rows, |row| value(row) >= literal),
    }
}

/// The values of an integer column by their rows.
fn integers(column: &ArrayRef) -> Option<Box<dyn Fn(usize) -> i128 + '_>> {
    let Physical::Fixed(bytes) = Physical::of(column)? else { return None };
    macro_rules! with {
        ($type:ty) => {{
            let (values, _) = bytes.as_chunks::<{ size_of::<$type>() }>();
            Box::new(|row| i128::from(<$type>::from_le_bytes(values[row])))
        }};
    }
    Some(match column.data_type() {
        DataType::Int8 => with!(i8),
        DataType::Int16 => with!(i16),
        DataType::Int32 => with!(i32),
        DataType::Int64 => with!(i64),
        DataType::UInt8 => with!(u8),
        DataType::UInt16 => with!(u16),
        DataType::UInt32 => with!(u32),
        DataType::UInt64 => with!(u64),
        _ => return None,
    })
}

fn incomparable(term: &Term) -> ArrowError {
    ArrowError::ComputeError(format!("column {} is not there, or does not compare with {}", term.column, term.value))
}

fn absent(column: ColumnId) -> ArrowError {
    ArrowError::ComputeError(format!("column {column} is not there"))
}
