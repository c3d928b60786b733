//! Bulk loads: rows past what a transaction has, on a real engine and a directory of objects.

#![expect(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

mod tables;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch, StringArray, cast::AsArray, types::Int64Type};
use arrow_schema::DataType;
use logboom::{Config, Engine, ShardId};
use logboom_logtail::{
    Change, CheckpointKind, Error, Load, LoadProgress, NewColumn, NewTable, OperationError, Options, Projection,
    Result, TableId, Tail, Timestamp,
};

use tables::{create, engine, with_table};

fn options(dir: &Path) -> Options {
    let mut options = Options::new(dir.join("objects").to_string_lossy());
    options.load_bytes = 64 << 10; // some 1000 rows
    options
}

fn reopened(engine: &Engine, tail: Tail, dir: &Path) -> Tail {
    tail.close().unwrap();
    Tail::open(engine, ShardId(1), options(dir)).unwrap()
}

/// Rows with these ids, of which each third has no text.
fn batch(ids: impl IntoIterator<Item = i64>) -> RecordBatch {
    let ids: Vec<i64> = ids.into_iter().collect();
    let texts: StringArray = ids.iter().map(|id| (id % 3 != 0).then(|| format!("row {id}"))).collect();
    let columns: [(_, ArrayRef, _); 2] = [("id", Arc::new(Int64Array::from(ids)), false), ("s", Arc::new(texts), true)];
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

/// By id, when each row was committed; checks the texts.
fn rows(tail: &Tail, table: TableId, timestamp: Timestamp) -> Vec<(i64, Timestamp)> {
    let mut projection = Projection::default();
    projection.commit_timestamps = true;
    let mut rows = Vec::new();
    for batch in tail.scan(table, timestamp, projection).unwrap() {
        let batch = batch.unwrap();
        let (ids, texts) = (batch.column(0).as_primitive::<Int64Type>(), batch.column(1).as_string::<i32>());
        let commits = batch.column(2).as_primitive::<Int64Type>();
        for at in 0..batch.num_rows() {
            let id = ids.value(at);
            assert_eq!(texts.is_valid(at).then(|| texts.value(at)), (id % 3 != 0).then_some(&*format!("row {id}")));
            rows.push((id, Timestamp::from_i64(commits.value(at)).unwrap()));
        }
    }
    rows.sort_unstable();
    rows
}

fn ids(tail: &Tail, table: TableId) -> Vec<i64> {
    rows(tail, table, tail.watermark()).into_iter().map(|(id, _)| id).collect()
}

fn insert(tail: &Tail, table: TableId, ids: impl IntoIterator<Item = i64>) -> Result<Timestamp> {
    let mut transaction = tail.begin();
    transaction.insert(table, &batch(ids))?;
    transaction.commit()
}

fn delete(tail: &Tail, table: TableId, ids: &[i64]) -> Result<Timestamp> {
    let mut transaction = tail.begin();
    transaction.delete(table, &[Arc::new(Int64Array::from(ids.to_vec()))])?;
    transaction.commit()
}

/// A load of rows with these ids, in batches of 700.
fn load(tail: &Tail, table: TableId, ids: impl IntoIterator<Item = i64>) -> Result<Load> {
    let ids: Vec<i64> = ids.into_iter().collect();
    let mut load = tail.load(table)?;
    ids.chunks(700).try_for_each(|ids| load.write(&batch(ids.iter().copied())))?;
    Ok(load)
}

fn shuffled(ids: std::ops::Range<i64>) -> Vec<i64> {
    let mut ids: Vec<i64> = ids.collect();
    fastrand::Rng::with_seed(5).shuffle(&mut ids);
    ids
}

#[test]
fn a_load_is_visible_at_once_at_its_timestamp_and_not_before() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    for keyed in [true, false] {
        let dir = dir.path().join(if keyed { "keyed" } else { "plain" });
        let shard = ShardId(if keyed { 7 } else { 8 });
        let tail = Tail::open(&engine, shard, options(&dir)).unwrap();
        let table = create(&tail, keyed);
        let first = insert(&tail, table, [-1, -2]).unwrap();
        let load = load(&tail, table, shuffled(0..20_000)).unwrap();
        let before = insert(&tail, table, [-3]).unwrap();
        assert_eq!(ids(&tail, table), [-3, -2, -1]);
        let logged = engine.shard(shard).last().unwrap();
        let at = load.commit().unwrap();
        assert!(engine.shard(shard).last().unwrap() <= logged + 4, "the rows of the last run, and the metadata");
        assert!(before < at && tail.watermark() == at);
        let after = insert(&tail, table, [20_000]).unwrap();
        let expected = |timestamp: Timestamp| {
            let own = [(-3, before), (-2, first), (-1, first)].into_iter();
            let rows = own.chain((0..20_000).map(|id| (id, at))).chain([(20_000, after)]);
            rows.filter(|(_, committed)| *committed <= timestamp).collect::<Vec<_>>()
        };
        for timestamp in [first, before, Timestamp::from_i64(at.to_i64() - 1).unwrap(), at, after] {
            assert_eq!(rows(&tail, table, timestamp), expected(timestamp), "at {timestamp}");
        }
        assert!(tail.version(table).unwrap().objects().len() > 10);
        tail.close().unwrap();
        let tail = Tail::open(&engine, shard, options(&dir)).unwrap();
        for timestamp in [first, before, Timestamp::from_i64(at.to_i64() - 1).unwrap(), at, after] {
            assert_eq!(rows(&tail, table, timestamp), expected(timestamp), "at {timestamp} after a restart");
        }
    }
}

