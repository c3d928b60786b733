//! Openraft 0.10 on an engine whose disk stands still: it goes on appending while nothing is durable.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use logboom::{
    Config, Engine, ManualClock, Runtime,
    disk::{SimDisk, SimOptions},
};
use logboom_openraft::{
    Data, Options,
    v0_10::{LogStore, MachineStore, openraft, openraft::BasicNode},
};

use crate::{
    scenario::{GROUP, Peers, Texts},
    v0_10::{Network, Types},
};

/// Appends that are on their way at once.
const APPENDS: u64 = 5;

#[test]
fn a_group_on_0_10_has_several_appends_in_flight() {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(several_in_flight());
}

async fn several_in_flight() {
    let clock = ManualClock::new(1);
    let mut config = Config::new("simulated");
    config.segment_bytes = 256 << 10;
    let disk = SimDisk::new(1, SimOptions::default());
    let engine = Engine::open_on(disk, config, Runtime::Manual(clock.clone())).unwrap();
    let moves = Arc::new(AtomicBool::new(true));
    tokio::spawn(drive(engine.clone(), clock, Arc::clone(&moves)));

    let machine = MachineStore::<Types, _>::open(&engine, GROUP, Texts::default()).unwrap();
    let log = LogStore::new(&engine, GROUP, Options::default());
    let config = Arc::new(openraft::Config::default().validate().unwrap());
    let raft = openraft::Raft::new(1, config, Network(Peers::default()), log, machine.clone()).await.unwrap();
    raft.initialize(BTreeMap::from([(1, BasicNode::new("alone"))])).await.unwrap();
    raft.wait(Some(Duration::from_secs(60))).current_leader(1, "it is alone").await.unwrap();
    raft.client_write(Data("first".into())).await.unwrap();

    let shard = engine.shard(GROUP);
    until("the log is durable", || shard.durable() == shard.last()).await;
    moves.store(false, Ordering::Relaxed);
    let last = shard.last().unwrap();
    let mut writes = Vec::new();
    for number in 1..=APPENDS {
        let raft = raft.clone();
        writes.push(tokio::spawn(async move { raft.client_write(Data(format!("{number}").into())).await }));
        // One append each: the core has handed this one over before it knows of the next.
        until("the entry is in the log", || shard.last() == Some(last + number)).await;
    }
    assert_eq!(shard.durable(), Some(last), "{APPENDS} appends are in flight");
    assert!(writes.iter().all(|write| !write.is_finished()), "a write is acknowledged that is not durable");
    assert_eq!(machine.read(|texts| texts.0.len()), 1);

    moves.store(true, Ordering::Relaxed);
    for write in writes {
        write.await.unwrap().unwrap();
    }
    assert_eq!(machine.read(|texts| texts.0.clone()), ["first", "1", "2", "3", "4", "5"]);
    raft.shutdown().await.unwrap();
}

/// The engine's background, while it moves.
async fn drive(engine: Engine, clock: Arc<ManualClock>, moves: Arc<AtomicBool>) {
    loop {
        while moves.load(Ordering::Relaxed) && engine.drive_once() {}
        clock.advance(Duration::from_millis(1));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(60), "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
