//! The rows of a block that a scan keeps.

use std::{cell::OnceCell, ops::Range};

use arrow_array::{Array, ArrayRef, BooleanArray, Int64Array, UInt32Array};
use arrow_buffer::BooleanBufferBuilder;
use arrow_schema::ArrowError;
use arrow_select::filter::{FilterBuilder, FilterPredicate};

/// Rows of a block that stay, in runs.
pub(crate) struct Kept {
    /// Rising, none empty, counted within the block.
    runs: Vec<Range<usize>>,
    /// The rows of the block.
    len: usize,
    /// The rows that stay.
    rows: usize,
    /// The same for columns that are decoded with all rows, made when there is one.
    filter: OnceCell<FilterPredicate>,
}

impl Kept {
    /// All of `len` rows.
    pub(crate) fn all(len: usize) -> Self {
        Self::of_runs(std::iter::once(0..len).filter(|run| !run.is_empty()).collect(), len)
    }

    /// All rows of the block at `rows` but those at the positions `left_out`.
    pub(crate) fn without(rows: &Range<u32>, left_out: &[u32]) -> Self {
        let len = rows.len();
        let (mut runs, mut next) = (Vec::with_capacity(left_out.len() + 1), 0);
        for row in left_out.iter().filter(|row| rows.contains(row)) {
            let row = usize::try_from(row - rows.start).unwrap_or(len);
            if next < row {
                runs.push(next..row);
            }
            next = next.max(row + 1);
        }
        if next < len {
            runs.push(next..len);
        }
        Self::of_runs(runs, len)
    }

    /// Those of the rows that committed up to a timestamp.
    pub(crate) fn up_to(self, commits: &[i64], up_to: i64) -> Self {
        if commits.iter().all(|commit| *commit <= up_to) {
            return self;
        }
        let mut runs: Vec<Range<usize>> = Vec::new();
        for row in self.runs.iter().cloned().flatten() {
            if commits.get(row).is_none_or(|commit| *commit > up_to) {
                continue;
            }
            match runs.last_mut() {
                Some(last) if last.end == row => last.end += 1,
                _ => runs.push(row..row + 1),
            }
        }
        Self::of_runs(runs, self.len)
    }

    fn of_runs(runs: Vec<Range<usize>>, len: usize) -> Self {
        let rows = runs.iter().map(ExactSizeIterator::len).sum();
        Self { runs, len, rows, filter: OnceCell::new() }
    }

    pub(crate) fn runs(&self) -> &[Range<usize>] {
        &self.runs
    }

    /// The rows of the block.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The rows that stay.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// The rows that stay of a column that has all rows.
    pub(crate) fn of(&self, column: &dyn Array) -> Result<ArrayRef, ArrowError> {
        let filter = || {
            let (mut mask, mut next) = (BooleanBufferBuilder::new(self.len), 0);
            for run in &self.runs {
                mask.append_n(run.start - next, false);
                mask.append_n(run.len(), true);
                next = run.end;
            }
            mask.append_n(self.len - next, false);
            FilterBuilder::new(&BooleanArray::new(mask.finish(), None)).optimize().build()
        };
        self.filter.get_or_init(filter).filter(column)
    }

    /// The rows that stay of commit timestamps.
    pub(crate) fn commits(&self, commits: &[i64]) -> Int64Array {
        let runs = self.runs.iter().filter_map(|run| commits.get(run.clone()));
        runs.flatten().copied().collect::<Vec<_>>().into()
    }

    /// The positions of the rows that stay, in an object where the block's first is at `first`.
    pub(crate) fn positions(&self, first: u32) -> UInt32Array {
        let position = |row: usize| u32::try_from(row).map_or(u32::MAX, |row| first.saturating_add(row));
        self.runs.iter().cloned().flatten().map(position).collect::<Vec<_>>().into()
    }
}