#[test]
fn loaded_rows_are_rows_like_others_before_and_after_checkpoints() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    let (mut tail, table) = with_table(&engine, options(dir.path()), true);
    let mut model: BTreeMap<i64, Timestamp> = BTreeMap::new();
    insert(&tail, table, [7, 5000]).unwrap();
    delete(&tail, table, &[7, 5000]).unwrap();
    // Behind deletes that are in memory.
    let at = load(&tail, table, shuffled(0..6000)).unwrap().commit().unwrap();
    model.extend((0..6000).map(|id| (id, at)));
    let wanted: ArrayRef = Arc::new(Int64Array::from(vec![5000, 6000, 7]));
    let got = tail.get(table, at, &[wanted], &Projection::default()).unwrap();
    assert_eq!((got.rows.num_rows(), got.positions), (2, vec![Some(0), None, Some(1)]));
    for round in 0..4 {
        assert!(matches!(insert(&tail, table, [7]), Err(Error::DuplicateKey { .. })), "{round}");
        let gone = [100 + round, 5000 + round];
        delete(&tail, table, &gone).unwrap();
        model.retain(|id, _| !gone.contains(id));
        let again = insert(&tail, table, [gone[0]]).unwrap();
        model.insert(gone[0], again);
        let mut transaction = tail.begin();
        transaction.upsert(table, &batch([200 + round])).unwrap();
        model.insert(200 + round, transaction.commit().unwrap());
        assert_eq!(rows(&tail, table, tail.watermark()), model.clone().into_iter().collect::<Vec<_>>());
        match round {
            0 => {}
            1 => assert!(tail.checkpoint(CheckpointKind::Global).unwrap()),
            2 => tail.flush(table).unwrap(),
            _ => assert!(tail.checkpoint(CheckpointKind::Incremental).unwrap()),
        }
        tail = reopened(&engine, tail, dir.path());
        assert_eq!(rows(&tail, table, tail.watermark()), model.clone().into_iter().collect::<Vec<_>>());
    }
    // A key that was loaded, deleted, and is loaded again.
    let at = load(&tail, table, [5000, 5001]).unwrap().commit().unwrap();
    assert!(rows(&tail, table, at).contains(&(5001, at)));
    assert!(matches!(insert(&tail, table, [5000]), Err(Error::DuplicateKey { .. })));
}

#[test]
fn keys_that_are_there_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    let (tail, table) = with_table(&engine, options(dir.path()), true);
    insert(&tail, table, (0..20_000).map(|id| id * 10)).unwrap();
    tail.flush(table).unwrap();
    insert(&tail, table, [5, 70_005]).unwrap();
    delete(&tail, table, &[50, 100_000]).unwrap();
    let before = ids(&tail, table);

    // Twice in a run, and in two of them, far from each other.
    let mut twice = tail.load(table).unwrap();
    twice.write(&batch([1, 2, 1])).unwrap();
    let error = twice.commit().unwrap_err();
    let key = vec![0x80, 0, 0, 0, 0, 0, 0, 1];
    assert!(matches!(&error, Error::DuplicateInLoad { key: found, .. } if *found == key), "{error:?}");
    assert!(error.to_string().ends_with("8000000000000001"), "{error}");
    let error = load(&tail, table, (0..6000).map(|id| id * 10 + 3).chain([40_003])).unwrap().commit().unwrap_err();
    assert!(matches!(&error, Error::DuplicateInLoad { .. }), "{error:?}");

    for there in [5, 70_005, 60, 199_990] {
        let ids = shuffled(0..3000).into_iter().map(|id| id * 10 + 1).chain([there]);
        let error = load(&tail, table, ids).unwrap().commit().unwrap_err();
        assert!(matches!(&error, Error::DuplicateKey { table: at, .. } if *at == table), "{there}: {error:?}");
    }
    assert_eq!(ids(&tail, table), before);
    // Those that were deleted may be loaded, from objects and from memory.
    delete(&tail, table, &[5]).unwrap();
    load(&tail, table, [100_000, 5, 50]).unwrap().commit().unwrap();
    assert_eq!(ids(&tail, table).len(), before.len() + 2);
    let error = load(&tail, table, [50]).unwrap().commit().unwrap_err();
    assert!(matches!(&error, Error::DuplicateKey { .. }), "{error:?}");
}

