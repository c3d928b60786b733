//! What a bulk load holds in memory, by an allocator that counts.

#![expect(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

mod held;

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::DataType;
use logboom::{Config, Engine, ShardId};
use logboom_logtail::{Error, NewColumn, NewTable, Options, Projection, Tail};

use held::{MIB, most};

const ROWS: i64 = 1_000_000;

/// Rows `first` to `first + 10_000`, whose ids are spread over those of all rows.
fn batch(first: i64) -> RecordBatch {
    let ids = (first..first + 10_000).map(|row| row * 7919 % ROWS);
    let texts: ArrayRef =
        Arc::new(StringArray::from_iter_values(ids.clone().map(|id| format!("text of row {id:>20}"))));
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(ids));
    RecordBatch::try_from_iter([("id", ids), ("s", texts)]).unwrap()
}

/// The rows take 44 MiB, in 30 runs of 2 MiB whose keys are spread over those of all others.
#[test]
fn a_million_rows_are_loaded_in_little_memory() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(dir.path().join("log"));
    config.segment_bytes = 4 << 20;
    let engine = Engine::open(config).unwrap();
    let mut options = Options::new(dir.path().join("objects").to_string_lossy());
    options.load_bytes = 2 * MIB;
    (options.footer_cache_bytes, options.page_cache_bytes) = (MIB as u64, MIB as u64);
    let tail = Tail::open(&engine, ShardId(1), options).unwrap();
    let database = tail.create_database("shop").unwrap();
    let columns = vec![NewColumn::required("id", DataType::Int64), NewColumn::required("s", DataType::Utf8)];
    let table = NewTable { name: "orders".into(), columns, key: vec!["id".into()] };
    let table = tail.create_table(database, table).unwrap();

    let count = || {
        let batches = tail.scan(table, tail.watermark(), Projection::default()).unwrap();
        batches.map(|batch| batch.unwrap().num_rows()).sum::<usize>()
    };
    let (most, at) = most(|| {
        let mut load = tail.load(table).unwrap();
        (0..ROWS).step_by(10_000).for_each(|first| load.write(&batch(first)).unwrap());
        assert_eq!(count(), 0);
        load.commit().unwrap()
    });
    assert!(most < 16 * MIB, "{} MiB were held", most / MIB);
    assert_eq!((count(), tail.watermark()), (1_000_000, at));

    let mut again = tail.load(table).unwrap();
    again.write(&batch(0)).unwrap();
    assert!(matches!(again.commit(), Err(Error::DuplicateKey { .. })));
}
