//! Tables on a real engine and a directory of objects.

#![expect(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

mod tables;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Waker},
    thread::{self, JoinHandle},
    time::Duration,
};

use arrow_array::{
    Array, ArrayRef, Int64Array, RecordBatch, StringArray,
    cast::AsArray,
    types::{Int64Type, UInt32Type, UInt64Type},
};
use arrow_schema::DataType;
use logboom::ShardId;
use logboom_logtail::{
    Change, CheckpointKind, Error, FlushParts, FlushProgress, NewColumn, NewTable, Options, Projection, Result, RowId,
    RowsetId, TableId, Tail, Timestamp,
};
use logboom_logtail_blocks::ReadError;
use logboom_logtail_core::catalog::TABLES;
use logboom_logtail_objects::OpenError;

use tables::{create_in, engine, with_table};

type Row = (i64, Option<String>);

fn options(dir: &Path) -> Options {
    Options::new(dir.join("objects").to_string_lossy())
}

fn batch(rows: &[Row]) -> RecordBatch {
    let ids: ArrayRef = Arc::new(rows.iter().map(|row| Some(row.0)).collect::<Int64Array>());
    let texts: ArrayRef = Arc::new(rows.iter().map(|row| row.1.clone()).collect::<StringArray>());
    RecordBatch::try_from_iter_with_nullable([("id", ids, false), ("s", texts, true)]).unwrap()
}

fn row(id: i64, version: u64) -> Row {
    (id, (!version.is_multiple_of(5)).then(|| format!("{id}-{version}")))
}

fn keys(ids: &[i64]) -> Vec<ArrayRef> {
    vec![Arc::new(Int64Array::from(ids.to_vec()))]
}

/// Writes a table on a thread, which ends at the first error, until commits wait for memory.
fn fill_memory(tail: &Tail, table: TableId) -> JoinHandle<Option<Error>> {
    let writer = {
        let tail = tail.clone();
        let hundred = (0..100).map(|id| row(id, 1)).collect::<Vec<_>>();
        thread::spawn(move || (0..1000).find_map(|_| upsert(&tail, table, &hundred).err()))
    };
    while !tail.is_waiting_for_memory() {
        assert!(!writer.is_finished(), "nothing waited");
        thread::yield_now();
    }
    writer
}

/// The rows at `timestamp`, sorted.
fn rows(tail: &Tail, table: TableId, timestamp: Timestamp) -> Vec<Row> {
    let batches: Vec<_> = tail.scan(table, timestamp, Projection::default()).unwrap().map(Result::unwrap).collect();
    let rows = batches.iter().flat_map(|batch| {
        assert!(batch.num_rows() <= 8192);
        let (ids, texts) = (batch.column(0).as_primitive::<Int64Type>(), batch.column(1).as_string::<i32>());
        (0..batch.num_rows())
            .map(|at| (ids.value(at), texts.is_valid(at).then(|| texts.value(at).to_owned())))
            .collect::<Vec<_>>()
    });
    let mut rows: Vec<_> = rows.collect();
    rows.sort();
    rows
}

fn upsert(tail: &Tail, table: TableId, rows: &[Row]) -> Result<Timestamp> {
    let mut transaction = tail.begin();
    transaction.upsert(table, &batch(rows))?;
    transaction.commit()
}

#[test]
fn twenty_thousand_rows_become_three_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    let (tail, table) = with_table(&engine, options(dir.path()), true);
    let mut all: Vec<_> = (0..20_000).map(|id| row(id, 1)).collect();
    fastrand::Rng::with_seed(1).shuffle(&mut all);
    for part in all.chunks(999) {
        upsert(&tail, table, part).unwrap();
    }
    let before = rows(&tail, table, tail.watermark());
    tail.flush(table).unwrap();
    let version = tail.version(table).unwrap();
    let blocks: Vec<_> = version.objects().iter().flat_map(|object| &object.meta().blocks).collect();
    assert_eq!(blocks.iter().map(|block| block.rows).collect::<Vec<_>>(), [8192, 8192, 3616]);
    assert!(version.memtables().is_empty());
    assert_eq!(rows(&tail, table, tail.watermark()), before);
    // Scans give the order of the key.
    let first = tail.scan(table, tail.watermark(), Projection::default()).unwrap().next().unwrap().unwrap();
    assert!(first.column(0).as_primitive::<Int64Type>().values().is_sorted());
}

