//! What rows hold in memory when there are several times as many as may be, by an allocator that counts.

#![expect(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

mod held;

use std::{sync::Arc, time::Duration};

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::DataType;
use logboom::{Config, Engine, ShardId};
use logboom_logtail::{NewColumn, NewTable, Options, Projection, Tail};

use held::{MIB, most};

const CAP: usize = 16 * MIB;
const ROWS: i64 = 1_000_000;
const BATCH: i64 = 2000;

fn batch(first: i64) -> RecordBatch {
    let ids = (first..first + BATCH).map(|row| row * 7919 % ROWS);
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values(
        ids.clone().map(|id| format!("text of row {id:>20}, and what else there is to say of it {:>30}", id * 7)),
    ));
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(ids));
    RecordBatch::try_from_iter([("id", ids), ("text", texts)]).unwrap()
}

/// No checkpoint is written: the restart reads all rows from the log, in the memory of those that were there at a time
/// and what is read at once. Writing takes some more, for the objects of a flush that are being encoded and put.
#[test]
fn a_tail_of_six_times_the_bound_takes_little_more_than_it() {
    let dir = tempfile::tempdir().unwrap();
    let engine = || {
        let mut config = Config::new(dir.path().join("log"));
        config.segment_bytes = 4 << 20;
        (config.cache_bytes, config.read_ahead_bytes, config.admission_bytes) = (1 << 20, 1 << 20, 4 << 20);
        Engine::open(config).unwrap()
    };
    let mut options = Options::new(dir.path().join("objects").to_string_lossy());
    options.memory_bytes_max = CAP;
    options.table_bytes_max = CAP;
    options.flush.table_bytes = CAP / 4;
    options.checkpoint_interval = Duration::from_secs(100_000);
    (options.footer_cache_bytes, options.page_cache_bytes) = (MIB as u64, MIB as u64);
    options.read_ahead_bytes = MIB as u64;
    options.objects.row_group_bytes = 2 * MIB;
    let count = |tail: &Tail, table| {
        let batches = tail.scan(table, tail.watermark(), Projection::default()).unwrap();
        batches.map(|batch| batch.unwrap().num_rows()).sum::<usize>()
    };

    let opened = engine();
    let tail = Tail::open(&opened, ShardId(1), options.clone()).unwrap();
    let database = tail.create_database("shop").unwrap();
    let columns = vec![NewColumn::required("id", DataType::Int64), NewColumn::required("text", DataType::Utf8)];
    let table = tail.create_table(database, NewTable { name: "orders".into(), columns, key: Vec::new() }).unwrap();
    let (written, ()) = most(|| {
        for first in (0..ROWS).step_by(usize::try_from(BATCH).unwrap()) {
            let mut transaction = tail.begin();
            transaction.insert(table, &batch(first)).unwrap();
            transaction.commit().unwrap();
        }
    });
    eprintln!("{} bytes committed, {} MiB held", tail.metrics().commit_bytes, written / MIB);
    assert!(tail.metrics().commit_bytes > 6 * CAP as u64);
    assert_eq!(count(&tail, table), 1_000_000);
    tail.close().unwrap();
    opened.close().unwrap();

    let opened = engine();
    options.threads = false; // so that nothing is flushed
    let (restarted, tail) = most(|| Tail::open(&opened, ShardId(1), options.clone()).unwrap());
    eprintln!("{} MiB held at the restart", restarted / MIB);
    assert_eq!(count(&tail, table), 1_000_000);
    assert!(written < 3 * CAP / 2 + 10 * MIB, "{} MiB were held", written / MIB);
    assert!(restarted < 5 * CAP / 4 + 8 * MIB, "{} MiB were held", restarted / MIB);
}
