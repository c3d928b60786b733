//! compact: moves compaction points, which frees segments without losing live entries.
//!
//! An iteration accepts entries and compacts those of the iteration before, so whole segments are freed and recycled
//! during the measurement.

#![forbid(unsafe_code)]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use logboom::{Durability, EntryId, ShardId};
use logboom_bench::{payload::Payloads, stage::Stage};

fn compact(criterion: &mut Criterion) {
    let stage = Stage::new(|config| config.reserve_segments = 16);
    let mut group = criterion.benchmark_group("compact");
    for (shard, count) in [1, 64].into_iter().enumerate() {
        let shard = ShardId(shard as u64);
        let (mut last, mut payloads) = (0, Payloads::new(256, 1));
        group.throughput(Throughput::Elements(count));
        group.bench_function(BenchmarkId::new("entries of 256 B appended and released", count), |bench| {
            bench.iter(|| {
                let mut batch = stage.batch();
                for index in last + 1..=last + count {
                    batch.append_payload(shard, EntryId { index, term: 1 }, payloads.next()).expect("a small entry");
                }
                if last > 0 {
                    batch.compact_through(shard, last).expect("entries that are there");
                }
                last += count;
                stage.submit(batch, Durability::Lazy).expect("accepted")
            });
        });
    }
    group.finish();
}

criterion_group!(benches, compact);
criterion_main!(benches);