#[test]
fn every_timestamp_shows_the_same_before_and_after_flushes_and_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let (mut model, mut seen) = (BTreeMap::new(), Vec::new());
    let mut rng = fastrand::Rng::with_seed(2);
    let engine = engine(dir.path());
    let (mut tail, table) = with_table(&engine, options(dir.path()), true);
    for version in 1..120 {
        let mut transaction = tail.begin();
        let changed: Vec<_> = (0..rng.usize(1..30)).map(|_| row(rng.i64(0..300), version)).collect();
        transaction.upsert(table, &batch(&changed)).unwrap();
        let gone: Vec<_> = (0..rng.usize(0..5)).map(|_| rng.i64(0..300)).collect();
        transaction.delete(table, &keys(&gone)).unwrap();
        let at = transaction.commit().unwrap();
        model.extend(changed);
        gone.iter().for_each(|id| drop(model.remove(id)));
        seen.push((at, model.clone().into_iter().collect::<Vec<_>>()));
        if version % 25 == 0 {
            tail.flush(table).unwrap();
        }
        if version % 15 == 0 {
            let kind = if version % 30 == 0 { CheckpointKind::Global } else { CheckpointKind::Incremental };
            assert!(tail.checkpoint(kind).unwrap());
        }
        if version % 40 == 0 {
            tail.close().unwrap();
            tail = Tail::open(&engine, ShardId(1), options(dir.path())).unwrap();
        }
        if version % 20 == 0 {
            for (at, expected) in &seen {
                assert_eq!(rows(&tail, table, *at), *expected, "at {at} after {version}");
            }
        }
    }
    assert!(tail.version(table).unwrap().objects().len() >= 4);
}

#[test]
fn the_log_lets_go_of_what_a_checkpoint_has() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    let (tail, table) = with_table(&engine, options(dir.path()), true);
    let shard = engine.shard(ShardId(1));
    for version in 1..200 {
        upsert(&tail, table, &(0..20).map(|id| row(id, version)).collect::<Vec<_>>()).unwrap();
    }
    // Rows that are in memory alone keep the log.
    assert!(tail.checkpoint(CheckpointKind::Global).unwrap());
    let last = shard.last().unwrap();
    assert!(shard.first().unwrap() < 12, "{:?}", shard.bounds());
    tail.flush(table).unwrap();
    assert!(tail.checkpoint(CheckpointKind::Incremental).unwrap());
    assert!(shard.first().unwrap() > last, "{:?}", shard.bounds());
    assert!(!tail.checkpoint(CheckpointKind::Global).unwrap(), "nothing was committed");
    let location = tail.newest_checkpoint().unwrap().location();
    assert_eq!(location.matches(".parquet;").count(), 2, "{location}");

    let before = rows(&tail, table, tail.watermark());
    upsert(&tail, table, &[row(7, 1000)]).unwrap();
    tail.close().unwrap();
    let tail = Tail::open(&engine, ShardId(1), options(dir.path())).unwrap();
    let now = rows(&tail, table, tail.watermark());
    assert_eq!(now.len(), before.len());
    assert!(now.contains(&row(7, 1000)));
    // Once more: a restart changes nothing for the next.
    tail.close().unwrap();
    let tail = Tail::open(&engine, ShardId(1), options(dir.path())).unwrap();
    assert_eq!(rows(&tail, table, tail.watermark()), now);
}

#[test]
fn a_quiet_table_does_not_lose_its_rows_to_checkpoints() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    let (tail, busy) = with_table(&engine, options(dir.path()), true);
    let database = tail.catalog(tail.watermark()).unwrap().find_database("shop").unwrap();
    let columns = vec![NewColumn::required("id", DataType::Int64), NewColumn::nullable("s", DataType::Utf8)];
    let quiet = tail.create_table(database, NewTable { name: "quiet".into(), columns, key: Vec::new() }).unwrap();
    upsert(&tail, quiet, &[row(1, 1), row(2, 1)]).unwrap();
    for version in 1..30 {
        upsert(&tail, busy, &[row(1, version)]).unwrap();
        tail.flush(busy).unwrap();
        assert!(tail.checkpoint(CheckpointKind::Incremental).unwrap());
    }
    tail.close().unwrap();
    let tail = Tail::open(&engine, ShardId(1), options(dir.path())).unwrap();
    assert_eq!(rows(&tail, quiet, tail.watermark()), [row(1, 1), row(2, 1)]);
    assert_eq!(rows(&tail, busy, tail.watermark()), [row(1, 29)]);
}

