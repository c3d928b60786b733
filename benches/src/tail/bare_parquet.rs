//! Objects as the `parquet` crate alone reads and writes them.

use std::{fs::File, path::Path, sync::Arc};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use bytes::Bytes;
use logboom_logtail::BATCH_ROWS;
use parquet::{
    arrow::{ArrowWriter, ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder},
    file::{
        metadata::ParquetMetaData,
        properties::{EnabledStatistics, WriterProperties},
    },
};

use crate::Result;

/// Reads the first `columns` columns of an object, the content of which is in memory. Returns the number of rows.
pub(super) fn read(content: &Bytes, columns: usize) -> Result<u64> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(content.clone())?;
    let mask = ProjectionMask::roots(builder.parquet_schema(), 0..columns);
    let reader = builder.with_batch_size(BATCH_ROWS).with_projection(mask).build()?;
    let mut rows = 0;
    for batch in reader {
        rows += std::hint::black_box(batch?).num_rows() as u64;
    }
    Ok(rows)
}

/// The properties of an object: those that its metadata tell, so that its rows are encoded the same way again.
pub(super) fn properties_of(content: &Bytes) -> Result<WriterProperties> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(content.clone())?;
    let metadata: &Arc<ParquetMetaData> = builder.metadata();
    let group = metadata.row_groups().first().ok_or("the object has no rows")?;
    let mut properties = WriterProperties::builder()
        .set_data_page_row_count_limit(BATCH_ROWS)
        .set_write_batch_size(BATCH_ROWS)
        .set_data_page_size_limit(1 << 30)
        .set_dictionary_page_size_limit(1 << 30)
        .set_max_row_group_row_count(usize::try_from(group.num_rows()).ok())
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_dictionary_enabled(false);
    for column in group.columns() {
        let path = column.column_path().clone();
        properties = properties.set_column_compression(path.clone(), column.compression());
        properties = properties.set_column_dictionary_enabled(path.clone(), column.dictionary_page_offset().is_some());
        if column.bloom_filter_offset().is_some() {
            properties = properties.set_column_bloom_filter_enabled(path, true);
        }
    }
    Ok(properties.build())
}

/// Writes rows to a new file, which is durable on return.
pub(super) fn write(
    path: &Path,
    schema: &SchemaRef,
    batches: &[RecordBatch],
    properties: WriterProperties,
) -> Result<()> {
    let mut writer = ArrowWriter::try_new(File::create(path)?, Arc::clone(schema), Some(properties))?;
    batches.iter().try_for_each(|batch| writer.write(batch))?;
    Ok(writer.into_inner()?.sync_all()?)
}
