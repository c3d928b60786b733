//! What objects are made of: blocks, bounds, pages, bytes.

use arrow_array::{Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::DataType;
use logboom_logtail_blocks::{Compression, ObjectWriter, ScanRequest, WriteError, WriteOptions};
use logboom_logtail_core::{ColumnId, Timestamp, block_meta::ObjectMeta, key::KeyEncoder};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaDataReader};

use crate::model::{Rows, any_type, field, footer, read, rng, schema, spec, write};
use std::sync::Arc;

/// Rows of a table with the key (text, number), sorted by it.
fn sorted(count: usize) -> Rows {
    let schema = schema([
        field(1, "text", DataType::Utf8, false),
        field(2, "number", DataType::Int64, false),
        field(3, "value", DataType::Int64, true),
    ]);
    let text = (0..count).map(|row| format!("tenant-{:03}", row / 5000)).collect::<Vec<_>>();
    let number = Int64Array::from_iter_values((0..count).map(|row| i64::try_from(row).unwrap() - 1000));
    let value = Int64Array::from_iter((0..count).map(|row| (row % 7 != 0).then_some(3)));
    let columns: Vec<arrow_array::ArrayRef> =
        vec![Arc::new(StringArray::from(text)), Arc::new(number), Arc::new(value)];
    let commits = Int64Array::from_iter_values((0..count).map(|row| i64::try_from(row % 100 + row / 100).unwrap()));
    Rows { batch: RecordBatch::try_new(schema, columns).unwrap(), commits }
}

#[test]
fn twenty_thousand_rows_are_three_blocks() {
    let (_seed, mut rng) = rng();
    let rows = sorted(20_000);
    let object = write(&mut rng, spec(rows.batch.schema_ref(), &[1, 2], true), &WriteOptions::default(), &rows);
    let blocks = &object.meta.blocks;
    assert_eq!(
        blocks.iter().map(|block| (block.first_row, block.rows)).collect::<Vec<_>>(),
        [(0, 8192), (8192, 8192), (16_384, 3616)]
    );
    assert_eq!((object.meta.bytes, object.meta.rows()), (object.bytes.len() as u64, 20_000));
    let key = |row: usize| {
        let encoder = KeyEncoder::new([rows.batch.schema().field(0), rows.batch.schema().field(1)]).unwrap();
        encoder.encode(&[rows.batch.column(0).slice(row, 1), rows.batch.column(1).slice(row, 1)]).unwrap()
    };
    for block in blocks {
        let (first, last) =
            (usize::try_from(block.first_row).unwrap(), usize::try_from(block.row_range().end).unwrap() - 1);
        assert_eq!(block.low_key.as_deref(), key(first).get(0));
        assert_eq!(block.high_key.as_deref(), key(last).get(0));
        let commits = &rows.commits.values()[first..=last];
        assert_eq!(block.low_commit.to_i64(), *commits.iter().min().unwrap());
        assert_eq!(block.high_commit.to_i64(), *commits.iter().max().unwrap());
        assert!(block.sorted && block.created == Timestamp::ZERO);
    }
    assert_eq!(ObjectMeta::decode(&object.meta.encode().unwrap()).unwrap(), object.meta);
    let footer = footer(&object);
    let batches = read(&footer, &object.meta, &object.bytes, ScanRequest::new(rows.batch.schema(), 0..3)).unwrap();
    let read = arrow_select::concat::concat_batches(rows.batch.schema_ref(), batches.iter().map(|batch| &batch.rows));
    assert_eq!(read.unwrap(), rows.batch);
}

#[test]
fn the_same_rows_give_the_same_bytes() {
    let (_seed, mut rng) = rng();
    for compression in [Compression::None, Compression::Lz4, Compression::Zstd { level: 1 }] {
        let fields = (1..8).map(|id| field(id, &format!("c{id}"), any_type(&mut rng), rng.bool()));
        let fields: Vec<_> = fields.collect();
        let count = rng.usize(1..40_000);
        let rows = Rows::random(&mut rng, &schema(fields), count);
        let mut options = WriteOptions::default();
        options.compression = compression;
        options.row_group_bytes = 1 << rng.u32(14..24);
        let spec = || spec(rows.batch.schema_ref(), &[], false);
        let (one, other) = (write(&mut rng, spec(), &options, &rows), write(&mut rng, spec(), &options, &rows));
        assert!(one.bytes == other.bytes && one.meta == other.meta);
    }
}

