//! Logboom, behind the interface of the benchmarks.

use std::{
    ops::Range,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use logboom::{Batch, Config, Durability, Engine, EntryId, Shard, ShardId, Ticket};

use super::{Filler, Log, Occupancy, Reader, Retention, Store, TERM, Tuning, Writer, touch};
use crate::{Result, job::Outcome, payload::Payloads};

/// Opens a log in Logboom.
pub fn open(dir: &Path, tuning: Tuning) -> Result<Box<dyn Log>> {
    let config = config(dir, tuning);
    let (prepared, segment_bytes) = (u64::from(config.reserve_segments), config.segment_bytes);
    let engine = Engine::open(config)?;
    if tuning == Tuning::Load {
        settle(&engine, prepared)?;
    }
    Ok(Box::new(Logboom { engine, segment_bytes }))
}

/// Waits until `prepared` segments are prepared, as raft-engine prefills its files before the measurement.
fn settle(engine: &Engine, prepared: u64) -> Result<()> {
    let began = Instant::now();
    while engine.metrics().log.prepared_segments < prepared {
        if began.elapsed() > PATIENCE {
            return Err(format!("{prepared} segments are not prepared after {PATIENCE:?}").into());
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

const PATIENCE: Duration = Duration::from_secs(300);

struct Logboom {
    engine: Engine,
    segment_bytes: u64,
}

impl Log for Logboom {
    fn writer(&self, shard: u64, retention: Retention) -> Box<dyn Writer + '_> {
        Box::new(ShardWriter { engine: &self.engine, shard, retention, index: 0 })
    }

    fn store(&self, cohorts: &[Range<u64>], payload: usize, retention: Retention) -> Box<dyn Store + '_> {
        let first = cohorts.first().map_or(0, |shards| shards.start);
        let cohorts = cohorts.iter().map(|shards| Cohort::new(&self.engine, shards.clone())).collect();
        Box::new(Loop { engine: &self.engine, cohorts, payloads: Payloads::new(payload, first), retention })
    }

    fn batches_in_flight_max(&self) -> u64 {
        u64::MAX
    }

    fn filler(&self) -> Box<dyn Filler + '_> {
        Box::new(Bulk { engine: &self.engine, batch: self.engine.batch() })
    }

    fn reader(&self, shards: u64) -> Box<dyn Reader + '_> {
        Box::new(Shards((0..shards).map(|shard| self.engine.shard(ShardId(shard))).collect()))
    }

    fn describe(&self, outcome: &mut Outcome) {
        let report = self.engine.open_report();
        outcome.note("method", report.disk.sync_method.to_string());
        outcome.note("backend", report.disk.backend.to_string());
        outcome.note("bytes_replayed", report.recovery.bytes_read);
    }

    fn idle_bytes(&self) -> u64 {
        self.engine.metrics().log.idle_buffer_bytes
    }

    fn occupancy(&self) -> Option<Occupancy> {
        let (metrics, segments) = (self.engine.metrics(), self.engine.segments());
        Some(Occupancy {
            appended: metrics.log.written_bytes,
            moved: metrics.log.moved_bytes,
            in_use: segments.len() as u64 * self.segment_bytes,
            live: segments.iter().map(|segment| segment.live_bytes).sum(),
            segment: self.segment_bytes,
        })
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.engine.close()?)
    }
}

fn config(dir: &Path, tuning: Tuning) -> Config {
    let mut config = Config::new(dir);
    match tuning {
        // As many bytes of prepared segments as raft-engine prefills.
        Tuning::Load => config.reserve_segments = 16,
        Tuning::Keep => {}
        Tuning::Tail => {
            config.segment_bytes = 1 << 30;
            config.reserve_segments = 0;
        }
        Tuning::Lean => {
            config.cache_bytes = 1 << 20;
            config.read_ahead_bytes = 0;
        }
    }
    config
}

struct ShardWriter<'a> {
    engine: &'a Engine,
    shard: u64,
    retention: Retention,
    index: u64,
}