#[test]
fn a_load_that_is_dropped_leaves_nothing_visible() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    let (tail, table) = with_table(&engine, options(dir.path()), true);
    let at = insert(&tail, table, [1]).unwrap();
    drop(load(&tail, table, 0..5000).unwrap());
    load(&tail, table, 0..5000).unwrap().rollback();
    let folder = dir.path().join("objects").join(format!("t{table}"));
    assert!(std::fs::read_dir(folder).unwrap().count() > 3, "objects of it were put");
    assert_eq!((ids(&tail, table), tail.watermark()), (vec![1], at));
    let tail = reopened(&engine, tail, dir.path());
    assert!(tail.checkpoint(CheckpointKind::Global).unwrap());
    assert!(tail.newest_checkpoint().unwrap().intended.len() > 3, "and are known to be garbage");
    let tail = reopened(&engine, tail, dir.path());
    assert_eq!(ids(&tail, table), [1]);
    // One without rows commits nothing.
    assert_eq!(tail.load(table).unwrap().commit().unwrap(), tail.watermark());
    // The keys are free.
    load(&tail, table, 2..5000).unwrap().commit().unwrap();
    assert_eq!(ids(&tail, table).len(), 4999);
}

#[test]
fn a_transaction_from_before_a_load_does_not_write_its_keys() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    let (tail, table) = with_table(&engine, options(dir.path()), true);
    let mut old = tail.begin();
    old.insert(table, &batch([5])).unwrap();
    let mut elsewhere = tail.begin();
    let at = load(&tail, table, 0..10).unwrap().commit().unwrap();
    let error = old.commit().unwrap_err();
    assert!(matches!(&error, Error::SnapshotTooOld { oldest, .. } if *oldest == at), "{error:?}");
    assert!(matches!(insert(&tail, table, [5]), Err(Error::DuplicateKey { .. })));
    insert(&tail, table, [10]).unwrap();
    // Other tables do not mind.
    let database = tail.catalog(tail.watermark()).unwrap().find_database("shop").unwrap();
    let columns = vec![NewColumn::required("id", DataType::Int64)];
    tail.create_table(database, NewTable { name: "other".into(), columns, key: Vec::new() }).unwrap();
    assert!(matches!(elsewhere.insert(TableId(999), &batch([1])), Err(Error::Operation(_))));
}

#[test]
fn what_a_table_cannot_have_is_refused_and_the_load_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    let (tail, table) = with_table(&engine, options(dir.path()), true);
    assert!(matches!(tail.load(TableId(999)), Err(Error::Operation(OperationError::NoTable(_)))));
    assert!(matches!(tail.load(TableId(3)), Err(Error::Operation(OperationError::System(_)))));
    let mut load = tail.load(table).unwrap();
    load.write(&batch([1, 2])).unwrap();
    let other = batch([3]).project(&[0]).unwrap();
    assert!(matches!(load.write(&other), Err(Error::Operation(OperationError::Schema { at: 1, .. }))));
    load.write(&batch([4])).unwrap();
    load.commit().unwrap();
    assert_eq!(ids(&tail, table), [1, 2, 4]);
    // Of a table that is changed meanwhile nothing is committed.
    let load = self::load(&tail, table, 10..20).unwrap();
    tail.change(&Change::AddColumn { table, column: NewColumn::nullable("more", DataType::Int64) }).unwrap();
    let error = load.commit().unwrap_err();
    assert!(matches!(error, Error::SchemaChanged(at) if at == table), "{error:?}");
    assert_eq!(ids(&tail, table), [1, 2, 4]);
}

