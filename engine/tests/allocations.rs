//! How much memory the engine allocates, counted.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "what a test relies on and does not find is its failure")]

use std::{alloc::System, time::Duration};

use bytes::Bytes;
use logboom::{Config, Durability, Engine, EntryId, ShardId};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const SHARD: ShardId = ShardId(1);

/// Segments that are prepared though none is held in reserve.
const KEPT_BACK: u64 = 3;

fn open(change: impl FnOnce(&mut Config)) -> (tempfile::TempDir, Config, Engine) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut config = Config::new(dir.path().join("log"));
    config.segment_bytes = 4 << 20;
    change(&mut config);
    let engine = Engine::open(config.clone()).unwrap();
    (dir, config, engine)
}

/// Appends `count` entries of 1 KiB durably, and returns the number of allocations.
fn allocations_of_append(engine: &Engine, count: u64, payload: &[u8]) -> usize {
    let next = engine.shard(SHARD).next().unwrap_or(1);
    let region = Region::new(ALLOCATOR);
    let mut batch = engine.batch();
    for index in next..next + count {
        batch.append_payload(SHARD, EntryId { index, term: 1 }, payload).unwrap();
    }
    engine.submit(batch, Durability::Durable).unwrap().wait().unwrap();
    region.change().allocations
}

fn allocations_of_read(engine: &Engine, count: u64) -> usize {
    let shard = engine.shard(SHARD);
    let end = shard.next().unwrap();
    let region = Region::new(ALLOCATOR);
    let entries = shard.entries(end - count..end, u64::MAX).unwrap();
    assert_eq!(entries.iter().map(|entry| entry.payload.len() as u64).sum::<u64>(), 512 * count);
    region.change().allocations
}

/// The smallest of a few attempts: other threads of the engine allocate at times, and collections grow.
fn least(attempts: usize, mut attempt: impl FnMut() -> usize) -> usize {
    (0..attempts).map(|_| attempt()).min().unwrap()
}

/// One test, since the allocator counts for all threads.
#[test]
fn memory_is_bounded() {
    appending_and_hot_reading_allocate_nothing_per_entry();
    an_entry_costs_a_row();
    an_idle_shard_is_small();
    reads_and_refused_batches_keep_no_memory();
}

fn appending_and_hot_reading_allocate_nothing_per_entry() {
    // All of it fits in one segment, and no other is wanted: the background has nothing to do, and allocates nothing.
    let (_dir, _, engine) = open(|config| (config.segment_bytes, config.reserve_segments) = (32 << 20, 0));
    while engine.metrics().log.prepared_segments < KEPT_BACK {
        std::thread::sleep(Duration::from_millis(1));
    }
    let payload = vec![7; 512];
    for _ in 0..5 {
        allocations_of_append(&engine, 1000, &payload);
    }
    let few = least(20, || allocations_of_append(&engine, 10, &payload));
    let many = least(20, || allocations_of_append(&engine, 1000, &payload));
    println!("submit and wait: {few} allocations for 10 entries, {many} for 1000");
    assert!(few <= 10, "{few} allocations for a batch");
    // A batch of 500 KB has chunks of its own.
    assert!(many <= few + 4, "{many} allocations for 1000 entries, {few} for 10");
    let few = least(20, || allocations_of_read(&engine, 10));
    let many = least(20, || allocations_of_read(&engine, 1000));
    println!("hot read: {few} allocations for 10 entries, {many} for 1000");
    // Of more than one record there is a list, while they are read.
    assert!(many <= few + 1);
    assert!(few <= 3);
    engine.close().unwrap();
}

fn an_entry_costs_a_row() {
    const ENTRIES: u64 = 100_000;
    let (_dir, config, engine) = open(|_| ());
    for index in 1..=ENTRIES {
        let mut batch = engine.batch();
        batch.append_payload(SHARD, EntryId { index, term: 1 }, Bytes::new()).unwrap();
        drop(engine.submit(batch, Durability::Lazy).unwrap());
    }
    engine.close().unwrap();
    let engine = Engine::open(config).unwrap();
    let mut next = 1;
    while next <= ENTRIES {
        next += engine.shard(SHARD).entries(next..ENTRIES + 1, 100).unwrap().len() as u64;
    }
    let each = engine.metrics().index_bytes as f64 / ENTRIES as f64;
    println!("index, fully loaded, one entry to a record: {each:.1} bytes an entry");
    assert!(each <= 16.0);
    engine.close().unwrap();
}