impl Writer for ShardWriter<'_> {
    fn append(&mut self, payload: &'static [u8]) -> Result<()> {
        self.index += 1;
        let mut batch = self.engine.batch();
        add(&mut batch, self.shard, self.index, payload, self.retention)?;
        Ok(self.engine.write(batch)?)
    }
}

fn add(batch: &mut Batch<'static>, shard: u64, index: u64, payload: &'static [u8], retention: Retention) -> Result<()> {
    batch.append_payload(ShardId(shard), EntryId { index, term: TERM }, payload)?;
    if let Some(last) = retention.due(shard, index) {
        batch.compact_through(ShardId(shard), last)?;
    }
    Ok(())
}

struct Loop<'a> {
    engine: &'a Engine,
    cohorts: Vec<Cohort>,
    payloads: Payloads,
    retention: Retention,
}

struct Cohort {
    shards: Range<u64>,
    next: Vec<u64>,
    ticket: Option<Ticket>,
}

impl Cohort {
    fn new(engine: &Engine, shards: Range<u64>) -> Self {
        let next = |shard| engine.shard(ShardId(shard)).last().unwrap_or(0) + 1;
        Cohort { next: shards.clone().map(next).collect(), shards, ticket: None }
    }
}

impl Store for Loop<'_> {
    /// With one cohort the thread would only wait for its ticket, and `write` does that at a lower cost.
    fn submit(&mut self, cohort: usize) -> Result<()> {
        let alone = self.cohorts.len() == 1;
        let Cohort { shards, next, ticket } = &mut self.cohorts[cohort];
        let mut batch = self.engine.batch();
        for (shard, next) in shards.clone().zip(next) {
            add(&mut batch, shard, *next, self.payloads.next(), self.retention)?;
            *next += 1;
        }
        if alone {
            self.engine.write(batch)?;
        } else {
            *ticket = Some(self.engine.submit(batch, Durability::Durable)?);
        }
        Ok(())
    }

    fn wait(&mut self, cohort: usize) -> Result<()> {
        match self.cohorts[cohort].ticket.take() {
            Some(ticket) => Ok(ticket.wait()?),
            None => Ok(()),
        }
    }
}

struct Bulk<'a> {
    engine: &'a Engine,
    batch: Batch<'static>,
}

impl Filler for Bulk<'_> {
    fn append(&mut self, shard: u64, index: u64, payload: &'static [u8]) -> Result<()> {
        self.batch.append_payload(ShardId(shard), EntryId { index, term: TERM }, payload)?;
        Ok(())
    }

    fn hard_state(&mut self, shard: u64, state: &[u8]) -> Result<()> {
        self.batch.hard_state(ShardId(shard), state)?;
        Ok(())
    }

    fn submit(&mut self, alone: bool) -> Result<()> {
        let batch = std::mem::replace(&mut self.batch, self.engine.batch());
        if batch.is_empty() {
            return Ok(());
        }
        if alone {
            self.engine.write(batch)?;
        } else {
            // The barrier in `finish` covers this batch too; dropping a ticket cancels nothing.
            let _ticket = self.engine.submit(batch, Durability::Durable)?;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        Ok(self.engine.barrier()?.wait()?)
    }
}

/// Handles of shards, kept for repeated reads.
struct Shards(Vec<Shard>);

impl Shards {
    fn shard(&self, shard: u64) -> Option<&Shard> {
        self.0.get(usize::try_from(shard).ok()?)
    }
}

impl Reader for Shards {
    fn bounds(&self, shard: u64) -> Range<u64> {
        let bounds = self.shard(shard).and_then(|shard| shard.first().zip(shard.last()));
        bounds.map_or(0..0, |(first, last)| first..last + 1)
    }

    fn read(&mut self, shard: u64, range: Range<u64>) -> Result<u64> {
        let entries = self.shard(shard).ok_or("no such shard")?.entries(range, u64::MAX)?;
        entries.iter().for_each(|entry| touch(entry.payload));
        Ok(entries.len() as u64)
    }
}
