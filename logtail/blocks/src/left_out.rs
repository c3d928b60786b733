//! Rows of a block that a scan leaves out.

use std::ops::Range;

use arrow_array::{Array, ArrayRef, BooleanArray};
use arrow_buffer::{BooleanBuffer, MutableBuffer, bit_util};
use arrow_schema::ArrowError;
use arrow_select::filter::{FilterBuilder, FilterPredicate};

/// Which rows of a block stay.
pub(crate) struct Kept {
    predicate: FilterPredicate,
}

impl Kept {
    /// All rows of the block at `rows` but those at the positions `left_out`, and those that committed after `up_to`;
    /// `None` where all stay.
    pub(crate) fn new(rows: &Range<u32>, left_out: &[u32], commits: Option<(&[i64], i64)>) -> Option<Self> {
        let len = usize::try_from(rows.end - rows.start).unwrap_or(0);
        let late = commits.is_some_and(|(commits, up_to)| commits.iter().any(|commit| *commit > up_to));
        if left_out.is_empty() && !late {
            return None;
        }
        let mut bits = match commits.filter(|_| late) {
            Some((commits, up_to)) => {
                MutableBuffer::collect_bool(len, |row| commits.get(row).is_some_and(|ts| *ts <= up_to))
            }
            None => MutableBuffer::new(len.div_ceil(8)).with_bitset(len.div_ceil(8), true),
        };
        for row in left_out.iter().filter(|row| rows.contains(row)) {
            bit_util::unset_bit(bits.as_slice_mut(), usize::try_from(row - rows.start).unwrap_or(0));
        }
        let mask = BooleanArray::new(BooleanBuffer::new(bits.into(), 0, len), None);
        Some(Self { predicate: FilterBuilder::new(&mask).optimize().build() })
    }

    /// How many rows stay.
    pub(crate) fn rows(&self) -> usize {
        self.predicate.count()
    }

    /// The rows of a column that stay.
    pub(crate) fn of(&self, column: &dyn Array) -> Result<ArrayRef, ArrowError> {
        self.predicate.filter(column)
    }
}
