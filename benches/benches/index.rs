//! index: looks up the place of (shard, index), in constant time and within the memory budget.

#![forbid(unsafe_code)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use logboom::{Engine, EntryId, ShardId};
use logboom_bench::{payload::Payloads, stage::Stage};

const SHARDS: u64 = 1000;
const ENTRIES: u64 = 100;

fn index(criterion: &mut Criterion) {
    let stage = Stage::new(|_| {});
    fill(&stage);
    let shards: Vec<_> = (0..SHARDS).map(|shard| stage.shard(ShardId(shard))).collect();
    let mut random = fastrand::Rng::with_seed(1);
    let mut group = criterion.benchmark_group("index");
    group.throughput(Throughput::Elements(1));
    group.bench_function("bounds of a shard", |bench| {
        bench.iter(|| black_box(random.choice(&shards).map(|shard| (shard.first(), shard.last()))));
    });
    group.bench_function("term of an entry", |bench| {
        bench.iter(|| {
            let index = random.u64(1..=ENTRIES);
            random.choice(&shards).map(|shard| shard.term(index).expect("it is there"))
        });
    });
    group.bench_function("handle of a shard", |bench| {
        bench.iter(|| black_box(stage.shard(ShardId(random.u64(..SHARDS)))));
    });
    group.finish();
}

/// Writes batches of one entry of every shard, so that no two entries of a shard are adjacent.
fn fill(engine: &Engine) {
    let mut payloads = Payloads::new(64, 1);
    for index in 1..=ENTRIES {
        let mut batch = engine.batch();
        for shard in 0..SHARDS {
            batch
                .append_payload(ShardId(shard), EntryId { index, term: index / 10 }, payloads.next())
                .expect("a small entry");
        }
        engine.write(batch).expect("durable");
    }
}

criterion_group!(benches, index);
criterion_main!(benches);
