//! A tail on an engine that is driven by hand, in one thread: whatever waits drives the engine, or waits for ever.

#![expect(clippy::unwrap_used, reason = "what a test relies on and does not find is its failure")]

use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use arrow_schema::DataType;
use logboom::{
    Clock, Config, Engine, ManualClock, Runtime, ShardId,
    disk::{SimDisk, SimOptions},
};
use logboom_logtail::{
    Error, LoadProgress, NewColumn, NewTable, Options, Projection, Stopped, TableId, Tail, Transaction,
};

const NOON: Duration = Duration::from_secs(1_764_504_000);

struct Machine {
    disk: Arc<SimDisk>,
    clock: Arc<ManualClock>,
}

impl Machine {
    fn new() -> Self {
        let clock = ManualClock::new(7);
        clock.set_unix(NOON);
        Self { disk: SimDisk::new(7, SimOptions::default()), clock }
    }

    fn engine(&self) -> Engine {
        let mut config = Config::new("simulated");
        config.segment_bytes = 256 << 10;
        Engine::open_on(Arc::clone(&self.disk) as _, config, Runtime::Manual(Arc::clone(&self.clock) as _)).unwrap()
    }

    fn tail(&self, engine: &Engine) -> Tail {
        self.tail_of(engine, 1 << 30)
    }

    fn tail_of(&self, engine: &Engine, memory_bytes_max: usize) -> Tail {
        let mut options = Options::new("memory:");
        options.memory_bytes_max = memory_bytes_max;
        options.threads = false;
        options.clock = Some(Arc::clone(&self.clock) as Arc<dyn Clock>);
        Tail::open(engine, ShardId(1), options).unwrap()
    }
}

fn create_table(tail: &Tail) -> TableId {
    let database = tail.create_database("shop").unwrap();
    let columns = vec![NewColumn::required("id", DataType::Int64)];
    tail.create_table(database, NewTable { name: "orders".into(), columns, key: vec!["id".into()] }).unwrap()
}

fn rows(ids: &[i64]) -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from(ids.to_vec()));
    RecordBatch::try_from_iter([("id", ids)]).unwrap()
}

fn insert(tail: &Tail, table: TableId, ids: &[i64]) -> Transaction {
    let mut transaction = tail.begin();
    transaction.insert(table, &rows(ids)).unwrap();
    transaction
}

/// The wall clock is a day ahead for a moment. What was committed before stays readable for as long as the option says,
/// and what was committed then, or later, for no longer.
#[test]
fn history_is_kept_for_as_long_as_the_option_says_whatever_the_wall_clock_says() {
    let machine = Machine::new();
    let engine = machine.engine();
    let tail = machine.tail(&engine); // History: 5 minutes.
    let table = create_table(&tail);
    let mut ids = 0..;
    let mut commit = || insert(&tail, table, &[ids.next().unwrap()]).commit().unwrap();
    let horizon = || {
        tail.flush(table).unwrap();
        tail.horizon()
    };
    let pass = |seconds| machine.clock.advance(Duration::from_secs(seconds));
    let before = commit();
    pass(2); // Timestamps are noted each 300 / 256 seconds at most.
    machine.clock.set_unix(NOON + Duration::from_secs(86_400));
    let ahead = commit();
    assert!(ahead.unix() > before.unix() + Duration::from_secs(86_000));
    assert!(horizon() <= before);
    machine.clock.set_unix(NOON + Duration::from_secs(2));
    pass(200);
    let behind = commit();
    assert!(behind > ahead && horizon() <= before, "it is 200 seconds old");
    pass(150);
    commit();
    assert!(before < horizon() && horizon() <= behind);
    pass(200);
    commit();
    assert!(behind <= horizon());
}

fn count(tail: &Tail, table: TableId) -> usize {
    let batches = tail.scan(table, tail.watermark(), Projection::default()).unwrap();
    batches.map(|batch| batch.unwrap().num_rows()).sum()
}

#[test]
fn commits_drive_the_engine() {
    let machine = Machine::new();
    let engine = machine.engine();
    let tail = machine.tail(&engine);
    let table = create_table(&tail);
    let committed = insert(&tail, table, &[1, 2]).commit().unwrap();
    assert_eq!((tail.watermark(), count(&tail, table)), (committed, 2));
    assert_eq!(committed.unix(), NOON);
    tail.close().unwrap();
    engine.close().unwrap();
    let engine = machine.engine();
    let tail = machine.tail(&engine);
    assert_eq!((tail.watermark(), count(&tail, table)), (committed, 2));
}

#[test]
fn a_load_drives_the_engine() {
    let machine = Machine::new();
    let engine = machine.engine();
    let tail = machine.tail(&engine);
    let table = create_table(&tail);
    insert(&tail, table, &[1, 2]).commit().unwrap();
    let mut load = tail.load(table).unwrap();
    load.write(&rows(&[4, 3])).unwrap();
    let committed = load.commit().unwrap();
    assert_eq!((tail.watermark(), count(&tail, table)), (committed, 4));
    // Step by step, in the hands of the caller.
    let mut load = tail.load(table).unwrap();
    load.push(&rows(&[5])).unwrap();
    load.complete();
    let done = loop {
        match load.step().unwrap() {
            LoadProgress::Done(at) => break at,
            LoadProgress::WaitsForLog => drop(engine.drive_once()),
            LoadProgress::WaitsForStore => std::thread::yield_now(),
            _ => {}
        }
    };
    assert!(matches!(load.push(&rows(&[6])), Err(Error::LoadFailed)));
    assert_eq!((done, count(&tail, table)), (tail.watermark(), 5));
}

