//! A row group on its way into an object.

use std::{io, sync::Arc};

use arrow_array::ArrayRef;
use arrow_schema::{Schema, SchemaRef};
use parquet::{
    arrow::{
        ArrowSchemaConverter, add_encoded_arrow_schema_to_metadata,
        arrow_writer::{ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves},
    },
    errors::ParquetError,
    file::{
        metadata::ColumnChunkMetaData,
        properties::{BloomFilterPosition, EnabledStatistics, WriterProperties, WriterPropertiesBuilder},
        writer::SerializedFileWriter,
    },
    schema::types::{ColumnPath, SchemaDescriptor},
};

use logboom_logtail_core::{block_meta::BLOCK_ROWS_MAX, key::BOUND_BYTES_MAX};

use crate::{
    checksums::{self, ColumnChecksums},
    dictionary,
    error::WriteError,
    object_bytes::ObjectBytes,
    object_schema::ObjectSchema,
    options::WriteOptions,
    page_log::PageLog,
};

/// The most blocks of a row group. Scans of row groups that are a sixteenth of this take 2.6 times as long in DuckDB.
pub(crate) const GROUP_BLOCKS_MAX: usize = 16;

/// What a page or a dictionary must not exceed: no limit at all, as pages end where blocks do, and nowhere else.
const NO_LIMIT: usize = 1 << 30;

/// A row group ends when the dictionary of a column takes this much memory: the sample of its first rows was not like
/// what followed.
const DICTIONARY_BYTES_MAX: usize = 2 << 20;

/// A bloom filter has one false positive in a hundred, and one in thirty where that takes more than 2 bytes a row.
const BLOOM_FPP: f64 = 0.01;
const BLOOM_FPP_MAX: f64 = 0.03;

/// The bytes of a block of a bloom filter, and more than what precedes the blocks.
const FILTER_BLOCK: usize = 32;
const FILTER_HEADER_MAX: usize = 64;

/// What is the same for all row groups of an object.
#[derive(Debug)]
pub(crate) struct Encoding {
    arrow: SchemaRef,
    parquet: SchemaDescriptor,
    properties: WriterProperties,
}

/// A row group whose pages are in memory.
pub(crate) struct RowGroup {
    writers: Vec<ArrowColumnWriter>,
    dictionaries: Vec<bool>,
    pages: Arc<PageLog>,
    /// The number of blocks that have ended.
    blocks: u16,
}

