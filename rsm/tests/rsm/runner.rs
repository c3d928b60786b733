//! A driver on a thread, on a real disk.

use std::{
    io::Write,
    sync::{Arc, Barrier, mpsc},
    thread,
    time::{Duration, Instant},
};

use logboom::{Config, Durability, Engine, Entry, EntryBatch, EntryId, snapshot::Stop};
use logboom_rsm::{
    CatchUp, Driver, Error, Failure, Files, Options, Runner, SaveSnapshot, SnapshotReader, StateMachine,
};

use crate::{
    model::{Fault, Model},
    world::{SHARD, append, payload, small_policy},
};

fn open(dir: &std::path::Path) -> Engine {
    let mut config = Config::new(dir);
    config.segment_bytes = 256 << 10;
    config.disk.lock_wait = Duration::from_secs(5);
    Engine::open(config).unwrap()
}

pub(crate) fn until(what: &str, condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(20), "waited in vain: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn it_applies_saves_and_compacts_by_itself() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let engine = open(dir.path());
    let mut options = Options::default();
    options.policy = small_policy();
    let (driver, _) = Driver::concurrent(&engine, SHARD, Model::new(None), options.clone()).unwrap();
    let (applied, answers) = mpsc::channel();
    let runner = Runner::start(driver, move |_, batch| {
        batch.entries.iter().for_each(|entry| applied.send(entry.index).unwrap());
    })
    .unwrap();
    let shard = engine.shard(SHARD);
    for index in 1..=300 {
        let mut batch = engine.batch();
        batch.append(SHARD, Entry::new(EntryId { index, term: index / 10 }, payload(index).into_bytes())).unwrap();
        // Nobody waits for it: that it is durable is the runner's to find out.
        drop(engine.submit(batch, Durability::Durable).unwrap());
        runner.commit(index);
    }
    assert_eq!(answers.iter().take(300).collect::<Vec<_>>(), (1..=300).collect::<Vec<_>>());
    assert_eq!(runner.reader().applied(), Some(300));
    runner.send(Driver::request_snapshot);
    let newest = || engine.snapshots().list(SHARD).last().map(|newest| newest.index);
    until("a snapshot of everything", || newest() == Some(300));
    until("the log is compacted", || shard.first() == Some(296));
    let sent = runner.call(|driver| driver.catch_up(3, 100)).unwrap().unwrap();
    let CatchUp::Snapshot(lease) = sent else { panic!("{sent:?}") };
    assert_eq!((lease.manifest().index, runner.last_failure().map(|error| error.to_string())), (300, None));
    drop(lease);
    let (driver, outcome) = runner.stop();
    outcome.unwrap();
    driver.close().unwrap();
    engine.close().unwrap();
    drop(shard);

    let engine = open(dir.path());
    let (driver, recovered) = Driver::blocking(&engine, SHARD, Model::new(None), options).unwrap();
    assert_eq!(recovered.applied, Some(300));
    assert_eq!(driver.reader().lookup("key 1").unwrap(), Some("value 300".into()));
    engine.close().unwrap();
}

/// A machine that panics where it is saved, the first time.
struct Panics(std::sync::atomic::AtomicBool);

impl StateMachine for Panics {
    type Output = ();
    type Query = ();
    type Answer = ();

    fn update(&mut self, entries: &EntryBatch) -> Result<Vec<()>, Failure> {
        Ok(entries.iter().map(drop).collect())
    }

    fn lookup(&self, (): &()) -> Result<(), Failure> {
        Ok(())
    }

    fn recover_from_snapshot(&mut self, _: &mut SnapshotReader<'_>, _: &Stop) -> Result<(), Failure> {
        Err("it has nothing to recover from".into())
    }
}

impl SaveSnapshot for Panics {
    fn save_snapshot(&self, to: &mut dyn Write, _: &mut Files, _: &Stop) -> Result<(), Failure> {
        assert!(self.0.swap(true, std::sync::atomic::Ordering::SeqCst), "it cannot be saved");
        Ok(to.write_all(b"state")?)
    }
}