#[test]
fn a_commit_behind_a_wall_clock_that_jumped_waits_for_the_bound() {
    let machine = Machine::new();
    let engine = machine.engine();
    let tail = machine.tail(&engine);
    let table = create_table(&tail);
    for day in 1..4 {
        machine.clock.set_unix(NOON + Duration::from_secs(86_400 * day));
        let committed = insert(&tail, table, &[day.cast_signed()]).commit().unwrap();
        assert_eq!(committed.unix(), machine.clock.unix());
    }
    machine.clock.set_unix(NOON);
    let before = tail.watermark();
    assert!(insert(&tail, table, &[9]).commit().unwrap() > before);
    assert_eq!(tail.drift(), Duration::from_secs(86_400 * 3));
}

/// The first one's `Commit` is held, and not waited for.
#[test]
fn a_retry_does_not_wait_for_somebody_else_to_look() {
    let machine = Machine::new();
    let engine = machine.engine();
    let tail = machine.tail(&engine);
    let table = create_table(&tail);
    let submit = |ids: &[i64]| {
        let mut transaction = insert(&tail, table, ids);
        transaction.set_client_id(77);
        transaction.submit().unwrap()
    };
    let first = submit(&[1]);
    let again = submit(&[1]);
    assert_eq!(again.wait().unwrap(), first.timestamp());
    assert_eq!(tail.watermark(), first.timestamp());

    let next = insert(&tail, table, &[2]).submit().unwrap();
    let mut repeated = pin!(submit(&[1]));
    let done = repeated.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(done, Poll::Ready(Ok(at)) if at == first.timestamp()));
    assert_eq!(next.wait().unwrap(), tail.watermark());
    assert_eq!(count(&tail, table), 2);
}

#[test]
fn a_retry_is_polled_to_its_end() {
    let machine = Machine::new();
    let engine = machine.engine();
    let tail = machine.tail(&engine);
    let table = create_table(&tail);
    let submit = || {
        let mut transaction = insert(&tail, table, &[1]);
        transaction.set_client_id(77);
        transaction.submit().unwrap()
    };
    let first = submit();
    let mut again = pin!(submit());
    for _ in 0..1000 {
        if let Poll::Ready(done) = again.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            assert_eq!(done.unwrap(), first.timestamp());
            assert_eq!(count(&tail, table), 1);
            return;
        }
        engine.drive_once();
    }
    panic!("the engine is driven, and the retry does not end");
}

/// Of two writers on one shard the one that opened last goes on. What the other one had proposed is there.
#[test]
fn a_writer_that_was_replaced_is_refused() {
    let machine = Machine::new();
    let engine = machine.engine();
    let old = machine.tail(&engine);
    let table = create_table(&old);
    let pending = insert(&old, table, &[1]).submit().unwrap();
    let new = machine.tail(&engine);
    assert_eq!((new.watermark(), count(&new, table)), (pending.timestamp(), 1));
    assert!(matches!(insert(&old, table, &[2]).commit(), Err(Error::Stopped(Stopped::Lost))));
    insert(&new, table, &[3]).commit().unwrap();
    assert!(matches!(insert(&old, table, &[4]).commit(), Err(Error::Stopped(Stopped::Lost))));
    pending.wait().unwrap();
    assert_eq!((count(&old, table), count(&new, table)), (1, 2));
}

/// The tail has no thread that flushes, so a commit does not wait for one.
#[test]
fn a_commit_without_memory_is_refused_until_there_is_some() {
    let machine = Machine::new();
    let engine = machine.engine();
    let tail = machine.tail_of(&engine, 64 << 10);
    let table = create_table(&tail);
    let mut next = 0;
    let refused = loop {
        let ids: Vec<i64> = (next..next + 500).collect();
        match insert(&tail, table, &ids).commit() {
            Ok(_) => next += 500,
            Err(error) => break error,
        }
        assert!(next < 100_000, "nothing was refused");
    };
    assert!(matches!(refused, Error::Full { table: None, bytes, max: 65_536 } if bytes >= 65_536), "{refused:?}");
    let waiting = insert(&tail, table, &[next]);
    let mut admission = pin!(waiting.admission());
    assert!(admission.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    tail.flush(table).unwrap();
    assert!(matches!(admission.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(Ok(()))));
    insert(&tail, table, &[next]).commit().unwrap();
    let rows: usize =
        tail.scan(table, tail.watermark(), Projection::default()).unwrap().map(|batch| batch.unwrap().num_rows()).sum();
    assert_eq!(i64::try_from(rows).unwrap(), next + 1);
}