impl Encoding {
    pub(crate) fn new(schema: &ObjectSchema, options: &WriteOptions) -> Result<Self, WriteError> {
        let arrow = Arc::clone(&schema.arrow);
        let parquet = ArrowSchemaConverter::new().convert(&arrow)?;
        let rows = usize::try_from(BLOCK_ROWS_MAX).unwrap_or(usize::MAX);
        // No write has rows of two blocks, so that a page that is full by its rows ends where a block does.
        let mut builder = WriterProperties::builder()
            .set_created_by(concat!("logboom version ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_compression(options.compression.codec()?)
            .set_data_page_row_count_limit(rows)
            .set_data_page_size_limit(NO_LIMIT)
            .set_dictionary_page_size_limit(NO_LIMIT)
            .set_dictionary_enabled(false)
            .set_statistics_enabled(EnabledStatistics::Page)
            .set_statistics_truncate_length(Some(BOUND_BYTES_MAX))
            .set_column_index_truncate_length(Some(BOUND_BYTES_MAX))
            .set_bloom_filter_position(BloomFilterPosition::AfterRowGroup);
        if options.bloom_filters {
            let of_key = |leaf: &usize| schema.key.contains(&parquet.get_column_root_idx(*leaf));
            for leaf in (0..parquet.num_columns()).filter(of_key) {
                builder = with_bloom_filter(builder, parquet.column(leaf).path().clone());
            }
        }
        let mut properties = builder.build();
        add_encoded_arrow_schema_to_metadata(&arrow, &mut properties);
        Ok(Self { arrow, parquet, properties })
    }

    /// The writer of the object's bytes.
    pub(crate) fn file(&self) -> Result<SerializedFileWriter<ObjectBytes>, ParquetError> {
        let properties = Arc::new(self.properties.clone());
        SerializedFileWriter::new(ObjectBytes::default(), self.parquet.root_schema_ptr(), properties)
    }

    /// The number of leaf columns.
    pub(crate) fn leaves(&self) -> usize {
        self.parquet.num_columns()
    }

    /// A row group whose rows will be like `sample`, of all columns.
    pub(crate) fn row_group(&self, sample: &[ArrayRef]) -> Result<RowGroup, ParquetError> {
        let dictionaries = self.dictionaries(sample);
        let mut builder = self.properties.clone().into_builder();
        for (leaf, _) in dictionaries.iter().enumerate().filter(|(_, has_one)| **has_one) {
            builder = builder.set_column_dictionary_enabled(self.parquet.column(leaf).path().clone(), true);
        }
        // Properties are of a file, so a file that is not written lends those of this row group.
        let lender = SerializedFileWriter::new(io::sink(), self.parquet.root_schema_ptr(), Arc::new(builder.build()))?;
        let pages = Arc::new(PageLog::new(self.leaves()));
        let factory = ArrowRowGroupWriterFactory::new(&lender, Arc::clone(&self.arrow));
        let writers = factory.with_page_store_factory(Arc::clone(&pages) as _).create_column_writers(0)?;
        Ok(RowGroup { writers, dictionaries, pages, blocks: 0 })
    }

    /// Which leaves get a dictionary.
    fn dictionaries(&self, sample: &[ArrayRef]) -> Vec<bool> {
        let mut chosen = vec![false; self.leaves()];
        let mut from = 0;
        for (root, column) in sample.iter().enumerate() {
            let count = (from..chosen.len()).take_while(|leaf| self.parquet.get_column_root_idx(*leaf) == root).count();
            let own = dictionary::choose(column);
            if own.len() == count {
                chosen[from..from + count].copy_from_slice(&own);
            }
            from += count;
        }
        chosen
    }
}

impl RowGroup {
    /// Encodes rows of all columns. A block's rows come in one or several calls, and no call has rows of two blocks.
    /// `between` is called behind each column.
    pub(crate) fn write(
        &mut self,
        schema: &Schema,
        columns: &[ArrayRef],
        between: &mut dyn FnMut(),
    ) -> Result<(), ParquetError> {
        let mut writers = self.writers.iter_mut();
        for (field, column) in schema.fields().iter().zip(columns) {
            for leaf in compute_leaves(field, column)? {
                let writer = writers.next().ok_or_else(|| ParquetError::General("more leaves than columns".into()))?;
                writer.write(&leaf)?;
            }
            between();
        }
        Ok(())
    }

    /// A block has ended. If it has fewer rows than a block may have, the row group must end with it.
    pub(crate) fn end_block(&mut self) {
        self.blocks += 1;
    }

    /// Whether the row group must end with the block that has.
    pub(crate) fn is_full(&self, options: &WriteOptions) -> bool {
        let mut dictionaries = self.writers.iter().zip(&self.dictionaries).filter(|(_, has_one)| **has_one);
        usize::from(self.blocks) >= GROUP_BLOCKS_MAX
            || self.memory_bytes() >= options.row_group_bytes
            || dictionaries.any(|(writer, _)| writer.memory_size() > DICTIONARY_BYTES_MAX)
    }

    /// The bytes that wait for the row group's end, and what encodes more of them.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.pages.bytes() + self.writers.iter().map(ArrowColumnWriter::memory_size).sum::<usize>()
    }

    /// Appends the row group to the object, which will be full with `object_bytes`. Its number of blocks, and the
    /// checksums of its columns. `between` is called behind each column.
    pub(crate) fn finish(
        self,
        file: &mut SerializedFileWriter<ObjectBytes>,
        object_bytes: u64,
        between: &mut dyn FnMut(),
    ) -> Result<(u16, Vec<ColumnChecksums>), WriteError> {
        let Self { writers, pages, blocks, .. } = self;
        let mut chunks = Vec::with_capacity(writers.len());
        for writer in writers {
            let mut chunk = writer.close()?;
            check_pages(&chunk, blocks)?;
            shrink_bloom_filter(&mut chunk);
            chunks.push(chunk);
            between();
        }
        let filters = chunks.iter().filter_map(|chunk| chunk.close().bloom_filter.as_ref());
        let filters: usize = filters.map(|filter| filter.num_blocks() * FILTER_BLOCK + FILTER_HEADER_MAX).sum();
        file.inner_mut().reserve(pages.bytes() + filters, object_bytes);
        let mut group = file.next_row_group()?;
        for chunk in chunks {
            chunk.append_to_row_group(&mut group)?;
            between();
        }
        let group = group.close()?;
        file.flush().map_err(|error| ParquetError::External(error.into()))?;
        // With the places of its bloom filters, which follow it.
        let written = file.flushed_row_groups().last().map_or(group.columns(), |group| group.columns());
        let columns = written.iter().enumerate().map(|(column, chunk)| {
            let mut crcs = pages.take_crcs(column);
            let has_dictionary = chunk.dictionary_page_offset().is_some() && !crcs.is_empty();
            let dictionary = if has_dictionary { crcs.remove(0) } else { 0 };
            ColumnChecksums { dictionary, bloom: bloom_crc(file.inner().as_slice(), chunk), pages: crcs }
        });
        Ok((blocks, columns.collect()))
    }
}

fn with_bloom_filter(builder: WriterPropertiesBuilder, column: ColumnPath) -> WriterPropertiesBuilder {
    // As large as a row group needs whose values are all distinct; the encoder folds it to what its own values need.
    let rows = u64::from(BLOCK_ROWS_MAX) * GROUP_BLOCKS_MAX as u64;
    builder.set_column_bloom_filter_fpp(column.clone(), BLOOM_FPP).set_column_bloom_filter_max_ndv(column, rows)
}

/// Readers rely on a page of each column for each block.
fn check_pages(chunk: &ArrowColumnChunk, blocks: u16) -> Result<(), WriteError> {
    let close = chunk.close();
    let pages = close.offset_index.as_ref().map(|index| index.page_locations().as_slice()).unwrap_or_default();
    let starts = (0..).step_by(usize::try_from(BLOCK_ROWS_MAX).unwrap_or(usize::MAX));
    let aligned = pages.iter().zip(starts).all(|(page, start): (_, i64)| page.first_row_index == start);
    if aligned && pages.len() == usize::from(blocks) {
        return Ok(());
    }
    Err(WriteError::Pages { column: close.metadata.column_path().string() })
}

fn shrink_bloom_filter(chunk: &mut ArrowColumnChunk) {
    let close = chunk.close_mut();
    if let Some(filter) = &mut close.bloom_filter
        && (filter.num_blocks() * FILTER_BLOCK) as u64 > 2 * close.rows_written
    {
        filter.fold_to_target_fpp(BLOOM_FPP_MAX);
    }
}

fn bloom_crc(object: &[u8], chunk: &ColumnChunkMetaData) -> u32 {
    let range = bloom_range(chunk);
    range.map_or(0, |range| checksums::of_range(object, range))
}

/// Where the bloom filter of a column of a row group lies in the object.
pub(crate) fn bloom_range(chunk: &ColumnChunkMetaData) -> Option<std::ops::Range<usize>> {
    let start = usize::try_from(chunk.bloom_filter_offset()?).ok()?;
    let len = usize::try_from(chunk.bloom_filter_length()?).ok()?;
    Some(start..start.checked_add(len)?)
}
