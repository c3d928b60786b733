//! Objects of a load, whose rows commit at one timestamp that is not in them.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use arrow_schema::DataType;
use logboom_logtail_blocks::{
    COMMIT_COLUMN, Lookup, LookupStep, ObjectWriter, ReadError, ScanRequest, WriteError, WriteOptions, WrittenObject,
};
use logboom_logtail_core::{ColumnId, Timestamp, key::KeyEncoder};

use crate::model::{field, footer, read, schema, slice, spec};

const ROWS: i64 = 20_000;

fn at(timestamp: i64) -> Timestamp {
    Timestamp::from_i64(timestamp).unwrap()
}

fn rows() -> RecordBatch {
    let schema = schema([field(1, "id", DataType::Int64, false), field(2, "v", DataType::Int64, false)]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values((0..ROWS).map(|row| row * 2))),
        Arc::new(Int64Array::from_iter_values((0..ROWS).map(|row| -row))),
    ];
    RecordBatch::try_new(schema, columns).unwrap()
}

/// An object of a load that has not been committed yet.
fn written() -> WrittenObject {
    let rows = rows();
    let mut writer = ObjectWriter::of_load(spec(rows.schema_ref(), &[1], true), WriteOptions::default()).unwrap();
    writer.write(&rows, None).unwrap();
    writer.finish().unwrap()
}

/// The same, committed at 700.
fn committed() -> WrittenObject {
    let mut object = written();
    for block in &mut object.meta.blocks {
        (block.low_commit, block.high_commit) = (at(700), at(700));
    }
    object
}

#[test]
fn rows_have_the_timestamp_of_the_metadata() {
    let before = written();
    assert!(before.meta.blocks.iter().all(|block| block.high_commit == Timestamp::ZERO));
    let object = committed();
    // The footer may be that of a reader from before the commit.
    for footer in [footer(&before), footer(&object)] {
        assert!(footer.schema().fields().iter().all(|field| field.name() != COMMIT_COLUMN));
        let mut request = ScanRequest::new(rows().schema(), 0..3);
        (request.commits, request.up_to) = (true, at(700));
        let batches = read(&footer, &object.meta, &object.bytes, request.clone()).unwrap();
        assert_eq!(batches.iter().map(|batch| batch.rows.num_rows()).sum::<usize>(), 20_000);
        for batch in &batches {
            let commits = batch.commits.as_ref().unwrap();
            assert!(commits.len() == batch.rows.num_rows() && commits.values().iter().all(|commit| *commit == 700));
        }
        request.up_to = at(699);
        assert!(read(&footer, &object.meta, &object.bytes, request.clone()).unwrap().is_empty());
        // The last column of the user is a number, as timestamps are, and not taken for them.
        (request.up_to, request.commits) = (Timestamp::MAX, false);
        request.blocks[1].left_out = vec![8192, 8200].into();
        let batches = read(&footer, &object.meta, &object.bytes, request).unwrap();
        assert_eq!(batches.iter().map(|batch| batch.rows.num_rows()).sum::<usize>(), 19_998);
    }
}

#[test]
fn keys_are_found_with_their_timestamp() {
    let object = committed();
    let (footer, meta) = (footer(&object), Arc::new(object.meta.clone()));
    let wanted: ArrayRef = Arc::new(Int64Array::from(vec![0, 7, 16_384, 39_998, 40_000]));
    let keys = KeyEncoder::new([rows().schema().field(0)]).unwrap().encode(&[wanted]).unwrap();
    let mut lookup = Lookup::new(&footer, &meta, &[ColumnId(1)], &keys).unwrap();
    let found = loop {
        match lookup.step().unwrap() {
            LookupStep::Need(ranges) => ranges.into_iter().for_each(|range| {
                let bytes = slice(&object.bytes, &range);
                lookup.feed(range, bytes).unwrap();
            }),
            LookupStep::Done(found) => break found,
        }
    };
    let found: Vec<_> = found.iter().map(|found| (found.key, found.row, found.commit.to_i64())).collect();
    assert_eq!(found, [(0, 0, 700), (2, 8192, 700), (3, 19_999, 700)]);
}

#[test]
fn timestamps_that_are_missing_are_not_made_up() {
    let mut object = committed();
    object.meta.blocks[2].high_commit = at(701);
    let parsed = logboom_logtail_blocks::Footer::parse(&object.meta, slice(&object.bytes, &object.meta.footer_range()));
    assert!(matches!(parsed, Err(ReadError::Footer { .. })), "{parsed:?}");
    let footer = footer(&committed());
    let scanned = read(&footer, &object.meta, &object.bytes, ScanRequest::new(rows().schema(), 0..3));
    assert!(matches!(scanned, Err(ReadError::Footer { .. })), "{scanned:?}");
}

#[test]
fn a_load_takes_no_timestamps_and_a_flush_needs_them() {
    let rows = rows();
    let commits = Int64Array::from_value(1, rows.num_rows());
    let spec = spec(rows.schema_ref(), &[1], true);
    let mut load = ObjectWriter::of_load(spec.clone(), WriteOptions::default()).unwrap();
    assert!(matches!(load.write(&rows, &commits), Err(WriteError::Commits { rows: 0, found: 20_000 })));
    let mut flush = ObjectWriter::new(spec, WriteOptions::default()).unwrap();
    assert!(matches!(flush.write(&rows, None), Err(WriteError::Commits { rows: 20_000, found: 0 })));
}
