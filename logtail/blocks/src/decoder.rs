//! `Decoder`: the columns of a run's blocks.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, cast::AsArray, types::Int64Type};
use arrow_schema::ArrowError;
use logboom_logtail_core::block_meta::BLOCK_ROWS_MAX;
use parquet::{
    arrow::{
        ProjectionMask,
        arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection},
    },
    errors::ParquetError,
};

use crate::{fetched::Fetched, footer::Footer, kept::Kept, pages::FlatColumn, run::Run};

/// Decodes the blocks of a run in their order.
pub(crate) struct Decoder {
    columns: Vec<Column>,
    commits: Option<Column>,
    /// The parquet crate's reader of the columns that are decoded with all rows.
    whole: Option<ParquetRecordBatchReader>,
}

/// How a column is decoded.
enum Column {
    /// Without the rows that are left out.
    Flat(Box<FlatColumn>),
    /// With all rows: the column of this number that the parquet crate gives.
    Whole(usize),
}

/// The rows of a block that stay.
pub(crate) struct Decoded {
    pub(crate) kept: Kept,
    pub(crate) columns: Vec<ArrayRef>,
    pub(crate) commits: Option<Int64Array>,
}

impl Decoder {
    /// A decoder of `run` from its bytes.
    pub(crate) fn new(run: &Run, footer: &Footer, fetched: &Fetched) -> Result<Self, ParquetError> {
        let mut whole = Vec::new();
        let mut column = |position: usize| {
            let flat = run.leaves_out.then(|| FlatColumn::new(footer, fetched, run.group, position)).flatten();
            flat.map_or_else(
                || {
                    whole.push(position);
                    Column::Whole(whole.len() - 1)
                },
                |flat| Column::Flat(Box::new(flat)),
            )
        };
        let columns = run.columns.iter().map(|position| column(*position)).collect();
        let commits = footer.commit_column().filter(|_| run.commits).map(column);
        let whole = if whole.is_empty() { None } else { Some(whole_reader(run, &whole, footer, fetched)?) };
        Ok(Self { columns, commits, whole })
    }

    /// Decodes the next block, the one of this number within its row group: the rows of `kept` that committed up to a
    /// timestamp.
    pub(crate) fn next(&mut self, block: usize, kept: Kept, up_to: i64) -> Result<Decoded, ArrowError> {
        let whole = match &mut self.whole {
            Some(reader) => next_batch(reader, kept.len())?,
            None => Vec::new(),
        };
        let all = Kept::all(kept.len());
        let commits = match &mut self.commits {
            Some(column) => Some(column.decode(block, &all, &whole)?),
            None => None,
        };
        let commits = commits.as_ref().map(|commits| commits.as_primitive_opt::<Int64Type>().ok_or_else(other_type));
        let commits = commits.transpose()?.map(Int64Array::values);
        let kept = match commits {
            Some(commits) => kept.up_to(commits, up_to),
            None => kept,
        };
        let commits = commits.map(|commits| kept.commits(commits));
        let columns = match kept.rows() {
            0 => Vec::new(),
            _ => self.columns.iter_mut().map(|column| column.decode(block, &kept, &whole)).collect::<Result<_, _>>()?,
        };
        Ok(Decoded { kept, columns, commits })
    }
}

impl Column {
    fn decode(&mut self, block: usize, kept: &Kept, whole: &[ArrayRef]) -> Result<ArrayRef, ArrowError> {
        match self {
            Self::Flat(column) => column.decode(block, kept),
            Self::Whole(at) => {
                let column = whole.get(*at).ok_or_else(other_type)?;
                if kept.rows() == kept.len() { Ok(Arc::clone(column)) } else { kept.of(column) }
            }
        }
    }
}

/// The parquet crate's reader of columns at these positions.
fn whole_reader(
    run: &Run,
    columns: &[usize],
    footer: &Footer,
    fetched: &Fetched,
) -> Result<ParquetRecordBatchReader, ParquetError> {
    let mask = ProjectionMask::roots(footer.arrow().parquet_schema(), columns.iter().copied());
    let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(fetched.clone(), footer.arrow().clone())
        .with_row_groups(vec![run.group])
        .with_projection(mask)
        .with_batch_size(usize::try_from(BLOCK_ROWS_MAX).unwrap_or(usize::MAX));
    // All blocks but the last of a row group have the same number of rows, so a batch is a block.
    match selection(run, footer) {
        Some(selection) => builder.with_row_selection(selection).build(),
        None => builder.build(),
    }
}

/// The rows of the run's blocks within the row group; `None` for all of them.
fn selection(run: &Run, footer: &Footer) -> Option<RowSelection> {
    let group = footer.groups().get(run.group)?;
    if group.len() == run.blocks.len() {
        return None;
    }
    let first = footer.block(group.start)?.start;
    let of = |row: u32| usize::try_from(row.saturating_sub(first)).unwrap_or(usize::MAX);
    let rows = run.blocks.iter().filter_map(|block| footer.block(*block)).map(|rows| of(rows.start)..of(rows.end));
    let total = of(footer.block(group.end.checked_sub(1)?)?.end);
    Some(RowSelection::from_consecutive_ranges(rows, total))
}

/// The columns of the next block, which has `rows` rows.
fn next_batch(reader: &mut ParquetRecordBatchReader, rows: usize) -> Result<Vec<ArrayRef>, ArrowError> {
    let end = || Err(ArrowError::ParquetError("there are no more rows".to_owned()));
    let batch = reader.next().unwrap_or_else(end)?;
    if batch.num_rows() != rows {
        return Err(ArrowError::ParquetError(format!("{} rows instead of {rows}", batch.num_rows())));
    }
    Ok(batch.columns().iter().map(Arc::clone).collect())
}

fn other_type() -> ArrowError {
    ArrowError::ParquetError("a column was decoded in another type".to_owned())
}
