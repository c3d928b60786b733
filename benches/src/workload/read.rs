//! Reads entries back; the first and the last byte of every payload are touched.

use std::time::{Duration, Instant};

use crate::{
    Error, Result,
    job::{Job, Outcome, Task},
    load::{Gate, Tally, Window, Worker, drive},
    system::Reader,
    usage,
    workload::{Round, Shape},
};

/// Reads ranges of the recent tail of shards in random order, in this process. An operation is one entry; a latency is
/// that of a whole range.
pub fn hot(job: &Job, shape: &Shape) -> Result<Outcome> {
    let log = job.system.open(&job.dir, shape.tuning)?;
    shape.write(&*log)?;
    let mut ranges = [Ranges { reader: log.reader(shape.shards), shape, random: fastrand::Rng::with_seed(3) }];
    let measured = drive(&mut ranges, Window::of_seconds(job.seconds))?;
    drop(ranges);
    let mut outcome = Outcome::of(measured, shape.payload as u64)?;
    describe(&mut outcome);
    log.describe(&mut outcome);
    log.close()?;
    Ok(outcome)
}

/// Writes a log, closes it, drops the page cache, and reads it.
pub fn cold_round(round: &Round<'_>) -> Result<Outcome> {
    round.reopen(&Shape::READ_COLD, false, Task::ReadCold(Shape::READ_COLD))
}

/// Scans every shard once, in this process. An operation is one entry; a latency is that of a whole scan.
pub fn cold(job: &Job, shape: &Shape) -> Result<Outcome> {
    let log = job.system.open(&job.dir, shape.tuning)?;
    let mut reader = log.reader(shape.shards);
    let mut outcome = Outcome::default();
    let (began, cpu) = (Instant::now(), usage::cpu());
    for shard in 0..shape.shards {
        let asked = Instant::now();
        outcome.ops += read_all(&mut *reader, shard, shape.entries, shape.entries)?;
        outcome.latencies.record(asked.elapsed(), 1);
    }
    (outcome.elapsed, outcome.cpu) = (began.elapsed(), usage::cpu().saturating_sub(cpu));
    drop(reader);
    outcome.bytes = outcome.ops * shape.payload as u64;
    describe(&mut outcome);
    log.describe(&mut outcome);
    log.close()?;
    Ok(outcome)
}

/// The entries of a range that is read hot.
const RANGE: u64 = 100;

struct Ranges<'a> {
    reader: Box<dyn Reader + 'a>,
    shape: &'a Shape,
    random: fastrand::Rng,
}

impl Worker for Ranges<'_> {
    fn work(&mut self, gate: &Gate, tally: &mut Tally) -> Result<()> {
        let end = self.shape.entries + 1;
        while !gate.is_over() {
            let shard = self.random.u64(..self.shape.shards);
            let began = Instant::now();
            let count = self.reader.read(shard, end - RANGE..end)?;
            tally.add(gate, began.elapsed(), count);
            if count != RANGE {
                return Err(format!("{count} of {RANGE} entries were read").into());
            }
        }
        Ok(())
    }
}

/// Reads all entries of a shard in order, with at most `most` entries a call, and as many calls as the system needs.
pub(super) fn read_all(reader: &mut dyn Reader, shard: u64, entries: u64, most: u64) -> Result<u64> {
    let mut next = 1;
    while next <= entries {
        match reader.read(shard, next..(next + most).min(entries + 1))? {
            0 => return Err(Error::from(format!("entry {next} of shard {shard} is gone"))),
            count => next += count,
        }
    }
    Ok(entries)
}

fn describe(outcome: &mut Outcome) {
    let Outcome { elapsed, ops, .. } = *outcome;
    outcome.figure("ns_per_entry", ns(elapsed) / ops as f64);
}

fn ns(time: Duration) -> f64 {
    time.as_secs_f64() * 1e9
}
