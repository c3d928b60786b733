//! Where the values of a growing column of strings, binaries or lists end.

use std::ops::Range;

use arrow_array::OffsetSizeTrait;
use arrow_buffer::ArrowNativeType;

use super::{cursor::Cursor, valid::Valid};

/// Offsets as Arrow has them, with 32 or 64 bits: the first is 0, then one for the end of each row.
#[derive(Debug)]
pub(super) enum Offsets {
    Narrow(Vec<i32>),
    Wide(Vec<i64>),
}

/// Why lengths are not appended.
pub(super) enum Fault {
    Malformed(&'static str),
    /// The sum of the lengths is more than an offset can be.
    Full,
}

impl From<&'static str> for Fault {
    fn from(reason: &'static str) -> Self {
        Self::Malformed(reason)
    }
}

impl Offsets {
    /// Those of no rows.
    pub(super) fn new(wide: bool) -> Self {
        if wide { Self::Wide(vec![0]) } else { Self::Narrow(vec![0]) }
    }

    /// Appends rows whose lengths come from the record: one for each row that is not null. Returns the sum of the
    /// lengths, each of which `per_byte` times the bytes that are left allow.
    pub(super) fn append(
        &mut self,
        record: &mut Cursor<'_>,
        valid: &Valid<'_>,
        per_byte: usize,
    ) -> Result<usize, Fault> {
        match self {
            Self::Narrow(offsets) => append(offsets, record, valid, per_byte),
            Self::Wide(offsets) => append(offsets, record, valid, per_byte),
        }
    }

    /// From where the first of `rows` begins to where the last one ends.
    pub(super) fn span(&self, rows: &Range<usize>) -> Range<usize> {
        match self {
            Self::Narrow(offsets) => offsets[rows.start].as_usize()..offsets[rows.end].as_usize(),
            Self::Wide(offsets) => offsets[rows.start].as_usize()..offsets[rows.end].as_usize(),
        }
    }

    /// The ends of the rows from `row` on.
    pub(super) fn ends(&self, row: usize) -> impl Iterator<Item = usize> {
        let (narrow, wide) = match self {
            Self::Narrow(offsets) => (offsets.get(row + 1..), None),
            Self::Wide(offsets) => (None, offsets.get(row + 1..)),
        };
        let narrow = narrow.unwrap_or_default().iter().map(|end| end.as_usize());
        narrow.chain(wide.unwrap_or_default().iter().map(|end| end.as_usize()))
    }

    /// Drops the rows from `rows` on, and returns where the last one ends that stays.
    pub(super) fn truncate(&mut self, rows: usize) -> usize {
        match self {
            Self::Narrow(offsets) => offsets.truncate(rows + 1),
            Self::Wide(offsets) => offsets.truncate(rows + 1),
        }
        self.span(&(0..rows)).end
    }

    /// A copy of those of `rows`.
    pub(super) fn copy(&self, rows: &Range<usize>) -> Self {
        match self {
            Self::Narrow(offsets) => Self::Narrow(copy(&offsets[rows.start..=rows.end])),
            Self::Wide(offsets) => Self::Wide(copy(&offsets[rows.start..=rows.end])),
        }
    }

    /// Takes memory for as many as `other` has, and as the last record of a chunk adds.
    pub(super) fn reserve_like(&mut self, other: &Self) {
        match (self, other) {
            (Self::Narrow(offsets), Self::Narrow(other)) => offsets.reserve(other.len() + other.len() / 16),
            (Self::Wide(offsets), Self::Wide(other)) => offsets.reserve(other.len() + other.len() / 16),
            _ => {}
        }
    }

    pub(super) fn shrink_to_fit(&mut self) {
        match self {
            Self::Narrow(offsets) => offsets.shrink_to_fit(),
            Self::Wide(offsets) => offsets.shrink_to_fit(),
        }
    }

    pub(super) fn allocated_bytes(&self) -> usize {
        match self {
            Self::Narrow(offsets) => offsets.capacity() * size_of::<i32>(),
            Self::Wide(offsets) => offsets.capacity() * size_of::<i64>(),
        }
    }
}

fn append<O: OffsetSizeTrait>(
    offsets: &mut Vec<O>,
    record: &mut Cursor<'_>,
    valid: &Valid<'_>,
    per_byte: usize,
) -> Result<usize, Fault> {
    // A length takes a byte at least.
    if valid.count > record.left() {
        return Err(Fault::Malformed("fewer bytes are left than there are lengths"));
    }
    let mut last = offsets.last().copied().unwrap_or_default();
    let (first, before) = (last.as_usize(), offsets.len());
    let mut end = first;
    offsets.reserve(valid.rows);
    for run in valid.runs() {
        offsets.resize(before + run.start, last);
        for _ in run {
            let len = record.varint()?;
            if len > record.left().saturating_mul(per_byte) {
                return Err(Fault::Malformed("a length is more than the bytes that are left"));
            }
            end = end.checked_add(len).ok_or(Fault::Full)?;
            last = O::from_usize(end).ok_or(Fault::Full)?;
            offsets.push(last);
        }
    }
    offsets.resize(before + valid.rows, last);
    Ok(end - first)
}

/// `offsets`, so that the first one is 0.
fn copy<O: OffsetSizeTrait>(offsets: &[O]) -> Vec<O> {
    let first = offsets.first().copied().unwrap_or_default();
    offsets.iter().map(|offset| *offset - first).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_that_32_bits_do_not_hold_is_no_offset() {
        let append = |first: i32, len: u8| {
            let record = [&[len], [0; 9].as_slice()].concat();
            let valid = Valid { rows: 1, count: 1, bits: None };
            append(&mut vec![first], &mut Cursor::new(&record), &valid, 1)
        };
        assert!(matches!(append(i32::MAX - 9, 9), Ok(9)));
        assert!(matches!(append(i32::MAX - 8, 9), Err(Fault::Full)));
        assert!(matches!(append(i32::MAX - 8, 10), Err(Fault::Malformed(_))));
    }
}
