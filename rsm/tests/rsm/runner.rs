//! A driver on a thread, on a real disk.

use std::{
    sync::mpsc,
    time::{Duration, Instant},
};

use logboom::{Config, Durability, Engine, Entry};
use logboom_rsm::{Driver, Error, Options, Runner};

use crate::{
    model::{Fault, Model},
    world::{SHARD, payload, small_policy},
};

fn open(dir: &std::path::Path) -> Engine {
    let mut config = Config::new(dir);
    config.segment_bytes = 256 << 10;
    config.disk.lock_wait = Duration::from_secs(5);
    Engine::open(config).unwrap()
}

fn until(what: &str, condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(20), "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn it_applies_saves_and_compacts_by_itself() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let engine = open(dir.path());
    let options = Options { policy: small_policy(), ..Options::default() };
    let (driver, _) = Driver::concurrent(&engine, SHARD, Model::new(None), options.clone()).unwrap();
    let (applied, answers) = mpsc::channel();
    let runner = Runner::start(driver, move |_, batch| {
        batch.entries.iter().for_each(|entry| applied.send(entry.index).unwrap());
    })
    .unwrap();
    let shard = engine.shard(SHARD);
    for index in 1..=300 {
        let mut batch = engine.batch();
        batch.append(SHARD, Entry::new(index, index / 10, payload(index).into_bytes())).unwrap();
        // Nobody waits for it: that it is durable is the runner's to find out.
        drop(engine.submit(batch, Durability::Durable).unwrap());
        runner.commit(index);
    }
    assert_eq!(answers.iter().take(300).collect::<Vec<_>>(), (1..=300).collect::<Vec<_>>());
    assert_eq!(runner.reader().applied(), Some(300));
    runner.request_snapshot();
    let newest = || engine.snapshots().list(SHARD).last().map(|newest| newest.index);
    until("a snapshot of everything", || newest() == Some(300));
    until("the log is compacted", || shard.first() == Some(296));
    let (driver, outcome) = runner.stop();
    outcome.unwrap();
    driver.close().unwrap();
    engine.close().unwrap();
    drop(shard);

    let engine = open(dir.path());
    let (driver, recovered) = Driver::regular(&engine, SHARD, Model::new(None), options).unwrap();
    assert_eq!(recovered.applied, Some(300));
    assert_eq!(driver.reader().lookup("key 1").unwrap(), Some("value 300".into()));
    engine.close().unwrap();
}

#[test]
fn a_machine_that_fails_ends_the_thread() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let engine = open(dir.path());
    let machine = Model::new(Some(Fault::ForgetsOutputs));
    let (driver, _) = Driver::regular(&engine, SHARD, machine, Options::default()).unwrap();
    let runner = Runner::start(driver, |_, _| {}).unwrap();
    let mut batch = engine.batch();
    batch.append_payload(SHARD, 1, 1, b"").unwrap();
    engine.write(batch).unwrap();
    runner.commit(1);
    until("it fails", || runner.has_failed());
    let (driver, outcome) = runner.stop();
    assert!(matches!(outcome, Err(Error::Outputs { expected: 1, got: 0 })));
    driver.close().unwrap();
    engine.close().unwrap();
}