#[test]
fn keys_in_objects_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    let (tail, table) = with_table(&engine, options(dir.path()), true);
    upsert(&tail, table, &(0..30_000).map(|id| row(2 * id, 1)).collect::<Vec<_>>()).unwrap();
    tail.flush(table).unwrap();
    let mut transaction = tail.begin();
    transaction.insert(table, &batch(&[row(1, 2), row(777, 2)])).unwrap();
    transaction.commit().unwrap();
    let mut transaction = tail.begin();
    transaction.insert(table, &batch(&[row(3, 2), row(40_000, 2)])).unwrap();
    assert!(matches!(transaction.commit(), Err(Error::DuplicateKey { .. })));
    upsert(&tail, table, &[row(40_000, 3)]).unwrap();
    let mut transaction = tail.begin();
    transaction.delete(table, &keys(&[0, 59_998, 5])).unwrap();
    transaction.commit().unwrap();
    let found = rows(&tail, table, tail.watermark());
    assert_eq!(found.len(), 30_000);
    assert!(found.contains(&row(40_000, 3)) && !found.contains(&row(0, 1)) && !found.contains(&row(3, 2)));
}

/// A transaction that somebody submits and forgets is seen all the same.
#[test]
fn a_commit_that_is_held_is_published() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    let (tail, table) = with_table(&engine, options(dir.path()), true);
    let mut transaction = tail.begin();
    transaction.insert(table, &batch(&[row(1, 1)])).unwrap();
    let held = transaction.submit().unwrap();
    while tail.watermark() < held.timestamp() {
        thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(rows(&tail, table, held.timestamp()), [row(1, 1)]);
}

#[test]
fn writers_on_many_threads_commit_all_or_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    let mut options = options(dir.path());
    options.flush.table_bytes = 64 << 10; // so that flushes run beside them
    let (tail, table) = with_table(&engine, options.clone(), true);
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let tail = tail.clone();
            thread::spawn(move || {
                let mut rng = fastrand::Rng::with_seed(writer);
                let (mut sum, mut committed) = (0, 0);
                while committed < 150 {
                    // A transfer of one row to another: the number of rows stays, and their ids' parity.
                    let (from, to) = (rng.i64(0..64), rng.i64(64..128));
                    let mut transaction = tail.begin();
                    transaction.delete(table, &keys(&[from, to])).unwrap();
                    transaction.upsert(table, &batch(&[row(from, committed + 1), row(to, committed + 1)])).unwrap();
                    match transaction.commit() {
                        Ok(_) => (sum, committed) = (sum + 1, committed + 1),
                        Err(Error::Conflict { .. }) => {}
                        Err(error) => panic!("{error:#}"),
                    }
                }
                sum
            })
        })
        .collect();
    let mut seen = 0;
    while !writers.iter().all(thread::JoinHandle::is_finished) {
        let now = tail.watermark();
        let rows = rows(&tail, table, now);
        // Both rows of a transaction, or none.
        assert!(rows.len() >= seen, "{} rows after {seen}", rows.len());
        seen = rows.len();
        thread::yield_now();
    }
    let sum: u64 = writers.into_iter().map(|writer| writer.join().unwrap()).sum();
    assert_eq!(sum, 600);
    let before = rows(&tail, table, tail.watermark());
    tail.close().unwrap();
    let tail = Tail::open(&engine, ShardId(1), options).unwrap();
    assert_eq!(rows(&tail, table, tail.watermark()), before);
}

#[test]
fn rows_are_flushed_on_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    let mut options = options(dir.path());
    options.flush.age = std::time::Duration::from_millis(10);
    let (tail, table) = with_table(&engine, options, false);
    upsert(&tail, table, &[row(1, 1), row(1, 1)]).unwrap();
    while tail.version(table).unwrap().objects().is_empty() {
        thread::yield_now();
    }
    assert_eq!(rows(&tail, table, tail.watermark()), [row(1, 1), row(1, 1)]);
}

