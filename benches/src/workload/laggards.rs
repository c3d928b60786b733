//! Reclaiming: most shards compact their logs as they append, and a few (the laggards) never do.
//!
//! Each round runs the load twice, in alternating order: with the laggards, and with all shards compacting. Comparing
//! the two shows how much moving the laggards' entries slows appends. Appends run in a closed loop, as fast as they
//! can.
//!
//! The peer does not move entries of a shard that has many, and keeps every file with entries of such a shard: it uses
//! as much disk space as was written.

use std::{path::Path, time::Duration};

use serde::{Deserialize, Serialize};

use super::store::{Looping, split};
use crate::{
    Result,
    job::{Job, Outcome, Task},
    load::{Gate, Tally, Window, Worker, drive},
    system::{Log, Occupancy, Retention, Tuning},
    workload::Round,
};

/// The load.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Load {
    /// The number of shards that are never compacted, in addition to [`HOT`] ones that are.
    laggards: u64,
    /// All payloads together, in bytes.
    bytes: u64,
}

/// The number of shards that are compacted regularly.
const HOT: u64 = 1000;
/// The number of shards that are never compacted.
const LAGGARDS: u64 = 10;
const PAYLOAD: usize = 256;
const BYTES: u64 = 16 << 30;
/// The number of appending threads; each batch has one entry of each shard of its thread.
const THREADS: u64 = 2;

/// Segments that any log uses, which do not count as amplification: the one being written, a full one that waits for
/// its footer, and the target and the source of moved entries.
const RESERVE: u64 = 4;

/// The interval of samples of the space in use.
const LOOK: Duration = Duration::from_millis(20);

/// Runs the load with and without laggards, and returns what was measured with them.
pub fn round(round: &Round<'_>) -> Result<Outcome> {
    let bytes = round.bytes.unwrap_or(BYTES);
    let run = |laggards| round.run(Task::Laggards(Load { laggards, bytes }));
    let (mut with, without) = if round.number.is_multiple_of(2) {
        let without = run(0)?;
        (run(LAGGARDS)?, without)
    } else {
        (run(LAGGARDS)?, run(0)?)
    };
    let p99 = without.latencies.quantile_us(0.99);
    with.figure("p99_without_us", p99);
    with.figure("p99_ratio", with.latencies.quantile_us(0.99) / p99);
    with.figure("throughput_ratio", with.ops_per_s() / without.ops_per_s());
    Ok(with)
}

/// Measures in this process: an operation is one entry, its latency that from submission until it is durable.
pub fn measure(job: &Job, load: &Load) -> Result<Outcome> {
    let log = job.system.open(&job.dir, Tuning::Load)?;
    let shards = HOT + LAGGARDS;
    let retention = Retention::for_load(shards, PAYLOAD).with_laggards(load.laggards);
    let batches = (load.bytes / (shards * PAYLOAD as u64)).max(1);
    let mut workers: Vec<Role<'_>> = split(0..shards, THREADS)
        .map(|shards| Looping::new(&*log, shards, 1, PAYLOAD, retention).ending_after(batches))
        .map(Role::Load)
        .collect();
    workers.push(Role::Watch(Watch { log: &*log, samples: Vec::new() }));
    let before = log.occupancy();
    let mut outcome = Outcome::of(drive(&mut workers, window(load.bytes))?, PAYLOAD as u64)?;
    let samples = workers.into_iter().find_map(Role::samples).unwrap_or_default();
    if let (Some(before), Some(after)) = (before, log.occupancy()) {
        amplification(&mut outcome, before, after, &samples)?;
    }
    outcome.figure("directory_mib", directory_bytes(&job.dir)? as f64 / f64::from(1 << 20));
    outcome.note("payload_bytes", batches * shards * PAYLOAD as u64);
    log.describe(&mut outcome);
    log.close()?;
    Ok(outcome)
}