fn an_idle_shard_is_small() {
    // The tables of shards double: just before they do, and just after.
    for (few, many) in [(57_000, 114_000), (28_000, 57_000)] {
        let each = (live_after_opening(many) - live_after_opening(few)) as f64 / (many - few) as f64;
        println!("an idle shard with a 64-byte hard state and a sealed log: {each:.1} bytes of live allocation");
        assert!(each <= 200.0 + FOOTER_ROWS, "{each}");
    }
}

/// What a loaded footer takes for a shard: the shard's row and its one record's.
const FOOTER_ROWS: f64 = 32.0 + 12.0;

/// The memory that an engine with so many idle shards holds after it was opened.
fn live_after_opening(shards: u64) -> i64 {
    let (_dir, config, engine) = open(|config| {
        config.cache_bytes = 0;
        config.reclaim_in_background = false;
    });
    let mut batch = engine.batch();
    for id in 0..shards {
        if batch.bytes() > 500_000 {
            engine.write(std::mem::replace(&mut batch, engine.batch())).unwrap();
        }
        batch.hard_state(ShardId(id), &[1; 64]).unwrap();
        batch.append_payload(ShardId(id), EntryId { index: 1, term: 1 }, Bytes::new()).unwrap();
    }
    engine.write(batch).unwrap();
    engine.close().unwrap();
    let before = live();
    let engine = Engine::open(config).unwrap();
    let mut seen = Vec::new();
    // Until the last segment is sealed, and every shard has let go of its places in it.
    while engine.segments().iter().any(|segment| !segment.info.footer && !segment.info.active)
        || seen.len() < 5
        || !seen.ends_with(&[live(); 5])
    {
        std::thread::sleep(std::time::Duration::from_millis(50));
        seen.push(live());
    }
    let live = live() - before;
    engine.close().unwrap();
    live
}

fn reads_and_refused_batches_keep_no_memory() {
    let (_dir, config, engine) = open(|config| config.reserve_segments = 0);
    while engine.metrics().log.prepared_segments < KEPT_BACK {
        std::thread::sleep(Duration::from_millis(1));
    }
    let view = Engine::open_read_only(config).unwrap();
    let look = |shard: logboom::Shard| {
        assert!(shard.last().is_none() && shard.durable().is_none() && shard.quarantine().is_none());
        assert!(shard.term(1).is_err() && shard.hard_state().unwrap().is_none() && shard.get(b"k").unwrap().is_none());
        assert!(shard.entries(1..2, 1).is_err() && shard.raise_applied_floor(1).is_err());
    };
    let refused = |id: u64| {
        let mut batch = engine.batch();
        batch.put(ShardId(id), b"k", b"v").unwrap().truncate_after(ShardId(id + 1), 1).unwrap();
        assert!(engine.submit(batch, Durability::Durable).is_err());
    };
    let kept = |name: &str, most: i64, each: &dyn Fn(u64)| {
        (0..1000).for_each(each);
        let before = live();
        (1000..1_000_000).for_each(each);
        let kept = live() - before;
        println!("a million times {name}: {kept} bytes kept");
        assert!(kept < most, "{name}: {kept}");
    };
    // Other threads of the engine allocate at times: a row for each of them would be a hundred times as much.
    kept("a look at a shard that was never written", 1 << 20, &|id| look(engine.shard(ShardId(id))));
    kept("a look at one in a view", 1 << 20, &|id| look(view.shard(ShardId(id))));
    kept("a refused batch for new shards", 1 << 20, &refused);
    assert_eq!(engine.metrics().index_shards, 0);

    let mut batch = engine.batch();
    while batch.put(SHARD, b"key", &[7; 60_000]).is_ok() {}
    let before = live();
    for _ in 0..1000 {
        assert!(batch.put(SHARD, b"key", &[7; 60_000]).is_err());
        assert!(
            batch
                .overwrite(SHARD, [logboom::Entry::new(EntryId { index: 1, term: 1 }, Bytes::from(vec![7; 60_000]))])
                .is_err()
        );
    }
    let kept = live() - before;
    println!("a thousand times a refused put: {kept} bytes kept");
    assert!(kept < 200_000, "{kept}");
    drop(batch);
    engine.close().unwrap();
}

fn live() -> i64 {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated as i64 - stats.bytes_deallocated as i64
}
