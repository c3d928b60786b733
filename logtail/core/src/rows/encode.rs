//! Rows to bytes.

use std::ops::Range;

use arrow_array::{Array, ArrayRef};
use arrow_buffer::BooleanBuffer;
use arrow_schema::DataType;
use arrow_select::concat::concat;

use super::{
    error::EncodeError,
    layout::{Layout, NESTING_MAX, NO_NULLS, NULLS},
    output::Output,
};
use crate::physical::{Offsets, Physical};

/// Appends the given rows of `columns` to `out`, as one record. What a null row has in memory does not get into it.
///
/// # Errors
/// [`EncodeError`]; `out` is unchanged then.
pub fn encode(columns: &[ArrayRef], rows: Range<usize>, out: &mut impl Output) -> Result<(), EncodeError> {
    let before = out.len();
    put_record(columns, &rows, out).inspect_err(|_| out.truncate(before))
}

fn put_record(columns: &[ArrayRef], rows: &Range<usize>, out: &mut impl Output) -> Result<(), EncodeError> {
    put_varint(rows.len(), out);
    for (column, array) in columns.iter().enumerate() {
        if rows.start > rows.end || rows.end > array.len() {
            return Err(EncodeError::Rows { column, rows: rows.clone(), found: array.len() });
        }
        put_column(array.as_ref(), rows.clone(), None, 1, out)
            .map_err(|data_type| EncodeError::Unsupported { column, data_type })?;
    }
    Ok(())
}

/// Appends rows of a column; the type that is not supported otherwise. Where `within` has a 0, the struct that the
/// column is in is null, so the column is taken to be so as well.
fn put_column(
    array: &dyn Array,
    rows: Range<usize>,
    within: Option<&BooleanBuffer>,
    depth: usize,
    out: &mut impl Output,
) -> Result<(), DataType> {
    let unsupported = || array.data_type().clone();
    let layout = Layout::of(array.data_type()).filter(|_| depth <= NESTING_MAX).ok_or_else(unsupported)?;
    let valid = validity(array, &rows, within);
    let valid = valid.as_ref();
    match valid {
        None => out.put(&[NO_NULLS]),
        Some(valid) => {
            out.put(&[NULLS]);
            put_bits(valid, out);
        }
    }
    match (Physical::of(array).ok_or_else(unsupported)?, layout) {
        (Physical::Bits(bits), _) => {
            let bits = bits.slice(rows.start, rows.len());
            put_bits(&valid.map_or_else(|| bits.clone(), |valid| &bits & valid), out);
        }
        (Physical::Fixed(bytes), Layout::Fixed(width)) => {
            runs(valid, &rows).for_each(|run| out.put(&bytes[run.start * width..run.end * width]));
        }
        (Physical::Bytes { offsets, bytes }, _) => {
            put_lengths(offsets, valid, &rows, out);
            runs(valid, &rows).for_each(|run| out.put(&bytes[offsets.span(run)]));
        }
        (Physical::List { offsets, child }, _) => {
            put_lengths(offsets, valid, &rows, out);
            put_items(child, runs(valid, &rows).map(|run| offsets.span(run)), depth, out)?;
        }
        (Physical::Struct(children), _) => {
            for child in children {
                put_column(child.as_ref(), rows.clone(), valid, depth + 1, out)?;
            }
        }
        _ => return Err(unsupported()),
    }
    Ok(())
}

/// Which of the rows are not null; `None` if all are.
fn validity(array: &dyn Array, rows: &Range<usize>, within: Option<&BooleanBuffer>) -> Option<BooleanBuffer> {
    let own = array.nulls().filter(|nulls| nulls.null_count() > 0);
    let own = own.map(|nulls| nulls.inner().slice(rows.start, rows.len()));
    let both = match (own, within) {
        (Some(own), Some(within)) => Some(&own & within),
        (own, within) => own.or_else(|| within.cloned()),
    };
    both.filter(|valid| valid.count_set_bits() < rows.len())
}

/// The rows that are not null, in ranges that do not touch.
fn runs(valid: Option<&BooleanBuffer>, rows: &Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let all = valid.is_none().then(|| rows.clone());
    let start = rows.start;
    let some = valid.into_iter().flat_map(BooleanBuffer::set_slices);
    all.into_iter().chain(some.map(move |(from, to)| start + from..start + to))
}

fn put_lengths(offsets: Offsets<'_>, valid: Option<&BooleanBuffer>, rows: &Range<usize>, out: &mut impl Output) {
    runs(valid, rows).for_each(|run| offsets.lengths(run, |len| put_varint(len, out)));
}

/// Appends the rows of `child` that are in `spans`, as one column. There is more than one span only if null lists have
/// items in memory, which is rare: copying those that stay is good enough.
fn put_items(
    child: &ArrayRef,
    spans: impl Iterator<Item = Range<usize>>,
    depth: usize,
    out: &mut impl Output,
) -> Result<(), DataType> {
    let mut merged: Vec<Range<usize>> = Vec::new();
    for span in spans.filter(|span| !span.is_empty()) {
        match merged.last_mut().filter(|last| last.end == span.start) {
            Some(last) => last.end = span.end,
            None => merged.push(span),
        }
    }
    if let [] | [_] = merged.as_slice() {
        return put_column(child.as_ref(), merged.pop().unwrap_or_default(), None, depth + 1, out);
    }
    let spans: Vec<ArrayRef> = merged.into_iter().map(|span| child.slice(span.start, span.len())).collect();
    let spans: Vec<&dyn Array> = spans.iter().map(AsRef::as_ref).collect();
    let items = concat(&spans).map_err(|_| child.data_type().clone())?;
    put_column(items.as_ref(), 0..items.len(), None, depth + 1, out)
}

/// Appends bits, the first in the lowest bit of the first byte, and zeros up to a whole byte.
fn put_bits(bits: &BooleanBuffer, out: &mut impl Output) {
    let chunks = bits.bit_chunks();
    chunks.iter().for_each(|chunk| out.put(&chunk.to_le_bytes()));
    let rest = chunks.remainder_bits().to_le_bytes();
    out.put(rest.get(..chunks.remainder_len().div_ceil(8)).unwrap_or_default());
}

/// Appends a number, seven bits a byte, the lowest first; all bytes but the last have the highest bit set.
fn put_varint(number: usize, out: &mut impl Output) {
    let mut number = number as u64;
    loop {
        let [byte, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            return out.put(&[byte]);
        }
        out.put(&[0x80 | byte]);
    }
}
