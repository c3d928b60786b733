//! Values of 4 and 8 bytes.

use std::{ops::Range, sync::Arc};

use arrow_array::{ArrayRef, PrimitiveArray, downcast_primitive};
use arrow_buffer::{ArrowNativeType, Buffer, ScalarBuffer};
use arrow_schema::{ArrowError, DataType};

use super::{Rows, Source, malformed};

/// A value as a page has it.
pub(super) trait Word: ArrowNativeType {
    /// Its bytes.
    type Bytes;

    /// The whole values in `bytes`.
    fn chunks(bytes: &[u8]) -> &[Self::Bytes];
    /// The value with these bytes.
    fn of(bytes: &Self::Bytes) -> Self;
    /// The lowest bytes of `words`: of 1, 2 or more.
    fn cut(words: Vec<Self>, width: usize) -> Buffer;
}

impl Word for u32 {
    type Bytes = [u8; 4];

    fn chunks(bytes: &[u8]) -> &[Self::Bytes] {
        bytes.as_chunks().0
    }

    fn of(bytes: &Self::Bytes) -> Self {
        Self::from_le_bytes(*bytes)
    }

    /// Integers of 8 and of 16 bits take 32 in a page.
    fn cut(words: Vec<Self>, width: usize) -> Buffer {
        let low = words.iter().map(|word| word.to_le_bytes());
        match width {
            1 => Buffer::from_vec(low.map(|[low, ..]| low).collect::<Vec<u8>>()),
            2 => Buffer::from_vec(low.map(|[low, next, ..]| u16::from_le_bytes([low, next])).collect::<Vec<u16>>()),
            _ => Buffer::from_vec(words),
        }
    }
}

impl Word for u64 {
    type Bytes = [u8; 8];

    fn chunks(bytes: &[u8]) -> &[Self::Bytes] {
        bytes.as_chunks().0
    }

    fn of(bytes: &Self::Bytes) -> Self {
        Self::from_le_bytes(*bytes)
    }

    fn cut(words: Vec<Self>, _: usize) -> Buffer {
        Buffer::from_vec(words)
    }
}

/// The values in `bytes`.
pub(super) fn words<W: Word>(bytes: &[u8]) -> Vec<W> {
    W::chunks(bytes).iter().map(W::of).collect()
}

/// The array of the rows that stay.
pub(super) fn array<W: Word>(
    data_type: &DataType,
    source: &Source<'_, Vec<W>>,
    rows: &Rows<'_>,
) -> Result<ArrayRef, ArrowError> {
    let mut words: Vec<W> = Vec::with_capacity(rows.kept.rows());
    match source {
        Source::Plain(bytes) => {
            let values = W::chunks(bytes);
            rows.runs(|run, first| place(&mut words, values, W::of, run, first, rows))?;
        }
        Source::Indexes(indexes, dictionary) => {
            let word = |index: &u32| dictionary.get(*index as usize).copied().unwrap_or_default();
            rows.runs(|run, first| place(&mut words, indexes, word, run, first, rows))?;
        }
    }
    let nulls = rows.nulls();
    let width = data_type.primitive_width().unwrap_or_default();
    macro_rules! primitive {
        ($t:ty, $words:expr) => {{
            let values = ScalarBuffer::from(W::cut($words, width));
            Ok(Arc::new(PrimitiveArray::<$t>::try_new(values, nulls)?.with_data_type(data_type.clone())))
        }};
    }
    downcast_primitive! {
        data_type => (primitive, words),
        _ => Err(malformed("a type of another layout"))
    }
}

/// Appends a run of rows: the values from the number `first` on, and 0 for a row without one.
fn place<W: Word, V>(
    words: &mut Vec<W>,
    values: &[V],
    word: impl Fn(&V) -> W,
    run: Range<usize>,
    first: usize,
    rows: &Rows<'_>,
) -> Result<(), ArrowError> {
    let count = rows.values(run.clone());
    let values = values.get(first..first + count).ok_or_else(|| malformed("values cut short"))?;
    let Some(validity) = rows.validity.filter(|_| count < run.len()) else {
        words.extend(values.iter().map(word));
        return Ok(());
    };
    // Without a branch by row, as nulls are seldom where one expects them.
    let (start, mut next) = (words.len(), 0);
    words.resize(start + run.len(), W::default());
    for (slot, row) in words.iter_mut().skip(start).zip(run) {
        let is_valid = validity.value(row);
        let value = values.get(next).map(&word).unwrap_or_default();
        *slot = if is_valid { value } else { W::default() };
        next += usize::from(is_valid);
    }
    Ok(())
}
