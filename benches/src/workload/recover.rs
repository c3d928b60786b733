//! Reopens a log whose writer was killed.

use std::time::{Duration, Instant};

use crate::{
    Result,
    job::{Job, Outcome, Task},
    latency::Latencies,
    usage,
    workload::{Round, Shape},
};

/// Writes a log, kills the writer, drops the page cache, and reopens the log.
pub fn round(round: &Round<'_>, shape: &Shape) -> Result<Outcome> {
    let outcome = round.reopen(shape, true, Task::Reopen(shape.clone()))?;
    if outcome.ops < shape.total() {
        return Err(format!("{} entries were durable, {} are there", shape.total(), outcome.ops).into());
    }
    Ok(outcome)
}

/// Measures the reopening in this process.
///
/// Throughput counts all entries, from the beginning of the open until one entry of every shard has been read; the
/// latencies are those of these reads. They are spread over the whole log, so that a system that defers work at open
/// does all of it.
pub fn measure(job: &Job, shape: &Shape) -> Result<Outcome> {
    let (began, cpu) = (Instant::now(), usage::cpu());
    let log = job.system.open(&job.dir, shape.tuning)?;
    let opened = began.elapsed();
    let mut reader = log.reader(shape.shards);
    let (mut latencies, mut entries) = (Latencies::new(), 0);
    for shard in 0..shape.shards {
        let bounds = reader.bounds(shard);
        let count = bounds.end - bounds.start;
        let index = bounds.start + count * shard / shape.shards;
        let asked = Instant::now();
        if reader.read(shard, index..index + 1)? != 1 {
            return Err(format!("entry {index} of shard {shard} is gone").into());
        }
        latencies.record(asked.elapsed(), 1);
        entries += count;
    }
    let (elapsed, cpu) = (began.elapsed(), usage::cpu().saturating_sub(cpu));
    drop(reader);
    let bytes = entries * shape.payload as u64;
    let mut outcome = Outcome { ops: entries, bytes, elapsed, cpu, latencies, ..Outcome::default() };
    outcome.figure("open_ms", ms(opened));
    outcome.figure("touch_ms", ms(elapsed));
    log.describe(&mut outcome);
    log.close()?;
    Ok(outcome)
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