/// Beside commits a flush pauses, but where somebody waits for it.
#[test]
fn flushes_pause_beside_commits_and_not_for_who_waits() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    let mut options = options(dir.path());
    options.flush.age = Duration::from_secs(3600);
    options.flush.table_bytes = 4 << 20;
    let (tail, table) = with_table(&engine, options, false);
    let database = tail.catalog(tail.watermark()).unwrap().find_database("shop").unwrap();
    let other = create_in(&tail, database, "other", true);
    let is_over = AtomicBool::new(false);
    let many = (0..20_000).map(|id| row(id, 1)).collect::<Vec<_>>();
    let (waited, paused) = thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                upsert(&tail, other, &[row(1, 1)]).unwrap();
            }
        });
        let pauses = || tail.metrics().flush_pauses;
        upsert(&tail, table, &many).unwrap();
        tail.flush(table).unwrap();
        let waited = pauses();
        // These are flushed on their own.
        for _ in 0..200 {
            if pauses() == 0 {
                upsert(&tail, table, &many).unwrap();
            }
        }
        is_over.store(true, Ordering::Relaxed);
        (waited, pauses())
    });
    assert_eq!(waited, 0);
    assert_ne!(paused, 0);
}

#[test]
fn a_store_of_another_tail_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    let (tail, table) = with_table(&engine, options(dir.path()), true);
    upsert(&tail, table, &[row(1, 1)]).unwrap();
    let other = Tail::open(&engine, ShardId(2), options(dir.path()));
    assert!(matches!(other, Err(Error::Open(_))), "{other:?}");
    // The first goes on.
    tail.flush(table).unwrap();
    assert_eq!(rows(&tail, table, tail.watermark()), [row(1, 1)]);
}

#[test]
fn a_damaged_object_is_named_and_the_rest_serves() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    let (tail, table) = with_table(&engine, options(dir.path()), true);
    upsert(&tail, table, &(0..100).map(|id| row(id, 1)).collect::<Vec<_>>()).unwrap();
    tail.flush(table).unwrap();
    let object = tail.version(table).unwrap().objects()[0].meta().id;
    let folder = dir.path().join("objects").join(format!("t{table}"));
    let path = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[40] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    upsert(&tail, table, &[row(1000, 2)]).unwrap();
    let mut scan = tail.scan(table, tail.watermark(), Projection::default()).unwrap();
    let error = scan.find_map(Result::err).expect("the object is damaged");
    let named = matches!(&error, Error::Object(ReadError::Damaged { object: found, block: 0, .. }) if *found == object);
    assert!(named, "{error:?}");
    // Others can be read, and commits go on.
    upsert(&tail, table, &[row(1001, 2)]).unwrap();
    let catalog = tail.scan(TABLES, tail.watermark(), Projection::default()).unwrap();
    assert_eq!(catalog.map(|batch| batch.unwrap().num_rows()).sum::<usize>(), 1);
}

/// What is not flushed goes from checkpoint to checkpoint, and the log is dropped.
#[test]
fn a_table_that_is_not_flushed_does_not_keep_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    let options = || {
        let mut options = options(dir.path());
        options.pinned = Duration::ZERO;
        options
    };
    let (mut tail, table) = with_table(&engine, options(), true);
    let shard = engine.shard(ShardId(1));
    for version in 1..30 {
        upsert(&tail, table, &(0..100).map(|id| row(id, version)).collect::<Vec<_>>()).unwrap();
        if version % 3 == 0 {
            assert!(tail.checkpoint(CheckpointKind::Incremental).unwrap());
            let (first, last) = (shard.first().unwrap(), shard.last().unwrap());
            assert!(first + 6 > last, "the log has {first} to {last}");
        }
        if version % 8 == 0 {
            tail.close().unwrap();
            tail = Tail::open(&engine, ShardId(1), options()).unwrap();
        }
    }
    assert_eq!(tail.version(table).unwrap().objects().len(), 0);
    let last: Vec<_> = (0..100).map(|id| row(id, 29)).collect();
    assert_eq!(rows(&tail, table, tail.watermark()), last);
    tail.flush(table).unwrap();
    assert!(tail.checkpoint(CheckpointKind::Incremental).unwrap());
    let tail = Tail::open(&engine, ShardId(1), options()).unwrap();
    assert!(tail.version(table).unwrap().memtables().is_empty());
    assert_eq!(rows(&tail, table, tail.watermark()), last);
}

