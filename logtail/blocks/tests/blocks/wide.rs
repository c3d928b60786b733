//! Rows that are large, and many columns.

use std::{ops::Range, sync::Arc};

use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::DataType;
use logboom_logtail_blocks::{ObjectWriter, ScanRequest, WriteOptions};
use logboom_logtail_core::{block_meta::BLOCKS_MAX, key::KeyEncoder};

use crate::model::{Rows, field, footer, read, rng, schema, spec};

/// Rows with a key that is sorted or not, and a text of `len` bytes each.
fn large(count: usize, len: usize, sorted: bool) -> Rows {
    let schema = schema([field(1, "key", DataType::Int64, false), field(2, "text", DataType::Utf8, false)]);
    let number = |row: usize| i64::try_from(row).unwrap();
    let key = (0..count).map(|row| if sorted { number(row) } else { number(row).wrapping_mul(7_777_777_777) % 1001 });
    let text = (0..count).map(|row| format!("{row:0len$}"));
    let columns: Vec<ArrayRef> =
        vec![Arc::new(Int64Array::from_iter_values(key)), Arc::new(StringArray::from_iter_values(text))];
    let commits = Int64Array::from_iter_values((0..count).map(number));
    Rows { batch: RecordBatch::try_new(schema, columns).unwrap(), commits }
}

#[test]
fn large_rows_end_blocks_and_row_groups_early() {
    for sorted in [true, false] {
        let rows = large(20_000, 2000, sorted);
        let mut options = WriteOptions::default();
        (options.row_group_bytes, options.object_bytes) = (6 << 20, u64::MAX);
        let mut writer = ObjectWriter::new(spec(rows.batch.schema_ref(), &[1], sorted), options).unwrap();
        let mut most = 0;
        for start in (0..20_000).step_by(1000) {
            writer.write(&rows.batch.slice(start, 1000), &rows.commits.slice(start, 1000)).unwrap();
            most = most.max(writer.memory_bytes());
        }
        let object = writer.finish().unwrap();
        assert_eq!(object.meta.rows(), 20_000);
        // 6 MiB are 3200 rows.
        let blocks = &object.meta.blocks;
        assert!(blocks.len() >= 6 && blocks.iter().all(|block| block.rows <= 3500), "{} blocks", blocks.len());
        assert!(most < 50 << 20, "{most} bytes");
        let encoder = KeyEncoder::new([rows.batch.schema_ref().field(0)]).unwrap();
        for block in blocks {
            let Range { start, end } = block.row_range();
            let (start, end) = (usize::try_from(start).unwrap(), usize::try_from(end).unwrap());
            let keys = encoder.encode(&[rows.batch.column(0).slice(start, end - start)]).unwrap();
            assert_eq!(block.low_key.as_deref(), keys.iter().min());
            assert_eq!(block.high_key.as_deref(), keys.iter().max());
            assert_eq!(block.low_commit.to_i64(), rows.commits.value(start));
            assert_eq!(block.high_commit.to_i64(), rows.commits.value(end - 1));
        }
        let request = ScanRequest::new(rows.batch.schema(), 0..blocks.len());
        let batches = read(&footer(&object), &object.meta, &object.bytes, request).unwrap();
        let back =
            arrow_select::concat::concat_batches(rows.batch.schema_ref(), batches.iter().map(|batch| &batch.rows));
        assert_eq!(back.unwrap(), rows.batch);
    }
}

#[test]
fn an_object_that_is_full_has_the_first_rows() {
    let rows = large(3000, 1000, true);
    let check = |options: WriteOptions| {
        let (mut first, mut blocks) = (0, Vec::new());
        while first < 3000 {
            let mut writer = ObjectWriter::new(spec(rows.batch.schema_ref(), &[1], true), options.clone()).unwrap();
            for start in (first..3000).step_by(500) {
                let len = 500.min(3000 - start);
                writer.write(&rows.batch.slice(start, len), &rows.commits.slice(start, len)).unwrap();
            }
            let object = writer.finish().unwrap();
            let request = ScanRequest::new(rows.batch.schema(), 0..object.meta.blocks.len());
            let batches = read(&footer(&object), &object.meta, &object.bytes, request).unwrap();
            let back = arrow_select::concat::concat_batches(rows.batch.schema_ref(), batches.iter().map(|b| &b.rows));
            let taken = usize::try_from(object.meta.rows()).unwrap();
            assert_eq!(back.unwrap(), rows.batch.slice(first, taken));
            first += taken;
            blocks.push(object.meta.blocks.len());
        }
        blocks
    };
    // A few rows fill a row group, so objects are full by the number of their blocks.
    let mut options = WriteOptions::default();
    options.row_group_bytes = 1;
    let blocks = check(options.clone());
    assert!(blocks.len() > 1 && blocks[0] == BLOCKS_MAX, "{blocks:?}");
    // And here by their bytes.
    options.row_group_bytes = 200_000;
    options.object_bytes = 1_000_000;
    assert!(check(options).len() > 1);
}

#[test]
fn the_writer_of_many_columns_keeps_within_its_budget() {
    let (_seed, mut rng) = rng();
    let fields = (1..=400).map(|id| field(id, &format!("c{id}"), DataType::Int64, id % 2 == 0));
    let mut rows = Rows::random(&mut rng, &schema(fields), 8192);
    let mut distinct = || Arc::new(Int64Array::from_iter_values((0..8192).map(|_| rng.i64(..)))) as ArrayRef;
    rows.batch = RecordBatch::try_new(rows.batch.schema(), (0..400).map(|_| distinct()).collect()).unwrap();
    let mut options = WriteOptions::default();
    (options.row_group_bytes, options.object_bytes) = (32 << 20, u64::MAX);
    let mut writer = ObjectWriter::new(spec(rows.batch.schema_ref(), &[], false), options).unwrap();
    for _ in 0..4 {
        writer.write(&rows.batch, &rows.commits).unwrap();
    }
    let object = writer.finish().unwrap();
    let footer = footer(&object);
    let footer_bytes = object.meta.bytes - object.meta.footer_offset;
    // Four row groups of 400 columns, some 300 bytes each, and three times as many in memory.
    assert!(footer_bytes < 700 << 10, "{footer_bytes} of {}, {} blocks", object.meta.bytes, object.meta.blocks.len());
    assert!(footer.memory_bytes() < 4 << 20, "{}", footer.memory_bytes());
    let request = ScanRequest::new(schema([rows.batch.schema().field(399).clone()]), 0..object.meta.blocks.len());
    let batches = read(&footer, &object.meta, &object.bytes, request).unwrap();
    assert_eq!(batches.iter().map(|batch| batch.rows.num_rows()).sum::<usize>(), 4 * 8192);
    assert_eq!(batches[0].rows.column(0), &rows.batch.column(399).slice(0, batches[0].rows.num_rows()));
}
