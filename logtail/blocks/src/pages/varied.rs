//! Strings and binaries.

use std::sync::Arc;

use arrow_array::{ArrayRef, GenericBinaryArray, GenericStringArray, OffsetSizeTrait};
use arrow_buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, DataType};

use super::{Rows, Source, malformed};

/// Short values are copied in this many bytes, what is behind them included: one move instead of a call.
const SHORT: usize = 16;

/// The values of a dictionary.
pub(super) struct Values {
    /// Back to back, and [`SHORT`] bytes behind them.
    bytes: Vec<u8>,
    /// Where each begins, and its length.
    places: Vec<(u32, u32)>,
}

impl Values {
    /// The values of a dictionary's page.
    pub(super) fn new(mut page: &[u8], count: u32) -> Result<Self, ArrowError> {
        let mut values = Self { bytes: Vec::with_capacity(page.len() + SHORT), places: Vec::new() };
        let narrow = |number| u32::try_from(number).map_err(|_| malformed("a dictionary of 4 GiB"));
        for _ in 0..count {
            let len = take_len(&mut page)?;
            values.places.push((narrow(values.bytes.len())?, narrow(len)?));
            append(&mut values.bytes, page, len);
            page = page.get(len..).unwrap_or_default();
        }
        values.bytes.extend([0; SHORT]);
        Ok(values)
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// The length of the value of this number.
    fn len_of(&self, number: u32) -> usize {
        self.places.get(number as usize).map_or(0, |(_, len)| *len as usize)
    }

    /// The bytes from the value's begin on, and its length.
    fn get(&self, number: u32) -> Option<(&[u8], usize)> {
        let (start, len) = *self.places.get(number as usize)?;
        Some((self.bytes.get(start as usize..)?, len as usize))
    }
}

/// The array of the rows that stay.
pub(super) fn array(data_type: &DataType, source: Source<'_, Values>, rows: &Rows<'_>) -> Result<ArrayRef, ArrowError> {
    match data_type {
        DataType::Utf8 => text(gather::<i32>(source, rows)?, rows),
        DataType::LargeUtf8 => text(gather::<i64>(source, rows)?, rows),
        DataType::Binary => binary(gather::<i32>(source, rows)?, rows),
        DataType::LargeBinary => binary(gather::<i64>(source, rows)?, rows),
        _ => Err(malformed("a type of another layout")),
    }
}

type Gathered<O> = (OffsetBuffer<O>, Buffer);

fn text<O: OffsetSizeTrait>((offsets, bytes): Gathered<O>, rows: &Rows<'_>) -> Result<ArrayRef, ArrowError> {
    Ok(Arc::new(GenericStringArray::try_new(offsets, bytes, rows.nulls())?))
}

fn binary<O: OffsetSizeTrait>((offsets, bytes): Gathered<O>, rows: &Rows<'_>) -> Result<ArrayRef, ArrowError> {
    Ok(Arc::new(GenericBinaryArray::try_new(offsets, bytes, rows.nulls())?))
}

/// The values of the rows that stay, back to back, and where each ends.
fn gather<O: OffsetSizeTrait>(source: Source<'_, Values>, rows: &Rows<'_>) -> Result<Gathered<O>, ArrowError> {
    let mut ends: Vec<O> = Vec::with_capacity(rows.kept.rows() + 1);
    ends.push(O::default());
    let bytes = match source {
        Source::Plain(page) => plain(page, rows, &mut ends)?,
        Source::Indexes(indexes, values) => indexed(&indexes, values, rows, &mut ends)?,
    };
    // The last end is the highest, so all are right if it is.
    match O::from_usize(bytes.len()) {
        Some(_) => Ok((OffsetBuffer::new(ScalarBuffer::from(ends)), Buffer::from_vec(bytes))),
        None => Err(malformed("more bytes than a column of its type has")),
    }
}

fn plain<O: OffsetSizeTrait>(page: &[u8], rows: &Rows<'_>, ends: &mut Vec<O>) -> Result<Vec<u8>, ArrowError> {
    let mut bytes = Vec::with_capacity(page.len() + SHORT);
    let (mut page, mut next) = (page, 0);
    rows.runs(|run, first| {
        // In a register: what a closure shares is in memory.
        let mut rest = page;
        for _ in next..first {
            let len = take_len(&mut rest)?;
            rest = rest.get(len..).unwrap_or_default();
        }
        next = first + rows.values(run.clone());
        for row in run {
            if rows.validity.is_none_or(|validity| validity.value(row)) {
                let len = take_len(&mut rest)?;
                append(&mut bytes, rest, len);
                rest = rest.get(len..).unwrap_or_default();
            }
            ends.push(O::usize_as(bytes.len()));
        }
        page = rest;
        Ok(())
    })?;
    Ok(bytes)
}

fn indexed<O: OffsetSizeTrait>(
    indexes: &[u32],
    values: &Values,
    rows: &Rows<'_>,
    ends: &mut Vec<O>,
) -> Result<Vec<u8>, ArrowError> {
    let short = || malformed("indexes cut short");
    // First where each value ends, then the values: into memory that is there, as a copy each is too short for a call.
    let mut end = 0;
    rows.runs(|run, first| {
        let indexes = indexes.get(first..first + rows.values(run.clone())).ok_or_else(short)?;
        let mut lengths = indexes.iter().map(|index| values.len_of(*index));
        let mut own_end = end;
        let mut next = |len| {
            own_end += len;
            O::usize_as(own_end)
        };
        match rows.validity {
            None => ends.extend(lengths.map(&mut next)),
            Some(validity) => ends.extend(run.map(|row| {
                next(match validity.value(row) {
                    true => lengths.next().unwrap_or(0),
                    false => 0,
                })
            })),
        }
        end = own_end;
        Ok(())
    })?;
    let mut bytes = vec![0; end + SHORT];
    let mut at = 0;
    rows.runs(|run, first| {
        let indexes = indexes.get(first..first + rows.values(run)).ok_or_else(short)?;
        at = copy(indexes, values, &mut bytes, at).ok_or_else(short)?;
        Ok(())
    })?;
    bytes.truncate(end);
    Ok(bytes)
}

/// Copies the values of these numbers to `bytes` from `at` on, and returns where they end.
fn copy(indexes: &[u32], values: &Values, bytes: &mut [u8], mut at: usize) -> Option<usize> {
    for index in indexes {
        let (value, len) = values.get(*index)?;
        match (bytes.get_mut(at..)?.first_chunk_mut::<SHORT>(), value.first_chunk::<SHORT>()) {
            (Some(to), Some(value)) if len <= SHORT => *to = *value,
            _ => bytes.get_mut(at..at + len)?.copy_from_slice(value.get(..len)?),
        }
        at += len;
    }
    Some(at)
}

/// Takes the length of a value off the front of `page`, which then begins with the value.
fn take_len(page: &mut &[u8]) -> Result<usize, ArrowError> {
    let (len, rest) = page.split_first_chunk().ok_or_else(|| malformed("values cut short"))?;
    *page = rest;
    match usize::try_from(u32::from_le_bytes(*len)) {
        Ok(len) if len <= rest.len() => Ok(len),
        _ => Err(malformed("a value cut short")),
    }
}

/// Appends the first `len` of the bytes `from`, which has them.
fn append(bytes: &mut Vec<u8>, from: &[u8], len: usize) {
    match from.first_chunk::<SHORT>() {
        Some(short) if len <= SHORT => {
            let end = bytes.len() + len;
            bytes.extend_from_slice(short);
            bytes.truncate(end);
        }
        _ => bytes.extend_from_slice(from.get(..len).unwrap_or(from)),
    }
}
