//! append: encodes entries of many shards into an aligned buffer; they are accepted, ordered and readable, not yet
//! durable.
//!
//! Batches that are accepted faster than the disk writes them wait for admission, so a long run measures the disk.

#![forbid(unsafe_code)]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use logboom::Durability;
use logboom_bench::stage::{Appender, Stage};

fn append(criterion: &mut Criterion) {
    let stage = Stage::new(|config| config.reserve_segments = 16);
    let mut group = criterion.benchmark_group("append");
    for (shard, count) in [1, 8, 64].into_iter().enumerate() {
        let mut appender = Appender::new(shard as u64, 256);
        group.throughput(Throughput::Elements(count));
        group.bench_function(BenchmarkId::new("entries of 256 B in a batch", count), |bench| {
            bench.iter(|| {
                let mut batch = stage.batch();
                appender.add(&mut batch, count);
                stage.submit(batch, Durability::Lazy).expect("accepted")
            });
        });
    }
    group.finish();
}

criterion_group!(benches, append);
criterion_main!(benches);
