//! A full device: compacting is accepted at once, and gives space back, however the log came to be full.

use bytes::Bytes;
use logboom::{
    Capacity, Config, Durability, Engine, EntryId, Error, ManualClock, Result, Runtime, ShardId,
    disk::{SimDisk, SimOptions},
};

use crate::support::*;

const CAPACITY: u64 = 6 << 20;

/// An engine on a small device, driven by hand or with threads, with the default reserve.
fn open(disk: &std::sync::Arc<SimDisk>, manual: bool) -> Engine {
    let mut config = Config::new("simulated");
    config.segment_bytes = 256 << 10;
    let runtime = if manual { Runtime::Manual(ManualClock::new(1)) } else { Runtime::Threads };
    Engine::open_on(disk.clone(), config, runtime).unwrap()
}

fn put(engine: &Engine, index: u64, len: usize) -> Result<()> {
    let mut batch = engine.batch();
    batch.append_payload(A, EntryId { index, term: 1 }, Bytes::from(vec![7; len]))?;
    engine.submit(batch, Durability::Durable)?.wait()
}

fn compact(engine: &Engine, to: u64) -> Result<()> {
    let mut batch = engine.batch();
    batch.compact_through(A, to)?;
    engine.write(batch)
}

/// Appends one entry after the other, and compacts all of them at once whenever the device is full.
fn fill_and_compact(engine: &Engine, rng: &mut fastrand::Rng, sizes: std::ops::Range<usize>, times: u32) {
    let mut full = 0;
    let mut next = engine.shard(A).next().unwrap_or(1);
    while full < times {
        match put(engine, next, rng.usize(sizes.clone())) {
            Ok(()) => next += 1,
            Err(Error::Full { capacity: Capacity::Device, .. }) => {
                full += 1;
                if engine.shard(A).last().is_some() {
                    let space =
                        |error| panic!("compacting when full for the {full}th time: {error}, {:?}", engine.space());
                    compact(engine, next - 1).unwrap_or_else(space);
                }
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_full_device_is_emptied_by_compacting() {
    for seed in 0..12 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (manual, largest) = (seed % 2 == 0, [3_100, 5_000, 20_000][seed as usize % 3]);
        let disk = SimDisk::new(seed, SimOptions { capacity: CAPACITY, ..SimOptions::default() });
        let engine = open(&disk, manual);
        fill_and_compact(&engine, &mut rng, 100..largest, 40);
        engine.close().unwrap();
    }
}

/// Openings use segments that are kept back, as deaths in a full log do: what is left still takes what gives space
/// back.
#[test]
fn a_full_device_is_emptied_after_deaths_as_well() {
    for seed in 0..8 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut disk = SimDisk::new(seed, SimOptions { capacity: CAPACITY, ..SimOptions::default() });
        let mut next = 1;
        for _ in 0..12 {
            let engine = open(&disk, true);
            next = engine.shard(A).next().unwrap_or(next);
            while put(&engine, next, rng.usize(100..3_000)).is_ok() {
                next += 1;
            }
            if rng.bool() {
                engine.drive_once();
            }
            disk = disk.power_cut();
            drop(engine);
        }
        let engine = open(&disk, true);
        while put(&engine, next, 3_000).is_ok() {
            next += 1;
        }
        fill_and_compact(&engine, &mut rng, 100..3_000, 10);
        let bytes = engine.space().bytes_in_use;
        for _ in 0..100 {
            engine.drive_once();
        }
        assert!(engine.space().bytes_in_use <= bytes);
        engine.close().unwrap();
    }
}

/// Many shards share each segment, and each is compacted by itself: the segments are dead when the last one is.
#[test]
fn a_full_device_is_emptied_shard_by_shard() {
    const SHARDS: u64 = 300;
    for seed in 0..4 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let disk = SimDisk::new(seed, SimOptions { capacity: CAPACITY, ..SimOptions::default() });
        let engine = open(&disk, seed % 2 == 0);
        for _ in 0..3 {
            let full = std::iter::repeat_with(|| {
                let shard = ShardId(rng.u64(..SHARDS));
                let mut batch = engine.batch();
                let next = engine.shard(shard).next().unwrap_or(1);
                batch
                    .append_payload(
                        shard,
                        EntryId { index: next, term: 1 },
                        Bytes::from(vec![7; rng.usize(100..3_000)]),
                    )
                    .unwrap();
                engine.write(batch)
            });
            let full = full.filter_map(Result::err).next().unwrap();
            assert!(matches!(full, Error::Full { capacity: Capacity::Device, .. }), "{full}");
            for shard in (0..SHARDS).map(ShardId) {
                let Some(last) = engine.shard(shard).last() else { continue };
                let mut batch = engine.batch();
                batch.compact_through(shard, last).unwrap();
                let outcome = engine.write(batch);
                outcome.unwrap_or_else(|error| panic!("{shard:?} of {SHARDS}: {error}, {:?}", engine.space()));
            }
        }
        engine.close().unwrap();
    }
}

/// Each batch appends to one shard and compacts another: what is kept for giving space back is not for its entries.
#[test]
fn a_full_device_is_emptied_where_batches_append_and_compact() {
    for seed in 0..6 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let disk = SimDisk::new(seed, SimOptions { capacity: CAPACITY, ..SimOptions::default() });
        let engine = open(&disk, seed % 2 == 0);
        for round in 0..10 {
            let full = std::iter::repeat_with(|| {
                let mut batch = engine.batch();
                let next = engine.shard(B).next().unwrap_or(1);
                batch
                    .append_payload(B, EntryId { index: next, term: 1 }, Bytes::from(vec![7; rng.usize(100..30_000)]))
                    .unwrap();
                let other = engine.shard(A).next().unwrap_or(1);
                batch.append_payload(A, EntryId { index: other, term: 1 }, &b"other"[..]).unwrap();
                if other > 1 {
                    batch.compact_through(A, other - 1).unwrap();
                }
                engine.write(batch)
            });
            let full = full.filter_map(Result::err).next().unwrap();
            assert!(matches!(full, Error::Full { capacity: Capacity::Device, .. }), "{full}");
            let last = engine.shard(B).last().unwrap();
            let mut batch = engine.batch();
            batch.compact_through(B, last).unwrap();
            engine.write(batch).unwrap_or_else(|error| panic!("round {round}: {error}, {:?}", engine.space()));
        }
        engine.close().unwrap();
    }
}
