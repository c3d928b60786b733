//! Blocks of a row group that are decoded one after the other.

use std::ops::Range;

use arrow_array::ArrayRef;
use arrow_schema::ArrowError;
use parquet::{
    arrow::{
        ProjectionMask,
        arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection},
    },
    errors::ParquetError,
};

use logboom_logtail_core::block_meta::BLOCK_ROWS_MAX;

use crate::{
    fetched::{Fetched, joined},
    footer::Footer,
};

/// Blocks of one row group, in their order, and the columns that are decoded of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) group: usize,
    /// Numbers of blocks.
    pub(crate) blocks: Vec<usize>,
    /// Positions of columns in the object, in its order.
    pub(crate) columns: Vec<usize>,
}

impl Run {
    /// The bytes that decoding takes, in the order of the object.
    pub(crate) fn ranges(&self, footer: &Footer) -> Vec<Range<u64>> {
        let first = footer.groups().get(self.group).map_or(0, |blocks| blocks.start);
        let mut places = Vec::new();
        for leaf in self.columns.iter().flat_map(|column| footer.leaves(*column)) {
            let pages = self.blocks.iter().filter_map(|block| footer.page(self.group, leaf, block.checked_sub(first)?));
            places.extend(footer.dictionary(self.group, leaf).into_iter().chain(pages).map(|place| place.bytes));
        }
        joined(places)
    }

    /// What decodes the run from the bytes that were fetched of [`Run::ranges`].
    pub(crate) fn decoder(&self, footer: &Footer, fetched: Fetched) -> Result<Decoder, ParquetError> {
        if self.columns.is_empty() {
            return Ok(Decoder(None));
        }
        let mask = ProjectionMask::roots(footer.arrow().parquet_schema(), self.columns.iter().copied());
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(fetched, footer.arrow().clone())
            .with_row_groups(vec![self.group])
            .with_projection(mask)
            .with_batch_size(usize::try_from(BLOCK_ROWS_MAX).unwrap_or(usize::MAX));
        // All blocks but the last of a row group have the same number of rows, so a batch is a block.
        let builder = match self.selection(footer) {
            Some(selection) => builder.with_row_selection(selection),
            None => builder,
        };
        Ok(Decoder(Some(builder.build()?)))
    }

    /// The rows of the blocks within the row group; `None` for all of them.
    fn selection(&self, footer: &Footer) -> Option<RowSelection> {
        let group = footer.groups().get(self.group)?;
        if group.len() == self.blocks.len() {
            return None;
        }
        let first = footer.block(group.start)?.start;
        let of = |row: u32| usize::try_from(row.saturating_sub(first)).unwrap_or(usize::MAX);
        let rows = self.blocks.iter().filter_map(|block| footer.block(*block)).map(|rows| of(rows.start)..of(rows.end));
        let total = of(footer.block(group.end.checked_sub(1)?)?.end);
        Some(RowSelection::from_consecutive_ranges(rows, total))
    }
}

/// Gives the columns of each block of a run.
pub(crate) struct Decoder(Option<ParquetRecordBatchReader>);

impl Decoder {
    /// The columns of the run's next block, which has `rows` rows.
    pub(crate) fn next(&mut self, rows: usize) -> Result<Vec<ArrayRef>, ArrowError> {
        let Some(reader) = &mut self.0 else { return Ok(Vec::new()) };
        let batch =
            reader.next().unwrap_or_else(|| Err(ArrowError::ParquetError("there are no more rows".to_owned())))?;
        if batch.num_rows() != rows {
            return Err(ArrowError::ParquetError(format!("{} rows instead of {rows}", batch.num_rows())));
        }
        Ok(batch.columns().to_vec())
    }
}