#[test]
fn more_metadata_than_an_entry_takes_are_refused_where_they_come() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(dir.path().join("log"));
    config.segment_bytes = 256 << 10;
    let engine = Engine::open(config).unwrap();
    let mut options = options(dir.path());
    // A block, of 150 bytes of metadata and more, has some 4 KiB of rows.
    options.objects.row_group_bytes = 1;
    options.load_bytes = 1 << 20;
    let (tail, table) = with_table(&engine, options, true);
    let mut load = tail.load(table).unwrap();
    let mut written = 0;
    let error = loop {
        match load.write(&batch(written..written + 5000)) {
            Ok(()) => written += 5000,
            Err(error) => break error,
        }
        assert!(written < 1_000_000, "nothing is refused");
    };
    assert!(matches!(error, Error::TooLarge { bytes, max } if bytes > max && max < 256 << 10), "{error:?}");
    assert!(matches!(load.write(&batch([1])), Err(Error::LoadFailed)));
    assert!(matches!(load.commit(), Err(Error::LoadFailed)));
    assert!(ids(&tail, table).is_empty());
    insert(&tail, table, [1]).unwrap();
}

/// Writers insert random keys while loads of random keys are committed: each key gets in once.
#[test]
fn loads_and_transactions_go_on_beside_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    let mut options = options(dir.path());
    options.flush.table_bytes = 64 << 10; // so that flushes run beside them
    let (tail, table) = with_table(&engine, options, true);
    let is_over = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..2)
        .map(|writer| {
            let (tail, is_over) = (tail.clone(), Arc::clone(&is_over));
            thread::spawn(move || {
                let (mut rng, mut inserted) = (fastrand::Rng::with_seed(writer), Vec::new());
                while !is_over.load(Ordering::Relaxed) {
                    let id = rng.i64(0..60_000);
                    match insert(&tail, table, [id]) {
                        Ok(_) => inserted.push(id),
                        Err(Error::DuplicateKey { .. } | Error::Conflict { .. } | Error::SnapshotTooOld { .. }) => {}
                        Err(error) => panic!("{error:#}"),
                    }
                }
                inserted
            })
        })
        .collect();
    let loaders: Vec<_> = (10..12)
        .map(|loader| {
            let tail = tail.clone();
            thread::spawn(move || {
                let (mut rng, mut loaded) = (fastrand::Rng::with_seed(loader), Vec::new());
                for _ in 0..12 {
                    let first = rng.i64(0..60_000);
                    let ids: Vec<i64> = (first..60_000).step_by(rng.usize(1..40)).take(rng.usize(1..60)).collect();
                    match load(&tail, table, ids.iter().copied()).unwrap().commit() {
                        Ok(_) => loaded.extend(ids),
                        Err(Error::DuplicateKey { .. } | Error::Conflict { .. }) => {}
                        Err(error) => panic!("{error:#}"),
                    }
                }
                loaded
            })
        })
        .collect();
    let loaded: Vec<i64> = loaders.into_iter().flat_map(|loader| loader.join().unwrap()).collect();
    is_over.store(true, Ordering::Relaxed);
    let mut all: Vec<i64> = writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect();
    assert!(!loaded.is_empty() && !all.is_empty());
    all.extend(loaded);
    all.sort_unstable();
    assert_eq!(ids(&tail, table), all);
    let tail = reopened(&engine, tail, dir.path());
    assert_eq!(ids(&tail, table), all);
}

/// Others write more between two looks of a load than it looks at while they wait.
#[test]
fn a_load_that_is_overtaken_ends() {
    for (patience, commits) in [(Duration::ZERO, false), (Duration::from_secs(3600), true)] {
        let dir = tempfile::tempdir().unwrap();
        let engine = engine(dir.path());
        let mut options = options(dir.path());
        (options.threads, options.load_patience) = (false, patience);
        let (tail, table) = with_table(&engine, options, true);
        let mut load = load(&tail, table, (0..2000).map(|id| 2 * id)).unwrap();
        load.complete();
        let (mut writes, mut count) = (20, 0);
        let ended = loop {
            match load.step() {
                Ok(LoadProgress::Done(at)) => break Ok(at),
                Ok(LoadProgress::WaitsForStore) => thread::sleep(Duration::from_millis(1)),
                Ok(_) if writes > 0 => {
                    insert(&tail, table, (count..count + 9000).map(|id| 2 * id + 1)).unwrap();
                    (writes, count) = (writes - 1, count + 9000);
                }
                Ok(_) => tail.clone().close().unwrap(),
                Err(error) => break Err(error),
            }
        };
        assert_eq!(writes > 0, !commits, "it ended while others wrote, or not before");
        match ended {
            Ok(_) => assert!(commits),
            Err(error) => {
                assert!(matches!(error, Error::Overtaken { table: named, .. } if named == table), "{error:?}")
            }
        }
        insert(&tail, table, [-1]).unwrap();
        let loaded = if commits { 2000 } else { 0 };
        assert_eq!(i64::try_from(ids(&tail, table).len()).unwrap(), count + loaded + 1);
    }
}
