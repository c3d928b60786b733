//! What a bulk load holds in memory, by an allocator that counts.

#![expect(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

use std::{
    alloc::System,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::DataType;
use logboom::{Config, Engine, ShardId};
use logboom_logtail::{Error, NewColumn, NewTable, Options, Projection, Tail};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const ROWS: i64 = 1_000_000;
const MIB: usize = 1 << 20;

/// The bytes that are allocated now.
fn held() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated.saturating_sub(stats.bytes_deallocated)
}

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

    let before = held();
    let (most, is_over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let watch = {
        let (most, is_over) = (Arc::clone(&most), Arc::clone(&is_over));
        thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                most.fetch_max(held(), Ordering::Relaxed);
                thread::yield_now();
            }
        })
    };
    let mut load = tail.load(table).unwrap();
    for first in (0..ROWS).step_by(10_000) {
        load.write(&batch(first)).unwrap();
        most.fetch_max(held(), Ordering::Relaxed);
    }
    let count = || {
        let batches = tail.scan(table, tail.watermark(), Projection::default()).unwrap();
        batches.map(|batch| batch.unwrap().num_rows()).sum::<usize>()
    };
    assert_eq!(count(), 0);
    let at = load.commit().unwrap();
    is_over.store(true, Ordering::Relaxed);
    watch.join().unwrap();
    let most = most.load(Ordering::Relaxed).saturating_sub(before);
    assert!(most < 16 * MIB, "{} MiB were held", most / MIB);
    assert_eq!((count(), tail.watermark()), (1_000_000, at));

    let mut again = tail.load(table).unwrap();
    again.write(&batch(0)).unwrap();
    assert!(matches!(again.commit(), Err(Error::DuplicateKey { .. })));
}
