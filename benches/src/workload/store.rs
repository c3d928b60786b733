//! A store: shards that each always have one append outstanding, served by a few loop threads.

use std::{ops::Range, time::Instant};

use serde::{Deserialize, Serialize};

use crate::{
    Result,
    job::{Job, Outcome},
    load::{Gate, Measured, Tally, Window, Worker, drive},
    system::{Log, Retention, Store, System, Tuning, floor},
};

/// The shards, and the size of their entries.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Load {
    /// The number of shards.
    pub shards: u64,
    /// The size of an entry's payload.
    pub payload: usize,
}

/// Measures in this process. An operation is one entry; its latency lasts from submission until it is known durable.
///
/// Short trials, which also serve as warm-up, choose the number of threads that serve the shards and of batches of each
/// thread; the best variant is then measured.
pub fn measure(job: &Job, load: &Load) -> Result<Outcome> {
    let window = Window::of_seconds(job.seconds);
    if job.system == System::Floor {
        return floor::measure(job, usize::try_from(load.shards)?, load.payload, window);
    }
    let log = job.system.open(&job.dir, Tuning::Load)?;
    let mut best: Option<(f64, Variant)> = None;
    for variant in Variant::all(&*log) {
        let rate = variant.run(&*log, load, window.trial())?.rate();
        if best.is_none_or(|(most, _)| rate > most) {
            best = Some((rate, variant));
        }
    }
    let (_, best) = best.ok_or("no variant")?;
    let measured = best.run(&*log, load, window)?;
    let mut outcome = Outcome::of(measured, load.payload as u64)?;
    log.describe(&mut outcome);
    outcome.note("loop_threads", best.threads);
    outcome.note("batches_in_flight", best.cohorts);
    log.close()?;
    Ok(outcome)
}

/// A way of serving the shards.
#[derive(Clone, Copy, Debug)]
struct Variant {
    /// The number of threads.
    threads: u64,
    /// The number of parts into which each thread divides its shards; each part has a batch in flight.
    cohorts: u64,
}

impl Variant {
    fn all(log: &dyn Log) -> impl Iterator<Item = Variant> {
        let cohorts_max = log.batches_in_flight_max();
        let cohorts = [1, 2, 4].into_iter().filter(move |cohorts| *cohorts <= cohorts_max);
        cohorts.flat_map(|cohorts| [1, 2, 4].map(|threads| Variant { threads, cohorts }))
    }

    fn run(self, log: &dyn Log, load: &Load, window: Window) -> Result<Measured> {
        let retention = Retention::for_load(load.shards, load.payload);
        let stores = split(0..load.shards, self.threads)
            .map(|shards| Looping::new(log, shards, self.cohorts, load.payload, retention));
        drive(&mut stores.collect::<Vec<_>>(), window)
    }
}

/// Divides a range into equal parts.
pub(super) fn split(range: Range<u64>, parts: u64) -> impl Iterator<Item = Range<u64>> {
    let count = range.end - range.start;
    (0..parts).map(move |part| range.start + count * part / parts..range.start + count * (part + 1) / parts)
}

/// A thread that serves shards in a loop.
pub(super) struct Looping<'a> {
    store: Box<dyn Store + 'a>,
    sizes: Vec<u64>,
    /// The most batches that it submits.
    batches: u64,
}

impl<'a> Looping<'a> {
    /// Serves `shards`, divided into `cohorts` parts.
    pub(super) fn new(
        log: &'a dyn Log,
        shards: Range<u64>,
        cohorts: u64,
        payload: usize,
        retention: Retention,
    ) -> Self {
        let cohorts: Vec<_> = split(shards, cohorts).collect();
        let store = log.store(&cohorts, payload, retention);
        Looping { store, sizes: cohorts.iter().map(|cohort| cohort.end - cohort.start).collect(), batches: u64::MAX }
    }

    /// Ends the load after `batches` batches.
    pub(super) fn ending_after(self, batches: u64) -> Self {
        Looping { batches, ..self }
    }
}

impl Worker for Looping<'_> {
    fn work(&mut self, gate: &Gate, tally: &mut Tally) -> Result<()> {
        let mut began = Vec::new();
        for cohort in 0..self.sizes.len() {
            began.push(Instant::now());
            self.store.submit(cohort)?;
        }
        for (batch, cohort) in (1..).zip((0..self.sizes.len()).cycle()) {
            self.store.wait(cohort)?;
            tally.add(gate, began[cohort].elapsed(), self.sizes[cohort]);
            if gate.is_over() || batch >= self.batches {
                break;
            }
            began[cohort] = Instant::now();
            self.store.submit(cohort)?;
        }
        (0..self.sizes.len()).try_for_each(|cohort| self.store.wait(cohort))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_the_range() {
        assert_eq!(split(0..1024, 3).collect::<Vec<_>>(), [0..341, 341..682, 682..1024]);
        assert_eq!(split(512..1024, 2).collect::<Vec<_>>(), [512..768, 768..1024]);
    }
}
