//! Which rows of a column in a record are not null.

use std::ops::Range;

use arrow_buffer::bit_iterator::BitSliceIterator;

use super::{
    cursor::Cursor,
    layout::{NO_NULLS, NULLS},
};

/// Which of the rows that a column takes from a record are not null.
pub(super) struct Valid<'a> {
    pub(super) rows: usize,
    /// How many rows are not null: for these the record has values.
    pub(super) count: usize,
    /// A bit a row, and zeros behind them; `None` where no row is null.
    pub(super) bits: Option<&'a [u8]>,
}

impl<'a> Valid<'a> {
    /// Takes the first byte of a column of `rows` rows, and the bitmap if there is one.
    pub(super) fn take(record: &mut Cursor<'a>, rows: usize) -> Result<Self, &'static str> {
        match record.byte()? {
            NO_NULLS => Ok(Self { rows, count: rows, bits: None }),
            NULLS => {
                let bits = take_bits(record, rows)?;
                let count = bits.iter().map(|byte| byte.count_ones() as usize).sum();
                Ok(Self { rows, count, bits: Some(bits) })
            }
            _ => Err("the column begins with a byte that is neither 0 nor 1"),
        }
    }

    /// The rows that are not null, in ranges that do not touch.
    pub(super) fn runs(&self) -> impl Iterator<Item = Range<usize>> {
        let all = self.bits.is_none().then_some(0..self.rows);
        let some = self.bits.into_iter().flat_map(|bits| BitSliceIterator::new(bits, 0, self.rows));
        all.into_iter().chain(some.map(|(from, to)| from..to))
    }

    /// Whether all rows that are not null by the bits of `outer` are not null here either; without `outer`, whether no
    /// row is null.
    pub(super) fn covers(&self, outer: Option<&[u8]>) -> bool {
        match (self.bits, outer) {
            (None, _) => true,
            (Some(bits), Some(outer)) => bits.iter().zip(outer).all(|(own, outer)| outer & !own == 0),
            (Some(_), None) => self.count == self.rows,
        }
    }
}

/// Takes `rows` bits in whole bytes, the first bit the lowest of the first byte.
pub(super) fn take_bits<'a>(record: &mut Cursor<'a>, rows: usize) -> Result<&'a [u8], &'static str> {
    let bits = record.take(rows.div_ceil(8))?;
    let behind = bits.last().is_some_and(|last| !rows.is_multiple_of(8) && last >> (rows % 8) != 0);
    if behind { Err("a bit behind the last row is set") } else { Ok(bits) }
}
