//! `Footer`: where everything is in an object, as its reader needs it.

use std::{collections::HashMap, fmt, ops::Range, sync::Arc};

use arrow_schema::Schema;
use bytes::Bytes;
use logboom_logtail_core::{
    ColumnId, ObjectId,
    block_meta::{BlockMeta, ObjectMeta},
};
use parquet::{
    DecodeResult,
    arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions},
    basic::Type,
    errors::ParquetError,
    file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataPushDecoder},
};

use crate::{
    checksums::{self, Checksums},
    error::ReadError,
    object_schema::{COMMIT_COLUMN, column_id},
};

/// The footer of an object, parsed: its schema, the places, statistics and checksums of its pages.
///
/// It is what a first read of an object gets, and is the same for all readers of it, who may share and cache it.
pub struct Footer {
    object: ObjectId,
    bytes: u64,
    arrow: ArrowReaderMetadata,
    checksums: Checksums,
    /// The positions of the columns by their ids.
    columns: HashMap<ColumnId, usize>,
    /// The leaves of each column.
    leaves: Vec<Range<usize>>,
    /// The blocks of each row group.
    groups: Vec<Range<usize>>,
    /// The rows of each block: positions in the object.
    blocks: Vec<Range<u32>>,
}

/// A page, or a bloom filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) bytes: Range<u64>,
    pub(crate) crc: u32,
}

impl Footer {
    /// Parses the footer of the object with these metadata: the bytes in its [`ObjectMeta::footer_range`].
    ///
    /// # Errors
    /// [`ReadError::Footer`] for other bytes than were written there.
    pub fn parse(meta: &ObjectMeta, bytes: Bytes) -> Result<Arc<Self>, ReadError> {
        let fault = |reason: String| ReadError::Footer { object: meta.id, reason };
        let range = meta.footer_range();
        let len = range.end.saturating_sub(range.start);
        if bytes.len() as u64 != len {
            return Err(fault(format!("it has {} bytes, where {len} are expected", bytes.len())));
        }
        let crc = checksums::of_range(&bytes, 0..bytes.len());
        if crc != meta.footer_crc {
            return Err(fault(format!("its checksum is {crc:08x}, where {:08x} is stated", meta.footer_crc)));
        }
        let checksums = Checksums::decode(&bytes).map_err(|reason| fault(reason.to_owned()))?;
        let parquet = decode(meta.bytes, range, bytes).map_err(|error| fault(error.to_string()))?;
        let arrow = ArrowReaderMetadata::try_new(Arc::new(parquet), ArrowReaderOptions::new());
        let arrow = arrow.map_err(|error| fault(error.to_string()))?;
        let roots = arrow.schema().fields().iter().enumerate();
        let footer = Self {
            object: meta.id,
            bytes: meta.bytes,
            columns: roots.filter_map(|(at, field)| Some((column_id(field)?, at))).collect(),
            leaves: leaves(&arrow),
            groups: groups(&checksums),
            blocks: meta.blocks.iter().map(|block| block.row_range()).collect(),
            arrow,
            checksums,
        };
        footer.check(meta).map_err(|reason| fault(reason.to_owned()))?;
        Ok(Arc::new(footer))
    }

    /// The object that it is of.
    pub fn object(&self) -> ObjectId {
        self.object
    }

    /// The bytes of memory that it takes, to bound a cache by.
    pub fn memory_bytes(&self) -> usize {
        // The schema is there as Arrow has it as well, in about as many bytes a column as a field takes.
        let columns = self.arrow.schema().fields().len() * 256;
        let ranges = self.groups.len() * size_of::<Range<usize>>() + self.blocks.len() * size_of::<Range<u32>>();
        size_of::<Self>() + self.parquet().memory_size() + self.checksums.memory_bytes() + columns + ranges
    }

    /// The columns as they were written, the commit timestamp last, if rows have their own.
    pub fn schema(&self) -> &Schema {
        self.arrow.schema()
    }