/// A save that panics is one that has failed: that is told, and it is tried again.
#[test]
fn a_save_that_panics_is_told_and_tried_again() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let engine = open(dir.path());
    let machine = Panics(std::sync::atomic::AtomicBool::new(false));
    let (driver, _) = Driver::blocking(&engine, SHARD, machine, Options::default()).unwrap();
    let runner = Runner::start(driver, |_, _| {}).unwrap();
    append(&engine, 1..10).unwrap();
    runner.commit(9);
    until("it is applied", || runner.reader().applied() == Some(9));
    runner.send(Driver::request_snapshot);
    until("the panic is told", || runner.last_failure().is_some());
    assert!(format!("{:#}", runner.last_failure().unwrap()).contains("it cannot be saved"));
    assert!(!runner.has_failed());
    runner.send(Driver::request_snapshot);
    until("it is saved", || !engine.snapshots().list(SHARD).is_empty());
    let (_, outcome) = runner.stop();
    outcome.unwrap();
    engine.close().unwrap();
}

/// A machine whose saves wait until they are let go.
struct Slow {
    entries: u64,
    gate: Arc<Barrier>,
}

impl StateMachine for Slow {
    type Output = ();
    type Query = ();
    type Answer = u64;

    fn update(&mut self, entries: &EntryBatch) -> Result<Vec<()>, Failure> {
        self.entries += entries.len() as u64;
        Ok(entries.iter().map(drop).collect())
    }

    fn lookup(&self, (): &()) -> Result<u64, Failure> {
        Ok(self.entries)
    }

    fn recover_from_snapshot(&mut self, _: &mut SnapshotReader<'_>, _: &Stop) -> Result<(), Failure> {
        Err("it has nothing to recover from".into())
    }
}

impl SaveSnapshot for Slow {
    fn save_snapshot(&self, to: &mut dyn Write, _: &mut Files, _: &Stop) -> Result<(), Failure> {
        self.gate.wait();
        to.write_all(&self.entries.to_le_bytes())?;
        self.gate.wait();
        Ok(())
    }
}

/// While a blocking snapshot is saved the update waits, and lookups pass it.
#[test]
fn lookups_go_on_while_an_update_waits_for_a_save() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let engine = open(dir.path());
    let gate = Arc::new(Barrier::new(2));
    let machine = Slow { entries: 0, gate: Arc::clone(&gate) };
    let (mut driver, _) = Driver::blocking(&engine, SHARD, machine, Options::default()).unwrap();
    let reader = driver.reader();
    append(&engine, 1..11).unwrap();
    driver.commit(5);
    driver.apply().unwrap();
    driver.request_snapshot();
    let job = driver.upkeep().unwrap().job.unwrap();
    let saving = thread::spawn(|| job.run());
    gate.wait();
    driver.commit(10);
    let updating = thread::spawn(move || {
        driver.apply().unwrap();
        driver
    });
    // However long it takes the update to begin to wait: lookups go on, and see nothing of it.
    for _ in 0..50 {
        assert_eq!(reader.lookup(&()).unwrap(), 5);
        thread::sleep(Duration::from_millis(1));
    }
    assert!(!updating.is_finished());
    gate.wait();
    let mut driver = updating.join().unwrap();
    assert_eq!(reader.lookup(&()).unwrap(), 10);
    assert_eq!(driver.finish(saving.join().unwrap()).unwrap().index, 5);
}

#[test]
fn a_thread_whose_runner_is_dropped_ends() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let engine = open(dir.path());
    let gate = Arc::new(Barrier::new(2));
    let machine = Slow { entries: 0, gate: Arc::clone(&gate) };
    let (driver, _) = Driver::blocking(&engine, SHARD, machine, Options::default()).unwrap();
    drop(Runner::start(driver, |_, _| {}).unwrap());
    until("the machine is gone", || Arc::strong_count(&gate) == 1);
}

#[test]
fn a_machine_that_fails_ends_the_thread() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let engine = open(dir.path());
    let machine = Model::new(Some(Fault::ForgetsOutputs));
    let (driver, _) = Driver::blocking(&engine, SHARD, machine, Options::default()).unwrap();
    let runner = Runner::start(driver, |_, _| {}).unwrap();
    let mut batch = engine.batch();
    batch.append_payload(SHARD, EntryId { index: 1, term: 1 }, b"").unwrap();
    engine.write(batch).unwrap();
    runner.commit(1);
    until("it fails", || runner.has_failed());
    assert!(matches!(runner.call(|driver| driver.applied()), Err(Error::Closed)));
    let (driver, outcome) = runner.stop();
    assert!(matches!(outcome, Err(Error::Outputs { expected: 1, got: 0 })));
    driver.close().unwrap();
    engine.close().unwrap();
}