/// Deletes of rows that are in objects go to objects too, are merged there, and are seen at their time and not before.
#[test]
fn deletes_of_flushed_rows_become_tombstones() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    let (mut tail, table) = with_table(&engine, options(dir.path()), true);
    let mut model: BTreeMap<i64, Option<String>> = (0..20_000).map(|id| row(id, 1)).collect();
    upsert(&tail, table, &model.clone().into_iter().collect::<Vec<_>>()).unwrap();
    tail.flush(table).unwrap();
    let mut seen = vec![(tail.watermark(), model.clone())];
    let mut rng = fastrand::Rng::with_seed(9);
    let in_memory = |tail: &Tail| -> usize {
        let version = tail.version(table).unwrap();
        version.objects().iter().map(|object| object.dirty_blocks().len()).sum()
    };
    for round in 0..6 {
        for _ in 0..3 {
            let gone: Vec<_> = (0..rng.usize(1..400)).map(|_| rng.i64(0..20_000)).collect();
            let mut transaction = tail.begin();
            transaction.delete(table, &keys(&gone)).unwrap();
            let at = transaction.commit().unwrap();
            gone.iter().for_each(|id| drop(model.remove(id)));
            seen.push((at, model.clone()));
        }
        if round != 4 {
            tail.flush(table).unwrap();
            assert_eq!(in_memory(&tail), 0);
        }
        if round % 2 == 1 {
            tail.checkpoint(if round == 1 { CheckpointKind::Global } else { CheckpointKind::Incremental }).unwrap();
            tail.close().unwrap();
            tail = Tail::open(&engine, ShardId(1), options(dir.path())).unwrap();
        }
    }
    let count = |object: &logboom_logtail::Object| -> u32 {
        object.meta().blocks.iter().filter_map(|block| block.tombstones).map(|range| range.count).sum()
    };
    let version = tail.version(table).unwrap();
    let tombstones: u32 = version.objects().iter().map(|object| count(object)).sum();
    assert_eq!(tombstones as usize, 20_000 - model.len());
    for (at, model) in seen {
        assert!(rows(&tail, table, at).into_iter().eq(model), "at {at}");
    }
    // A key that was deleted is free.
    let free = (0..20_000).find(|id| !model.contains_key(id)).unwrap();
    let mut transaction = tail.begin();
    transaction.insert(table, &batch(&[row(free, 2)])).unwrap();
    transaction.commit().unwrap();
}

#[test]
fn a_row_without_a_key_is_deleted_once_also_if_its_tombstone_is_in_an_object() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    let (tail, table) = with_table(&engine, options(dir.path()), false);
    upsert(&tail, table, &[row(1, 1), row(2, 1)]).unwrap();
    tail.flush(table).unwrap();
    let mut projection = Projection::default();
    projection.row_ids = true;
    let batch = tail.scan(table, tail.watermark(), projection).unwrap().next().unwrap().unwrap();
    let rowset = batch["_rowset"].as_primitive::<UInt64Type>().value(0);
    let place = RowId { rowset: RowsetId(rowset), row: batch["_row"].as_primitive::<UInt32Type>().value(0) };
    let delete = || {
        let mut transaction = tail.begin();
        transaction.delete_rows(table, &[place]).unwrap();
        transaction.commit()
    };
    delete().unwrap();
    tail.flush(table).unwrap();
    assert!(matches!(delete(), Err(Error::NoRow { row, .. }) if row == place));
    assert_eq!(rows(&tail, table, tail.watermark()), [row(2, 1)]);
}

/// A flush of deletes reads the tombstones that there are: it may wait for the store, and the tail's end does not
/// wait for it.
#[test]
fn a_tail_ends_while_its_store_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    let mut options = options(dir.path());
    options.flush.age = Duration::from_secs(3600);
    let (tail, table) = with_table(&engine, options.clone(), true);
    upsert(&tail, table, &(0..10).map(|id| row(id, 1)).collect::<Vec<_>>()).unwrap();
    tail.flush(table).unwrap();
    let delete = |tail: &Tail, id| {
        let mut transaction = tail.begin();
        transaction.delete(table, &keys(&[id])).unwrap();
        transaction.commit().unwrap();
    };
    delete(&tail, 1);
    tail.flush(table).unwrap();
    delete(&tail, 2);
    tail.close().unwrap();
    // Nothing is cached now.
    options.flush.age = Duration::ZERO;
    let (objects, aside) = (dir.path().join("objects"), dir.path().join("aside"));
    let tail = Tail::open(&engine, ShardId(1), options).unwrap();
    std::fs::rename(&objects, &aside).unwrap();
    thread::sleep(Duration::from_millis(600));
    drop(tail);
    std::fs::rename(&aside, &objects).unwrap();
}

