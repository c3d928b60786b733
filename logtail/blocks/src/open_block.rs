//! The block that is being written: its bounds.

use arrow_array::{Array, ArrayRef, Int64Array};
use logboom_logtail_core::{
    Timestamp,
    block_meta::BlockMeta,
    key::{BOUND_BYTES_MAX, KeyEncoder, cut_lower, cut_upper},
};

use crate::error::WriteError;

/// The lowest and the highest key of rows; `None` for a table without a key.
pub(crate) type KeyBounds = Option<(Vec<u8>, Vec<u8>)>;

/// A block, and what is known of the rows that it has so far.
#[derive(Debug)]
pub(crate) struct OpenBlock {
    first_row: u32,
    rows: u32,
    keys: KeyBounds,
    low_commit: i64,
    high_commit: i64,
}

impl OpenBlock {
    /// A block that begins with the row at this position.
    pub(crate) fn new(first_row: u32) -> Self {
        Self { first_row, rows: 0, keys: None, low_commit: i64::MAX, high_commit: 0 }
    }

    /// The position of the next row.
    pub(crate) fn next_row(&self) -> u32 {
        self.first_row + self.rows
    }

    /// The highest key.
    pub(crate) fn high_key(&self) -> Option<&[u8]> {
        self.keys.as_ref().map(|(_, high)| high.as_slice())
    }

    /// Adds rows, at least one: their number, the lowest and the highest of their keys, and their commit timestamps, if
    /// they have any.
    pub(crate) fn add(&mut self, rows: u32, keys: KeyBounds, commits: Option<&Int64Array>) {
        self.rows += rows;
        self.keys = match (self.keys.take(), keys) {
            (Some((low, high)), Some((next_low, next_high))) => Some((low.min(next_low), high.max(next_high))),
            (own, keys) => own.or(keys),
        };
        let commits = commits.into_iter().flat_map(|commits| commits.values().iter());
        let (low, high) = commits.fold((i64::MAX, 0), |(low, high), ts| (low.min(*ts), high.max(*ts)));
        self.low_commit = self.low_commit.min(low);
        self.high_commit = self.high_commit.max(high);
    }

    /// The block's metadata, as far as its rows decide them.
    pub(crate) fn finish(self, sorted: bool) -> BlockMeta {
        let timestamp = |value| Timestamp::from_i64(value).unwrap_or_default();
        let (low_key, high_key) = self.keys.unzip();
        BlockMeta {
            first_row: self.first_row,
            rows: self.rows,
            low_key: low_key.map(|key| cut_lower(&key, BOUND_BYTES_MAX).to_vec()),
            high_key: high_key.and_then(|key| cut_upper(&key, BOUND_BYTES_MAX)),
            low_commit: timestamp(self.low_commit.min(self.high_commit)),
            high_commit: timestamp(self.high_commit),
            sorted,
            created: Timestamp::ZERO,
            deleted: None,
            appendable: false,
            tombstones: None,
            truncation_point: Timestamp::ZERO,
        }
    }
}

/// The lowest and the highest key of rows that are sorted by them: those of the first and the last row.
pub(crate) fn ends(encoder: &KeyEncoder, key: &[ArrayRef]) -> Result<KeyBounds, WriteError> {
    let rows = key.first().map_or(0, |column| column.len());
    let Some(last) = rows.checked_sub(1) else { return Ok(None) };
    let row = |at| encoder.encode(&key.iter().map(|column| column.slice(at, 1)).collect::<Vec<_>>());
    let (low, high) = (row(0)?, row(last)?);
    Ok(low.get(0).zip(high.get(0)).map(|(low, high)| (low.to_vec(), high.to_vec())))
}

/// The lowest and the highest key of rows in any order, and the position of the first that is below the one before.
pub(crate) fn extremes(encoder: &KeyEncoder, key: &[ArrayRef]) -> Result<(KeyBounds, Option<usize>), WriteError> {
    let keys = encoder.encode(key)?;
    let bounds = keys.iter().min().zip(keys.iter().max()).map(|(low, high)| (low.to_vec(), high.to_vec()));
    let unsorted = keys.iter().zip(keys.iter().skip(1)).position(|(one, next)| next < one);
    Ok((bounds, unsorted.map(|at| at + 1)))
}
