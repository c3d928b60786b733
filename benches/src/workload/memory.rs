//! Measures live allocations, per entry and per idle shard.
//!
//! Each figure is the difference between two logs of different size, divided by the difference in number, so that fixed
//! costs cancel out. Memory that is unused and kept for later use is not counted, if the system reports it: it comes in
//! MiB, and its amount depends on concurrent reads.

use std::{
    hint::black_box,
    thread,
    time::{Duration, Instant},
};

use crate::{
    Result,
    job::{Job, Outcome, Task},
    system::{Log, Tuning},
    usage,
    workload::{Round, Shape, read},
};

/// Writes logs of two sizes, twice, and measures the memory of each after it was reopened and fully loaded.
pub fn round(round: &Round<'_>) -> Result<Outcome> {
    let (entries, mut outcome) = slope(round, &ENTRIES, &MORE_ENTRIES, Shape::total)?;
    let (shards, _) = slope(round, &SHARDS, &MORE_SHARDS, |shape| shape.shards)?;
    outcome.figure("bytes_per_entry", entries);
    outcome.figure("bytes_per_idle_shard", shards);
    outcome.notes.shift_remove(LIVE);
    Ok(outcome)
}

/// Reads every entry of the log in this process, and notes the memory allocated then. Throughput and latencies are
/// those of the reads.
pub fn measure(job: &Job, shape: &Shape) -> Result<Outcome> {
    let log = job.system.open(&job.dir, shape.tuning)?;
    let mut outcome = Outcome::default();
    let (began, cpu) = (Instant::now(), usage::cpu());
    if shape.entries > 0 {
        load_all(&*log, shape, &mut outcome)?;
    }
    (outcome.elapsed, outcome.cpu) = (began.elapsed(), usage::cpu().saturating_sub(cpu));
    outcome.bytes = outcome.ops * shape.payload as u64;
    outcome.note(LIVE, at_rest(|| usage::live_bytes().saturating_sub(log.idle_bytes())));
    black_box(&log);
    log.close()?;
    Ok(outcome)
}

/// The least of several samples, since background work allocates memory for a while.
fn at_rest(bytes: impl Fn() -> u64) -> u64 {
    let moments = (0..MOMENTS).map(|_| {
        thread::sleep(BETWEEN);
        bytes()
    });
    moments.min().unwrap_or_default()
}

const MOMENTS: u32 = 10;
const BETWEEN: Duration = Duration::from_millis(50);

fn load_all(log: &dyn Log, shape: &Shape, outcome: &mut Outcome) -> Result<()> {
    let mut reader = log.reader(shape.shards);
    for shard in 0..shape.shards {
        let asked = Instant::now();
        outcome.ops += read::read_all(&mut *reader, shard, shape.entries_of(shard), READ)?;
        outcome.latencies.record(asked.elapsed(), 1);
    }
    Ok(())
}

/// The entries per read, the same for logs of any size, so that buffers kept for the next read do not count as memory
/// of entries.
const READ: u64 = 32;

/// The name of the note with the live bytes, for the parent.
const LIVE: &str = "live_bytes";

/// Each entry is a group of its own. The shards have different sizes because tables grow by doubling: with equal ones,
/// all tables would be full, or all just doubled.
const ENTRIES: Shape =
    Shape { shards: 200, entries: 100, uneven: true, width: 1, lone: true, tuning: Tuning::Lean, ..Shape::RECOVER };
const MORE_ENTRIES: Shape = Shape { entries: 900, ..ENTRIES };

const SHARDS: Shape = Shape { shards: 10_000, entries: 0, states: true, tuning: Tuning::Lean, ..Shape::RECOVER };
const MORE_SHARDS: Shape = Shape { shards: 110_000, ..SHARDS };

/// The growth of live bytes from `less` to `more`, divided by the growth of `count`, and the outcome of `more`.
fn slope(round: &Round<'_>, less: &Shape, more: &Shape, count: fn(&Shape) -> u64) -> Result<(f64, Outcome)> {
    let (light, _) = weigh(round, less)?;
    let (heavy, outcome) = weigh(round, more)?;
    Ok(((heavy - light) / (count(more) - count(less)) as f64, outcome))
}

fn weigh(round: &Round<'_>, shape: &Shape) -> Result<(f64, Outcome)> {
    let outcome = round.reopen(shape, false, Task::Weigh(shape.clone()))?;
    let live = outcome.notes.get(LIVE).and_then(|live| live.as_f64()).ok_or("the child did not weigh")?;
    Ok((live, outcome))
}
