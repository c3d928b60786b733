//! read: reads a range of a shard as a batch of entries, verified and without a copy.

#![forbid(unsafe_code)]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use logboom::ShardId;
use logboom_bench::stage::{Appender, Stage};

const SHARDS: u64 = 100;
const ENTRIES: u64 = 200;

fn read(criterion: &mut Criterion) {
    let stage = Stage::new(|_| {});
    let mut appenders: Vec<_> = (0..SHARDS).map(|shard| Appender::new(shard, 256)).collect();
    for _ in 0..ENTRIES / 8 {
        for appender in &mut appenders {
            let mut batch = stage.batch();
            appender.add(&mut batch, 8);
            stage.write(batch).expect("durable");
        }
    }
    let mut random = fastrand::Rng::with_seed(1);
    let shards: Vec<_> = (0..SHARDS).map(|shard| stage.shard(ShardId(shard))).collect();
    let mut group = criterion.benchmark_group("read");
    for count in [1, 8, 100] {
        group.throughput(Throughput::Elements(count));
        group.bench_function(BenchmarkId::new("recent entries of 256 B", count), |bench| {
            bench.iter(|| {
                let shard = random.choice(&shards).expect("there are shards");
                let entries = shard.entries(ENTRIES + 1 - count..ENTRIES + 1, u64::MAX).expect("they are there");
                entries.iter().for_each(|entry| _ = black_box(entry.payload[0]));
            });
        });
    }
    group.finish();
}

criterion_group!(benches, read);
criterion_main!(benches);