/// A window without an end: the load ends by itself.
fn window(bytes: u64) -> Window {
    let warmup = if bytes >= BYTES / 16 { Duration::from_secs(1) } else { Duration::ZERO };
    Window { warmup, measured: Duration::from_secs(24 * 60 * 60) }
}

/// Fails if the load ended before the first sample: no samples would be reported as no space at all.
fn amplification(outcome: &mut Outcome, before: Occupancy, after: Occupancy, samples: &[Occupancy]) -> Result<()> {
    if samples.is_empty() {
        return Err("the load had ended before its space was looked at; more --gib take longer".into());
    }
    let appended = (after.appended - before.appended) as f64;
    outcome.figure("write_amp", 1.0 + (after.moved - before.moved) as f64 / appended);
    let amps: Vec<f64> = samples.iter().map(space_amp).collect();
    outcome.figure("space_amp", amps.iter().sum::<f64>() / amps.len() as f64);
    outcome.figure("space_amp_max", amps.iter().copied().fold(0.0, f64::max));
    outcome.figure("space_amp_end", space_amp(&after));
    outcome.figure("in_use_mib_end", after.in_use as f64 / f64::from(1 << 20));
    outcome.figure("live_mib_end", after.live as f64 / f64::from(1 << 20));
    outcome.note("reserve_bytes", RESERVE * after.segment);
    Ok(())
}

/// Segments in use beyond the reserve, divided by those that the live records alone would fill. The divisor leaves out
/// framing and padding, which overstates the ratio by a few hundredths.
fn space_amp(now: &Occupancy) -> f64 {
    let needed = now.live.div_ceil(now.segment).max(1) * now.segment;
    now.in_use.saturating_sub(RESERVE * now.segment) as f64 / needed as f64
}

/// The bytes of a directory's files on the device.
fn directory_bytes(dir: &Path) -> Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir)? {
        bytes += entry?.metadata()?.blocks() * 512;
    }
    Ok(bytes)
}

/// A thread of the load, or the one that takes samples.
enum Role<'a> {
    Load(Looping<'a>),
    Watch(Watch<'a>),
}

struct Watch<'a> {
    log: &'a dyn Log,
    samples: Vec<Occupancy>,
}

impl Role<'_> {
    fn samples(self) -> Option<Vec<Occupancy>> {
        match self {
            Role::Load(_) => None,
            Role::Watch(watch) => Some(watch.samples),
        }
    }
}

impl Worker for Role<'_> {
    fn work(&mut self, gate: &Gate, tally: &mut Tally) -> Result<()> {
        match self {
            Role::Load(looping) => looping.work(gate, tally),
            Role::Watch(watch) => {
                while !gate.is_over() {
                    gate.pass(LOOK);
                    watch.samples.extend(watch.log.occupancy().filter(|_| gate.is_counting()));
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn space_counts_beyond_the_reserve_in_whole_segments() {
        let now = |segments: u64, live| {
            space_amp(&Occupancy { in_use: segments << 20, live, segment: 1 << 20, ..Occupancy::default() })
        };
        assert_eq!(now(RESERVE + 6, 3 << 20), 2.0);
        assert_eq!(now(RESERVE + 3, (2 << 20) + 1), 1.0);
        assert_eq!((now(RESERVE, 0), now(1, 5 << 20)), (0.0, 0.0));
    }

    #[test]
    fn space_that_was_never_looked_at_is_not_none() {
        let now = Occupancy { appended: 5 << 20, in_use: 9 << 20, live: 1 << 20, segment: 1 << 20, moved: 0 };
        let mut outcome = Outcome::default();
        amplification(&mut outcome, Occupancy::default(), now, &[]).unwrap_err();
        assert!(outcome.figures.is_empty(), "{outcome:?}");
        amplification(&mut outcome, Occupancy::default(), now, &[now]).unwrap();
        assert_eq!(outcome.figures["space_amp"], 5.0);
    }
}
