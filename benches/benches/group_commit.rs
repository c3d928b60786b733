//! group_commit: writes buffers with direct IO, and one sync covers many; on return the batch survives power loss.

#![forbid(unsafe_code)]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use logboom::Durability;
use logboom_bench::stage::{Appender, Stage};

fn group_commit(criterion: &mut Criterion) {
    let stage = Stage::new(|config| config.reserve_segments = 16);
    let mut group = criterion.benchmark_group("group_commit");
    let mut lone = Appender::new(0, 1 << 10);
    group.throughput(Throughput::Elements(1));
    group.bench_function("a lone writer of 1 KiB", |bench| {
        bench.iter(|| {
            let mut batch = stage.batch();
            lone.add(&mut batch, 1);
            stage.write(batch).expect("durable");
        });
    });
    let mut appenders: Vec<_> = (1..=256).map(|shard| Appender::new(shard, 256)).collect();
    for count in [16, 256] {
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(BenchmarkId::new("tickets outstanding", count), |bench| {
            bench.iter(|| {
                let submit = |appender: &mut Appender| {
                    let mut batch = stage.batch();
                    appender.add(&mut batch, 1);
                    stage.submit(batch, Durability::Durable).expect("accepted")
                };
                let tickets: Vec<_> = appenders[..count].iter_mut().map(submit).collect();
                tickets.into_iter().for_each(|ticket| ticket.wait().expect("durable"));
            });
        });
    }
    group.finish();
}

criterion_group!(benches, group_commit);
criterion_main!(benches);