/// The marker of a store is gone, as where the file system with the objects is not mounted: nothing is written there.
#[test]
fn a_store_without_its_marker_is_refused_once_there_are_objects() {
    for has_checkpoint in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let engine = engine(dir.path());
        let (tail, table) = with_table(&engine, options(dir.path()), true);
        upsert(&tail, table, &[row(1, 1)]).unwrap();
        let marker = dir.path().join("objects/LOGBOOM");
        let open = |tail: Tail| {
            tail.close().unwrap();
            std::fs::rename(&marker, dir.path().join("aside")).unwrap();
            Tail::open(&engine, ShardId(1), options(dir.path()))
        };
        // Without objects the store may be a new one.
        let tail = open(tail).unwrap();
        tail.flush(table).unwrap();
        if has_checkpoint {
            tail.checkpoint(CheckpointKind::Global).unwrap();
        }
        let refused = open(tail);
        assert!(matches!(refused, Err(Error::Open(OpenError::Unmarked { .. }))), "{refused:?}");
        assert!(!marker.exists());
        std::fs::rename(dir.path().join("aside"), &marker).unwrap();
        let tail = Tail::open(&engine, ShardId(1), options(dir.path())).unwrap();
        assert_eq!(rows(&tail, table, tail.watermark()), [row(1, 1)]);
    }
}

/// Who asks for a flush waits also if somebody else flushes the table, step by step.
#[test]
fn a_flush_waits_for_one_that_is_under_way() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    let (tail, table) = with_table(&engine, options(dir.path()), true);
    upsert(&tail, table, &[row(1, 1), row(2, 1)]).unwrap();
    let mut flushing = tail.begin_flush(table, FlushParts::ALL).unwrap();
    let waiting = {
        let tail = tail.clone();
        thread::spawn(move || tail.flush(table).map(|()| tail.version(table).unwrap().memtables().len()))
    };
    thread::sleep(Duration::from_millis(50));
    assert!(!waiting.is_finished());
    while flushing.step().unwrap() != FlushProgress::Done {}
    drop(flushing);
    assert_eq!(waiting.join().unwrap().unwrap(), 0);
}

#[test]
fn deletes_are_flushed_on_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    let mut options = options(dir.path());
    options.flush.age = Duration::ZERO;
    let (tail, table) = with_table(&engine, options, true);
    upsert(&tail, table, &[row(1, 1), row(2, 1), row(3, 1)]).unwrap();
    let version = || tail.version(table).unwrap();
    while !version().memtables().is_empty() {
        thread::sleep(Duration::from_millis(20));
    }
    let mut transaction = tail.begin();
    transaction.delete(table, &keys(&[2])).unwrap();
    transaction.commit().unwrap();
    while !version().objects().iter().any(|object| !object.tombstones().is_empty()) {
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(rows(&tail, table, tail.watermark()), [row(1, 1), row(3, 1)]);
}

#[test]
fn commits_go_on_while_the_store_is_gone_until_the_bound_and_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    let mut options = options(dir.path());
    options.flush.table_bytes = 32 << 10;
    options.memory_bytes_max = 256 << 10;
    let (tail, table) = with_table(&engine, options, false);
    let (objects, aside) = (dir.path().join("objects"), dir.path().join("aside"));
    std::fs::rename(&objects, &aside).unwrap();
    let writer = {
        let tail = tail.clone();
        thread::spawn(move || {
            for version in 0..300 {
                upsert(&tail, table, &(0..100).map(|id| row(id, version)).collect::<Vec<_>>()).unwrap();
            }
        })
    };
    // It waits once its memory is full.
    while !tail.is_waiting_for_memory() {
        assert!(!writer.is_finished(), "nothing waited");
        thread::yield_now();
    }
    let waiting_at = tail.watermark();
    std::fs::rename(&aside, &objects).unwrap();
    writer.join().unwrap();
    assert!(tail.watermark() > waiting_at);
    assert_eq!(rows(&tail, table, tail.watermark()).len(), 30_000);
    tail.flush(table).unwrap();
    assert_eq!(rows(&tail, table, tail.watermark()).len(), 30_000);
}