    /// What the footer lacks of what is said of the object, or of itself; readers rely on this check.
    fn check(&self, meta: &ObjectMeta) -> Result<(), &'static str> {
        let parquet = self.parquet();
        let all_known = meta.blocks.iter().all(|block| commit_of(block).is_some());
        require(self.commit_column().is_some() || all_known, "it has no commit timestamps")?;
        require(parquet.num_row_groups() == self.groups.len(), "it has no checksums of some row groups")?;
        require(self.groups.last().map_or(0, |last| last.end) == self.blocks.len(), "it has other blocks")?;
        for (number, (group, blocks)) in parquet.row_groups().iter().zip(&self.groups).enumerate() {
            let rows = self.blocks.get(blocks.clone()).unwrap_or_default();
            let count: u64 = rows.iter().map(|rows| u64::from(rows.end - rows.start)).sum();
            require(u64::try_from(group.num_rows()) == Ok(count), "a row group has other rows than its blocks")?;
            for column in 0..group.num_columns() {
                let dictionary = self.dictionary(number, column).map(|page| page.bytes);
                let pages = (0..blocks.len()).map(|block| self.page(number, column, block).map(|page| page.bytes));
                let pages: Option<Vec<_>> = pages.collect();
                let pages = pages.ok_or("a page has no place or no checksum")?;
                let mut all = dictionary.into_iter().chain(pages).peekable();
                let bounds = group.column(column).byte_range();
                let mut next = bounds.0;
                let follow = all.all(|page| std::mem::replace(&mut next, page.end) == page.start && next > page.start);
                require(follow && next <= meta.footer_offset, "the pages of a column do not follow each other")?;
                require(next.checked_sub(bounds.0) == Some(bounds.1), "the pages of a column are not all of it")?;
            }
        }
        Ok(())
    }

    pub(crate) fn arrow(&self) -> &ArrowReaderMetadata {
        &self.arrow
    }

    pub(crate) fn parquet(&self) -> &ParquetMetaData {
        self.arrow.metadata()
    }

    /// The size of the object.
    pub(crate) fn object_bytes(&self) -> u64 {
        self.bytes
    }

    /// The position of the column with this id.
    pub(crate) fn column(&self, id: ColumnId) -> Option<usize> {
        self.columns.get(&id).copied()
    }

    /// The position of the commit timestamps; `None` in an object of a load.
    pub(crate) fn commit_column(&self) -> Option<usize> {
        let last = self.schema().fields().len().checked_sub(1)?;
        (self.schema().field(last).name() == COMMIT_COLUMN).then_some(last)
    }

    /// The leaves of the column at a position.
    pub(crate) fn leaves(&self, column: usize) -> Range<usize> {
        self.leaves.get(column).cloned().unwrap_or_default()
    }

    /// The path of a leaf.
    pub(crate) fn leaf_name(&self, leaf: usize) -> String {
        self.arrow.parquet_schema().columns().get(leaf).map(|column| column.path().string()).unwrap_or_default()
    }

    /// The type of a leaf in Parquet.
    pub(crate) fn leaf_type(&self, leaf: usize) -> Option<Type> {
        self.arrow.parquet_schema().columns().get(leaf).map(|column| column.physical_type())
    }

    /// The blocks of each row group.
    pub(crate) fn groups(&self) -> &[Range<usize>] {
        &self.groups
    }

    /// The positions of the rows of a block.
    pub(crate) fn block(&self, block: usize) -> Option<Range<u32>> {
        self.blocks.get(block).cloned()
    }

    /// The dictionary of a leaf in a row group, if it has one.
    pub(crate) fn dictionary(&self, group: usize, leaf: usize) -> Option<Place> {
        let start = self.parquet().row_groups().get(group)?.columns().get(leaf)?.byte_range().0;
        let first = self.page(group, leaf, 0)?.bytes.start;
        let crc = self.checksums.dictionary(group, leaf)?;
        (start < first).then_some(Place { bytes: start..first, crc })
    }

    /// The page of a leaf for a block, which is counted within its row group.
    pub(crate) fn page(&self, group: usize, leaf: usize, block: usize) -> Option<Place> {
        let index = self.parquet().offset_index()?.get(group)?.get(leaf)?;
        let page = index.page_locations().get(block)?;
        let start = u64::try_from(page.offset).ok()?;
        let end = start.checked_add(u64::try_from(page.compressed_page_size).ok()?)?;
        Some(Place { bytes: start..end, crc: self.checksums.page(group, leaf, block)? })
    }

    /// The bloom filter of a leaf in a row group, if it has one.
    pub(crate) fn bloom_filter(&self, group: usize, leaf: usize) -> Option<Place> {
        let column = self.parquet().row_groups().get(group)?.columns().get(leaf)?;
        let start = u64::try_from(column.bloom_filter_offset()?).ok()?;
        let end = start.checked_add(u64::try_from(column.bloom_filter_length()?).ok()?)?;
        let crc = self.checksums.bloom(group, leaf)?;
        (start < end && end <= self.bytes).then_some(Place { bytes: start..end, crc })
    }
}

impl fmt::Debug for Footer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_struct("Footer");
        f.field("object", &self.object).field("blocks", &self.blocks.len()).finish_non_exhaustive()
    }
}

/// Parquet's own metadata, in the footer's bytes.
fn decode(object_bytes: u64, range: Range<u64>, bytes: Bytes) -> Result<ParquetMetaData, ParquetError> {
    let absent = || ParquetError::General("it has no metadata of Parquet".to_owned());
    // The decoder subtracts this length from the object's.
    let (before, tail) = bytes.split_last_chunk::<8>().ok_or_else(absent)?;
    let [l0, l1, l2, l3, b'P', b'A', b'R', b'1'] = *tail else { return Err(absent()) };
    if u64::from(u32::from_le_bytes([l0, l1, l2, l3])) > before.len() as u64 {
        return Err(absent());
    }
    let decoder = ParquetMetaDataPushDecoder::try_new(object_bytes)?;
    let mut decoder = decoder.with_page_index_policy(PageIndexPolicy::Required);
    decoder.push_range(range, bytes)?;
    match decoder.try_decode()? {
        DecodeResult::Data(parquet) => Ok(parquet),
        DecodeResult::NeedsData(_) | DecodeResult::Finished => Err(absent()),
    }
}

/// The leaves of each column.
fn leaves(arrow: &ArrowReaderMetadata) -> Vec<Range<usize>> {
    let parquet = arrow.parquet_schema();
    let mut leaves = vec![0..0; arrow.schema().fields().len()];
    for leaf in 0..parquet.num_columns() {
        if let Some(own) = leaves.get_mut(parquet.get_column_root_idx(leaf)) {
            *own = if own.end == 0 { leaf..leaf + 1 } else { own.start..leaf + 1 };
        }
    }
    leaves
}

/// The blocks of each row group.
fn groups(checksums: &Checksums) -> Vec<Range<usize>> {
    let mut next = 0;
    let range = |blocks| {
        let start = next;
        next += blocks;
        start..next
    };
    checksums.blocks().map(range).collect()
}

/// When all rows of a block committed, if that is the same for all.
pub(crate) fn commit_of(block: &BlockMeta) -> Option<i64> {
    (block.low_commit == block.high_commit).then(|| block.low_commit.to_i64())
}

fn require(holds: bool, what: &'static str) -> Result<(), &'static str> {
    if holds { Ok(()) } else { Err(what) }
}
