//! Directories that an engine has written, for edits to begin with. The same in every process.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use logboom_disk::SimDisk;
use logboom_snapshot::EntryId;
use logboom_wal::{
    ManualClock, Runtime,
    fuzz::{Fixture, Image},
};

use crate::{
    engine::Engine,
    types::{config::Config, ids::ShardId, payload::Entry},
};

pub(super) const SHARDS: std::ops::Range<u64> = 0..5;

pub(super) fn config() -> Config {
    let mut config = Config::new("in memory");
    config.segment_bytes = 256 << 10;
    config.reserve_segments = 0;
    config
}

/// One of the fixtures of an engine.
pub(super) fn choose(choice: u8) -> &'static Fixture {
    const MAKE: [fn() -> Fixture; 2] = [young, sealed];
    static FIXTURES: [OnceLock<Fixture>; 2] = [const { OnceLock::new() }; 2];
    let nth = usize::from(choice) % MAKE.len();
    FIXTURES[nth].get_or_init(MAKE[nth])
}

/// The body of the newest checkpoint of a fixture that has one.
pub(super) fn checkpoint() -> Vec<u8> {
    let disk = logboom_wal::fuzz::MemoryDisk::new(choose(1).now.clone());
    let opening = logboom_wal::open_read_only(disk, crate::recovery::log_options::options(&config())).unwrap();
    opening.checkpoint().unwrap().to_vec()
}

/// What every entry holds: it says which one it is.
pub(super) fn payload(shard: ShardId, index: u64, term: u64) -> Vec<u8> {
    let mut payload = [shard.0, index, term].map(u64::to_le_bytes).concat();
    payload.resize(24 + (index % 50) as usize * 8, 7);
    payload
}

/// One segment with every kind of record in it, left by a killed process.
fn young() -> Fixture {
    let (disk, engine, clock) = begin(1);
    fill(&engine, 1);
    let older = Image::of(&*disk);
    fill(&engine, 2);
    let mut batch = engine.batch();
    batch.reset_to(ShardId(3), Some(EntryId { index: 99, term: 2 })).unwrap();
    batch.destroy(ShardId(4)).unwrap();
    batch.delete(ShardId(0), b"key 1").unwrap();
    engine.write(batch).unwrap();
    fill(&engine, 3);
    pass(&engine, &clock);
    Fixture::new(Image::of(&*disk), older)
}

/// Several segments, sealed and checkpointed, closed and opened again.
fn sealed() -> Fixture {
    let (disk, engine, clock) = begin(2);
    for term in 1..40 {
        fill(&engine, term);
        pass(&engine, &clock);
    }
    let older = Image::of(&*disk);
    let mut batch = engine.batch();
    batch.compact_through(ShardId(1), engine.shard(ShardId(1)).last().unwrap() - 30).unwrap();
    engine.write(batch).unwrap();
    engine.close().unwrap();
    let clock_again = ManualClock::new(5);
    let engine = Engine::open_on(Arc::clone(&disk) as _, config(), Runtime::Manual(clock_again)).unwrap();
    fill(&engine, 40);
    pass(&engine, &clock);
    Fixture::new(Image::of(&*disk), older)
}

fn begin(seed: u64) -> (Arc<SimDisk>, Engine, Arc<ManualClock>) {
    let (disk, clock) = (SimDisk::new(seed, Image::options()), ManualClock::new(seed));
    let engine = Engine::open_on(Arc::clone(&disk) as _, config(), Runtime::Manual(Arc::clone(&clock) as _)).unwrap();
    (disk, engine, clock)
}

/// Adds a little of everything to every shard.
fn fill(engine: &Engine, term: u64) {
    for shard in SHARDS.map(ShardId) {
        let next = engine.shard(shard).next().unwrap_or(1);
        let mut batch = engine.batch();
        for index in next..next + 20 {
            let payload = bytes::Bytes::from(payload(shard, index, term));
            batch
                .append(shard, Entry { context: b"context", kind: 3, ..Entry::new(EntryId { index, term }, payload) })
                .unwrap();
        }
        batch.hard_state(shard, &term.to_le_bytes()).unwrap();
        batch.commit_hint(shard, &[term as u8; 5]).unwrap();
        batch.put(shard, format!("key {term}").as_bytes(), b"value").unwrap();
        engine.write(batch).unwrap();
        let mut batch = engine.batch();
        batch.truncate_after(shard, next + 16).unwrap();
        engine.write(batch).unwrap();
    }
}

fn pass(engine: &Engine, clock: &ManualClock) {
    for _ in 0..20 {
        clock.advance(Duration::from_millis(20));
        while engine.drive_once() {}
    }
}