/// A table that cannot be flushed waits alone, and goes on by itself once it can be.
#[test]
fn a_table_that_cannot_be_flushed_leaves_memory_to_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    let mut options = options(dir.path());
    options.flush.table_bytes = 32 << 10;
    options.memory_bytes_max = 4 << 20;
    options.table_bytes_max = 256 << 10;
    let (tail, stuck) = with_table(&engine, options, false);
    let database = tail.catalog(tail.watermark()).unwrap().find_database("shop").unwrap();
    let other = create_in(&tail, database, "other", true);
    // Where the folder of the table would be is a file.
    let folder = dir.path().join("objects").join(format!("t{stuck}"));
    std::fs::write(&folder, "in the way").unwrap();
    let hundred = |version| (0..100).map(|id| row(id, version)).collect::<Vec<_>>();
    let writer = {
        let tail = tail.clone();
        thread::spawn(move || (0..200).for_each(|version| _ = upsert(&tail, stuck, &hundred(version)).unwrap()))
    };
    let committed = |table| rows(&tail, table, tail.watermark()).len();
    let mut transaction = tail.begin();
    transaction.insert(stuck, &batch(&[row(1000, 1)])).unwrap();
    let waits = || {
        let mut admission = std::pin::pin!(transaction.admission());
        admission.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending()
    };
    while !waits() {
        assert!(!writer.is_finished(), "nothing waited");
        thread::sleep(Duration::from_millis(1));
    }
    // More than one table may have, and it is flushed meanwhile.
    for version in 0..200 {
        upsert(&tail, other, &hundred(version)).unwrap();
    }
    assert_eq!(committed(other), 100);
    assert!(waits() && committed(stuck) < 20_000 && !tail.is_waiting_for_memory());
    std::fs::remove_file(&folder).unwrap();
    writer.join().unwrap();
    transaction.admission().wait().unwrap();
    assert_eq!(committed(stuck), 20_000);
}

/// Tables whose flushes the store holds up take all the memory: they can be dropped all the same, others be made, and
/// who waits hears of the engine's end.
#[test]
fn the_catalog_waits_for_no_memory_and_nothing_waits_for_a_closed_engine() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    let mut options = options(dir.path());
    options.memory_bytes_max = 64 << 10;
    let (tail, table) = with_table(&engine, options, false);
    let (objects, aside) = (dir.path().join("objects"), dir.path().join("aside"));
    std::fs::rename(&objects, &aside).unwrap();
    let writer = fill_memory(&tail, table);
    tail.begin().commit().unwrap();
    let database = tail.create_database("another").unwrap();
    let columns = vec![NewColumn::required("id", DataType::Int64)];
    tail.create_table(database, NewTable { name: "t".into(), columns, key: Vec::new() }).unwrap();
    assert!(tail.is_waiting_for_memory() && !writer.is_finished());
    engine.close().unwrap();
    assert!(matches!(writer.join().unwrap(), Some(Error::Log(logboom::Error::Closed))));
    std::fs::rename(&aside, &objects).unwrap();
}

#[test]
fn bounds_of_nothing_let_one_transaction_in() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    let mut options = options(dir.path());
    options.threads = false;
    (options.memory_bytes_max, options.table_bytes_max) = (0, 0);
    let (tail, table) = with_table(&engine, options, true);
    for id in 0..3 {
        // The catalog's rows do not count, though nothing is flushed.
        upsert(&tail, table, &[row(id, 1)]).unwrap();
        assert!(matches!(upsert(&tail, table, &[row(id, 2)]), Err(Error::Full { .. })));
        tail.flush(table).unwrap();
    }
    assert_eq!(rows(&tail, table, tail.watermark()).len(), 3);
}

/// A table that cannot be flushed has all the memory. Dropped, it leaves that to the others, who wait for it.
#[test]
fn a_dropped_table_gives_its_memory_back() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    let mut options = options(dir.path());
    (options.memory_bytes_max, options.table_bytes_max) = (64 << 10, 64 << 10);
    options.history = Duration::ZERO;
    let (tail, stuck) = with_table(&engine, options, false);
    let other = create_in(&tail, tail.create_database("another").unwrap(), "other", false);
    std::fs::write(dir.path().join("objects").join(format!("t{stuck}")), "in the way").unwrap();
    let writer = fill_memory(&tail, stuck);
    tail.change(&Change::DropTable { table: stuck }).unwrap();
    upsert(&tail, other, &[row(1, 1)]).unwrap();
    assert!(matches!(writer.join().unwrap(), Some(Error::SchemaChanged(table)) if table == stuck));
    tail.flush(other).unwrap();
    assert_eq!(rows(&tail, other, tail.watermark()), [row(1, 1)]);
}
