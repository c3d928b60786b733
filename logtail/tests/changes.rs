//! Tables come and go while a log tail is at work.

#![expect(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

mod tables;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use logboom::ShardId;
use logboom_logtail::{Change, CheckpointKind, DatabaseId, Options, Projection, Result, TableId, Tail};

use tables::{create_in, engine, with_table};

/// Threads that create and drop tables.
const CHANGING: usize = 2;
/// How many each of them creates before the tail is opened again.
const TABLES: usize = 30;

fn insert(tail: &Tail, table: TableId, id: i64) -> Result<()> {
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![id]));
    let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("row")]));
    let row = RecordBatch::try_from_iter_with_nullable([("id", ids, false), ("s", texts, true)])?;
    let mut transaction = tail.begin();
    transaction.insert(table, &row)?;
    transaction.commit().map(drop)
}

fn count(tail: &Tail, table: TableId) -> usize {
    let scan = tail.scan(table, tail.watermark(), Projection::default()).unwrap();
    scan.map(|batch| batch.unwrap().num_rows()).sum()
}

/// Creates tables, of which some get a row, and drops them.
fn come_and_go(tail: &Tail, database: DatabaseId, prefix: &str) -> Result<()> {
    for number in 0..TABLES {
        let table = create_in(tail, database, &format!("{prefix}-{number}"), true);
        if number % 3 == 0 {
            insert(tail, table, 1)?;
        }
        tail.change(&Change::DropTable { table })?;
    }
    Ok(())
}

/// A checkpoint is of a time: what is created behind it is in the log alone, however far its creation is.
#[test]
fn tables_come_and_go_beside_checkpoints() {
    for (kind, history) in [(CheckpointKind::Global, 20), (CheckpointKind::Incremental, 300_000)] {
        let dir = tempfile::tempdir().unwrap();
        let mut options = Options::new(dir.path().join("objects").to_string_lossy());
        options.history = Duration::from_millis(history);
        let log = engine(dir.path());
        let (tail, table) = with_table(&log, options.clone(), true);
        drop((tail, log));
        for life in 0..4 {
            let log = engine(dir.path());
            let tail = Tail::open(&log, ShardId(1), options.clone()).unwrap();
            assert_eq!(count(&tail, table), life, "{kind:?}");
            insert(&tail, table, i64::try_from(life).unwrap()).unwrap();
            let database = tail.create_database(&format!("life-{life}")).unwrap();
            let changing = AtomicUsize::new(CHANGING);
            thread::scope(|scope| {
                for thread in 0..CHANGING {
                    let (tail, changing) = (&tail, &changing);
                    scope.spawn(move || {
                        let done = come_and_go(tail, database, &format!("{thread}"));
                        changing.fetch_sub(1, Ordering::Relaxed);
                        done.unwrap();
                    });
                }
                while changing.load(Ordering::Relaxed) > 0 {
                    tail.checkpoint(kind).unwrap();
                }
            });
        }
    }
}
