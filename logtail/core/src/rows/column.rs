//! A growing column of a chunk.

use std::ops::Range;

use arrow_array::{ArrayRef, OffsetSizeTrait};
use arrow_buffer::{BooleanBufferBuilder, MutableBuffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::FieldRef;

use super::{
    cursor::Cursor,
    error::{AppendError, SchemaError},
    layout::{Layout, NESTING_MAX},
    offsets::{Fault, Offsets},
    valid::{Valid, take_bits},
};
use crate::physical::{array_of_bits, array_of_bytes, array_of_fixed, array_of_lists, array_of_structs};

/// A column, and the columns in it.
#[derive(Debug)]
pub(super) struct Column {
    field: FieldRef,
    rows: usize,
    /// Which rows are not null; `None` while none is.
    valid: Option<BooleanBufferBuilder>,
    values: Values,
}

/// The values of all rows; those of null rows are zeros or empty, and in a struct null as well.
#[derive(Debug)]
enum Values {
    Bits(BooleanBufferBuilder),
    Fixed { width: usize, bytes: MutableBuffer },
    Bytes { offsets: Offsets, bytes: Vec<u8>, utf8: bool },
    List { offsets: Offsets, items: Box<Column> },
    Struct(Vec<Column>),
}

/// Every item of a list has a bit in the record: a byte has eight items at most.
const ITEMS_PER_BYTE: usize = 8;

impl Column {
    /// A column without rows, `depth` deep: 1 if it is in no other.
    pub(super) fn new(field: &FieldRef, depth: usize) -> Result<Self, SchemaError> {
        if depth > NESTING_MAX {
            return Err(SchemaError::TooDeep { column: field.name().clone() });
        }
        let inner = |inner| Self::new(inner, depth + 1).map_err(|error| error.within(field.name()));
        let values = match Layout::of(field.data_type()) {
            Some(Layout::Bits) => Values::Bits(BooleanBufferBuilder::new(0)),
            Some(Layout::Fixed(width)) => Values::Fixed { width, bytes: MutableBuffer::new(0) },
            Some(Layout::Bytes { wide, utf8 }) => {
                Values::Bytes { offsets: Offsets::new(wide), bytes: Vec::new(), utf8 }
            }
            Some(Layout::List { wide, item }) => {
                Values::List { offsets: Offsets::new(wide), items: Box::new(inner(item)?) }
            }
            Some(Layout::Struct(fields)) => Values::Struct(fields.iter().map(inner).collect::<Result<_, _>>()?),
            None => {
                let (column, data_type) = (field.name().clone(), field.data_type().clone());
                return Err(SchemaError::Unsupported { column, data_type });
            }
        };
        Ok(Self { field: field.clone(), rows: 0, valid: None, values })
    }

    pub(super) fn name(&self) -> &str {
        self.field.name()
    }

    /// Appends `rows` rows from the record. Where `outer` has a 0 the struct that the column is in is null, so that the
    /// column may be null as well.
    ///
    /// After an error the column has some of the rows, which [`Column::truncate`] drops.
    pub(super) fn append(
        &mut self,
        record: &mut Cursor<'_>,
        rows: usize,
        outer: Option<&[u8]>,
    ) -> Result<(), AppendError> {
        let field = &self.field;
        let malformed = |reason| AppendError::Malformed { column: field.name().clone(), reason };
        let fault = |fault| match fault {
            Fault::Malformed(reason) => malformed(reason),
            Fault::Full => AppendError::Full { column: field.name().clone() },
        };
        let valid = Valid::take(record, rows).map_err(malformed)?;
        if !field.is_nullable() && !valid.covers(outer) {
            return Err(AppendError::Null { column: field.name().clone() });
        }
        match &mut self.values {
            Values::Bits(bits) => bits.append_packed_range(0..rows, take_bits(record, rows).map_err(malformed)?),
            Values::Fixed { width, bytes } => append_fixed(record, &valid, *width, bytes).map_err(malformed)?,
            Values::Bytes { offsets, bytes, utf8 } => {
                let len = offsets.append(record, &valid, 1).map_err(fault)?;
                let added = record.take(len).map_err(malformed)?;
                if *utf8 {
                    check_utf8(added, offsets.ends(self.rows).map(|end| end - bytes.len())).map_err(malformed)?;
                }
                bytes.extend_from_slice(added);
            }
            Values::List { offsets, items } => {
                let count = offsets.append(record, &valid, ITEMS_PER_BYTE).map_err(fault)?;
                items.append(record, count, None).map_err(|error| error.within(field.name()))?;
            }
            Values::Struct(columns) => {
                for column in columns {
                    column.append(record, rows, valid.bits).map_err(|error| error.within(field.name()))?;
                }
            }
        }
        self.append_validity(&valid);
        self.rows += rows;
        Ok(())
    }

    fn append_validity(&mut self, added: &Valid<'_>) {
        match (&mut self.valid, added.bits) {
            (None, None) => {}
            (Some(valid), None) => valid.append_n(added.rows, true),
            (valid, Some(bits)) => {
                let valid = valid.get_or_insert_with(|| {
                    let mut valid = BooleanBufferBuilder::new(self.rows + added.rows);
                    valid.append_n(self.rows, true);
                    valid
                });
                valid.append_packed_range(0..added.rows, bits);
            }
        }
    }

    /// Drops the rows from `rows` on.
    pub(super) fn truncate(&mut self, rows: usize) {
        match &mut self.values {
            Values::Bits(bits) => bits.truncate(rows),
            Values::Fixed { width, bytes } => bytes.truncate(rows * *width),
            Values::Bytes { offsets, bytes, .. } => bytes.truncate(offsets.truncate(rows)),
            Values::List { offsets, items } => items.truncate(offsets.truncate(rows)),
            Values::Struct(columns) => columns.iter_mut().for_each(|column| column.truncate(rows)),
        }
        if let Some(valid) = &mut self.valid {
            valid.truncate(rows);
        }
        self.rows = rows;
    }

    pub(super) fn reserve_like(&mut self, other: &Self) {
        match (&mut self.values, &other.values) {
            (Values::Bits(bits), Values::Bits(other)) => bits.reserve(other.len()),
            (Values::Fixed { bytes, .. }, Values::Fixed { bytes: other, .. }) => {
                bytes.reserve(other.len() + other.len() / 16);
            }
            (
                Values::Bytes { offsets, bytes, .. },
                Values::Bytes { offsets: other_offsets, bytes: other_bytes, .. },
            ) => {
                offsets.reserve_like(other_offsets);
                // Lengths vary.
                bytes.reserve(other_bytes.len() + other_bytes.len() / 16);
            }
            (Values::List { offsets, items }, Values::List { offsets: other_offsets, items: other_items }) => {
                offsets.reserve_like(other_offsets);
                items.reserve_like(other_items);
            }
            (Values::Struct(columns), Values::Struct(others)) => {
                columns.iter_mut().zip(others).for_each(|(column, other)| column.reserve_like(other));
            }
            _ => {}
        }
    }

    pub(super) fn shrink_to_fit(&mut self) {
        match &mut self.values {
            // Its builder keeps what it has: an eighth of a byte a row.
            Values::Bits(_) => {}
            Values::Fixed { bytes, .. } => bytes.shrink_to_fit(),
            Values::Bytes { offsets, bytes, .. } => {
                offsets.shrink_to_fit();
                bytes.shrink_to_fit();
            }
            Values::List { offsets, items } => {
                offsets.shrink_to_fit();
                items.shrink_to_fit();
            }
            Values::Struct(columns) => columns.iter_mut().for_each(Self::shrink_to_fit),
        }
    }

    pub(super) fn allocated_bytes(&self) -> usize {
        let values = match &self.values {
            Values::Bits(bits) => bits.capacity() / 8,
            Values::Fixed { bytes, .. } => bytes.capacity(),
            Values::Bytes { offsets, bytes, .. } => offsets.allocated_bytes() + bytes.capacity(),
            Values::List { offsets, items } => offsets.allocated_bytes() + items.allocated_bytes(),
            Values::Struct(columns) => columns.iter().map(Self::allocated_bytes).sum(),
        };
        values + self.valid.as_ref().map_or(0, |valid| valid.capacity() / 8)
    }

    /// A column of the given rows of this one.
    pub(super) fn copy(&self, rows: &Range<usize>) -> Self {
        let values = match &self.values {
            Values::Bits(bits) => Values::Bits(copy_bits(bits, rows)),
            Values::Fixed { width, bytes: own } => {
                let mut bytes = MutableBuffer::new(rows.len() * *width);
                bytes.extend_from_slice(&own[rows.start * *width..rows.end * *width]);
                Values::Fixed { width: *width, bytes }
            }
            Values::Bytes { offsets, bytes, utf8 } => {
                let bytes = bytes[offsets.span(rows)].to_vec();
                Values::Bytes { offsets: offsets.copy(rows), bytes, utf8: *utf8 }
            }
            Values::List { offsets, items } => {
                let items = Box::new(items.copy(&offsets.span(rows)));
                Values::List { offsets: offsets.copy(rows), items }
            }
            Values::Struct(columns) => Values::Struct(columns.iter().map(|column| column.copy(rows)).collect()),
        };
        let valid = self.valid.as_ref().map(|valid| copy_bits(valid, rows));
        Self { field: self.field.clone(), rows: rows.len(), valid, values }
    }

    pub(super) fn into_array(self) -> ArrayRef {
        let data_type = self.field.data_type();
        let nulls = self.valid.map(|valid| NullBuffer::new(valid.build())).filter(|nulls| nulls.null_count() > 0);
        let array = match self.values {
            Values::Bits(bits) => Ok(array_of_bits(bits.build(), nulls)),
            Values::Fixed { bytes, .. } => array_of_fixed(data_type, bytes.into(), nulls),
            Values::Bytes { offsets: Offsets::Narrow(offsets), bytes, .. } => {
                array_of_bytes(data_type, finished(offsets), bytes.into(), nulls)
            }
            Values::Bytes { offsets: Offsets::Wide(offsets), bytes, .. } => {
                array_of_bytes(data_type, finished(offsets), bytes.into(), nulls)
            }
            Values::List { offsets: Offsets::Narrow(offsets), items } => {
                array_of_lists(items.field.clone(), finished(offsets), items.into_array(), nulls)
            }
            Values::List { offsets: Offsets::Wide(offsets), items } => {
                array_of_lists(items.field.clone(), finished(offsets), items.into_array(), nulls)
            }
            Values::Struct(columns) => {
                let fields = columns.iter().map(|column| column.field.clone()).collect();
                array_of_structs(fields, columns.into_iter().map(Self::into_array).collect(), nulls, self.rows)
            }
        };
        array.expect("rows are checked when they are appended")
    }
}

/// Appends a value for each row, zeros where it is null.
fn append_fixed(
    record: &mut Cursor<'_>,
    valid: &Valid<'_>,
    width: usize,
    out: &mut MutableBuffer,
) -> Result<(), &'static str> {
    let mut values = record.take(valid.count.saturating_mul(width))?;
    let start = out.len();
    for run in valid.runs() {
        out.resize(start + run.start * width, 0);
        let (taken, rest) = values.split_at(run.len() * width);
        out.extend_from_slice(taken);
        values = rest;
    }
    out.resize(start + valid.rows * width, 0);
    Ok(())
}

/// Checks that `bytes` are UTF-8, and none of its strings, which end at `ends`, begins within a character.
fn check_utf8(bytes: &[u8], mut ends: impl Iterator<Item = usize>) -> Result<(), &'static str> {
    if bytes.is_ascii() {
        return Ok(());
    }
    let is_text = str::from_utf8(bytes).is_ok_and(|text| ends.all(|end| text.is_char_boundary(end)));
    if is_text { Ok(()) } else { Err("a string is not UTF-8") }
}

fn copy_bits(bits: &BooleanBufferBuilder, rows: &Range<usize>) -> BooleanBufferBuilder {
    let mut copy = BooleanBufferBuilder::new(rows.len());
    copy.append_packed_range(rows.clone(), bits.as_slice());
    copy
}

fn finished<O: OffsetSizeTrait>(offsets: Vec<O>) -> OffsetBuffer<O> {
    OffsetBuffer::new(ScalarBuffer::from(offsets))
}