#[test]
fn what_cannot_be_an_object_is_refused() {
    let rows = sorted(10);
    let schema = rows.batch.schema();
    let new = |spec| ObjectWriter::new(spec, WriteOptions::default());
    assert!(matches!(new(spec(&schema, &[9], true)), Err(WriteError::KeyColumn { id: ColumnId(9) })));
    let twice = crate::model::schema([schema.field(0).clone(), schema.field(0).clone()]);
    assert!(matches!(new(spec(&twice, &[], true)), Err(WriteError::Duplicate { id: ColumnId(1), .. })));
    let named = crate::model::schema([field(1, "_commit_ts", DataType::Int64, false)]);
    assert!(matches!(new(spec(&named, &[], true)), Err(WriteError::Duplicate { .. })));
    let nameless = crate::model::schema([arrow_schema::Field::new("a", DataType::Int64, false)]);
    assert!(matches!(new(spec(&nameless, &[], true)), Err(WriteError::NoId { .. })));
    let float = crate::model::schema([field(1, "a", DataType::Float64, false)]);
    assert!(matches!(new(spec(&float, &[1], true)), Err(WriteError::Key(_))));
    assert!(matches!(new(spec(&schema, &[1], true)).unwrap().finish(), Err(WriteError::Empty)));
    let mut options = WriteOptions::default();
    options.compression = Compression::Zstd { level: 99 };
    assert!(matches!(ObjectWriter::new(spec(&schema, &[], true), options), Err(WriteError::Encode(_))));

    let write = |batch: &RecordBatch, commits: &Int64Array| {
        let mut writer = new(spec(&schema, &[1, 2], true)).unwrap();
        writer.write(batch, commits).and_then(|()| writer.finish())
    };
    let commits = rows.commits.slice(0, 9);
    assert!(matches!(write(&rows.batch, &commits), Err(WriteError::Commits { rows: 10, found: 9 })));
    let negative = Int64Array::from(vec![-1; 10]);
    assert!(matches!(write(&rows.batch, &negative), Err(WriteError::Timestamp { value: -1 })));
    let swapped = rows.batch.project(&[1, 0, 2]).unwrap();
    assert!(matches!(write(&swapped, &rows.commits), Err(WriteError::Rows(_))));
    let mut writer = new(spec(&schema, &[1, 2], true)).unwrap();
    writer.write(&rows.batch.slice(5, 5), &rows.commits.slice(5, 5)).unwrap();
    writer.write(&rows.batch.slice(0, 5), &rows.commits.slice(0, 5)).unwrap();
    assert!(matches!(writer.finish(), Err(WriteError::Unsorted { .. })));
}

#[test]
fn four_rows_are_a_small_object() {
    let (_seed, mut rng) = rng();
    let rows = sorted(4);
    let object = write(&mut rng, spec(rows.batch.schema_ref(), &[1, 2], true), &WriteOptions::default(), &rows);
    assert!(object.bytes.len() < 4 << 10, "{} bytes", object.bytes.len());
}

/// It was full before it had a row, so no flush with such options came to its end.
#[test]
fn an_object_of_a_byte_takes_a_block() {
    let (_seed, mut rng) = rng();
    let rows = sorted(4);
    let mut options = WriteOptions::default();
    options.object_bytes = 1;
    let object = write(&mut rng, spec(rows.batch.schema_ref(), &[1, 2], true), &options, &rows);
    assert_eq!(object.meta.rows(), 4);
}

#[test]
fn pages_end_where_blocks_do() {
    let (_seed, mut rng) = rng();
    let fields: Vec<_> = (1..30).map(|id| field(id, &format!("c{id}"), any_type(&mut rng), rng.bool())).collect();
    let rows = Rows::random(&mut rng, &schema(fields), 140_000);
    let mut options = WriteOptions::default();
    options.object_bytes = u64::MAX;
    let object = write(&mut rng, spec(rows.batch.schema_ref(), &[], false), &options, &rows);
    let reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Required);
    let parquet = reader.parse_and_finish(&object.bytes).unwrap();
    assert_eq!(parquet.file_metadata().num_rows(), 140_000);
    // A row group has 16 blocks at most, which are 131,072 rows.
    assert!((2..20).contains(&parquet.num_row_groups()), "{} row groups", parquet.num_row_groups());
    let mut block_starts = Vec::new();
    for (group, pages) in parquet.row_groups().iter().zip(parquet.offset_index().unwrap()) {
        let first = block_starts.len();
        let starts: Vec<i64> = (0..group.num_rows()).step_by(8192).collect();
        for column in pages {
            let of_pages: Vec<i64> = column.page_locations().iter().map(|page| page.first_row_index).collect();
            assert_eq!(of_pages, starts);
        }
        assert!(starts.len() <= 16);
        let rows = object.meta.blocks[first].first_row;
        block_starts.extend(starts.iter().map(|start| rows + u32::try_from(*start).unwrap()));
    }
    assert_eq!(block_starts, object.meta.blocks.iter().map(|block| block.first_row).collect::<Vec<_>>());
}

#[test]
fn few_values_take_few_bytes() {
    let (_seed, mut rng) = rng();
    let schema = schema([field(1, "word", DataType::Utf8, false), field(2, "number", DataType::Int64, true)]);
    let words = ["one", "another", "a third one", "the last one of them"];
    let word = StringArray::from_iter_values((0..100_000).map(|_| words[rng.usize(..4)]));
    let number = Int64Array::from_iter((0..100_000).map(|_| rng.bool().then(|| rng.i64(0..16) << 40)));
    let columns: Vec<arrow_array::ArrayRef> = vec![Arc::new(word), Arc::new(number)];
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
    let rows = Rows { batch, commits: Int64Array::from_iter_values((0..100_000).map(|row| row / 1000)) };
    let object = write(&mut rng, spec(&schema, &[], false), &WriteOptions::default(), &rows);
    // 2 bits, 1 and 4 for each second row, and runs of timestamps.
    assert!(object.bytes.len() < 100_000, "{} bytes", object.bytes.len());
}
