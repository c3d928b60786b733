//! raft-engine 0.4.2, as TiKV uses it, tuned for this comparison.
//!
//! Only `write(.., true)` makes anything durable: in this release `Engine::sync` does nothing.

use std::{
    ops::Range,
    path::Path,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use bytes::Bytes;
use raft_engine::{Command, Config, Engine, LogBatch, MessageExt, ReadableSize};
use raft_proto::eraftpb::Entry;

use super::{Filler, Log, Reader, Retention, Store, TERM, Tuning, Writer, touch};
use crate::{Error, Result, job::Outcome, payload::Payloads};

/// Opens a log in raft-engine.
pub fn open(dir: &Path, tuning: Tuning) -> Result<Box<dyn Log>> {
    let engine = Arc::new(Engine::open(config(dir, tuning)?)?);
    if tuning == Tuning::Load {
        settle(dir)?;
    }
    let purger = (tuning == Tuning::Load).then(|| Purger::start(engine.clone()));
    Ok(Box::new(RaftEngine { engine, purger }))
}

struct RaftEngine {
    engine: Arc<Engine>,
    purger: Option<Purger>,
}

impl Log for RaftEngine {
    fn writer(&self, shard: u64, retention: Retention) -> Box<dyn Writer + '_> {
        let batch = LogBatch::with_capacity(2);
        Box::new(ShardWriter { engine: &self.engine, shard, retention, index: 0, batch })
    }

    fn store(&self, cohorts: &[Range<u64>], payload: usize, retention: Retention) -> Box<dyn Store + '_> {
        let shards: Vec<_> = cohorts.iter().flat_map(Clone::clone).collect();
        let next = shards.iter().map(|shard| self.engine.last_index(*shard).unwrap_or(0) + 1).collect();
        let payloads = Payloads::new(payload, shards.first().copied().unwrap_or(0));
        let batch = LogBatch::with_capacity(shards.len());
        Box::new(Loop { engine: &self.engine, shards, next, payloads, retention, batch })
    }

    /// A write blocks its thread, so a thread has one batch.
    fn batches_in_flight_max(&self) -> u64 {
        1
    }

    fn filler(&self) -> Box<dyn Filler + '_> {
        Box::new(Bulk { engine: &self.engine, batch: LogBatch::default() })
    }

    fn reader(&self, _shards: u64) -> Box<dyn Reader + '_> {
        Box::new(Fetcher { engine: &self.engine, entries: Vec::new() })
    }

    fn describe(&self, outcome: &mut Outcome) {
        outcome.note("method", "buffered, fdatasync");
    }

    fn close(self: Box<Self>) -> Result<()> {
        let RaftEngine { engine, purger } = *self;
        if let Some(purger) = purger {
            purger.stop()?;
        }
        drop(engine);
        Ok(())
    }
}

/// The entry type, as raft-engine's users define it.
#[derive(Clone)]
struct Raft;

impl MessageExt for Raft {
    type Entry = Entry;

    fn index(entry: &Entry) -> u64 {
        entry.index
    }
}

/// The key of a shard's hard state.
const HARD_STATE: &[u8] = b"h";

fn config(dir: &Path, tuning: Tuning) -> Result<Config> {
    let dir = dir.to_str().ok_or("raft-engine takes directories in UTF-8 only")?.to_owned();
    let keep = Config { dir, batch_compression_threshold: ReadableSize(0), ..Config::default() };
    Ok(match tuning {
        Tuning::Load => Config {
            enable_log_recycle: true,
            prefill_for_recycle: true,
            prefill_limit: Some(ReadableSize::gb(1)),
            purge_threshold: ReadableSize::gb(1),
            ..keep
        },
        // No file of raft-engine has a footer, so all of them are a tail.
        Tuning::Keep | Tuning::Tail | Tuning::Lean => keep,
    })
}

/// Writes back the dirty pages of the prefilled files, which the kernel would otherwise do during the measurement.
fn settle(dir: &Path) -> Result<()> {
    Ok(rustix::fs::syncfs(std::fs::File::open(dir)?)?)
}

fn entry(index: u64, payload: &'static [u8]) -> Entry {
    Entry { index, term: TERM, data: Bytes::from_static(payload), ..Entry::default() }
}

fn add(batch: &mut LogBatch, shard: u64, index: u64, payload: &'static [u8], retention: Retention) -> Result<()> {
    batch.add_entries::<Raft>(shard, &[entry(index, payload)])?;
    if let Some(last) = retention.due(shard, index) {
        batch.add_command(shard, Command::Compact { index: last + 1 });
    }
    Ok(())
}

struct ShardWriter<'a> {
    engine: &'a Engine,
    shard: u64,
    retention: Retention,
    index: u64,
    batch: LogBatch,
}

impl Writer for ShardWriter<'_> {
    fn append(&mut self, payload: &'static [u8]) -> Result<()> {
        self.index += 1;
        add(&mut self.batch, self.shard, self.index, payload, self.retention)?;
        self.engine.write(&mut self.batch, true)?;
        Ok(())
    }
}

struct Loop<'a> {
    engine: &'a Engine,
    shards: Vec<u64>,
    next: Vec<u64>,
    payloads: Payloads,
    retention: Retention,
    batch: LogBatch,
}

impl Store for Loop<'_> {
    fn submit(&mut self, _cohort: usize) -> Result<()> {
        for (shard, next) in self.shards.iter().zip(&mut self.next) {
            add(&mut self.batch, *shard, *next, self.payloads.next(), self.retention)?;
            *next += 1;
        }
        self.engine.write(&mut self.batch, true)?;
        Ok(())
    }

    fn wait(&mut self, _cohort: usize) -> Result<()> {
        Ok(())
    }
}

struct Bulk<'a> {
    engine: &'a Engine,
    batch: LogBatch,
}

impl Filler for Bulk<'_> {
    fn append(&mut self, shard: u64, index: u64, payload: &'static [u8]) -> Result<()> {
        Ok(self.batch.add_entries::<Raft>(shard, &[entry(index, payload)])?)
    }

    fn hard_state(&mut self, shard: u64, state: &[u8]) -> Result<()> {
        Ok(self.batch.put(shard, HARD_STATE.to_vec(), state.to_vec())?)
    }

    fn submit(&mut self, alone: bool) -> Result<()> {
        self.engine.write(&mut self.batch, alone)?;
        Ok(())
    }

    /// A synced write makes all writes before it durable; an empty batch would write nothing.
    fn finish(&mut self) -> Result<()> {
        self.batch.put(u64::MAX, HARD_STATE.to_vec(), Vec::new())?;
        self.engine.write(&mut self.batch, true)?;
        Ok(())
    }
}

struct Fetcher<'a> {
    engine: &'a Engine,
    entries: Vec<Entry>,
}

impl Reader for Fetcher<'_> {
    fn bounds(&self, shard: u64) -> Range<u64> {
        let bounds = self.engine.first_index(shard).zip(self.engine.last_index(shard));
        bounds.map_or(0..0, |(first, last)| first..last + 1)
    }

    fn read(&mut self, shard: u64, range: Range<u64>) -> Result<u64> {
        self.entries.clear();
        let count = self.engine.fetch_entries_to::<Raft>(shard, range.start, range.end, None, &mut self.entries)?;
        self.entries.iter().for_each(|entry| touch(&entry.data));
        Ok(count as u64)
    }
}

/// Purges at intervals, as TiKV does, so that there are files to recycle.
struct Purger {
    end: Sender<()>,
    thread: JoinHandle<Result<()>>,
}

impl Purger {
    fn start(engine: Arc<Engine>) -> Self {
        let (end, ended) = channel();
        Purger { end, thread: thread::spawn(move || Purger::purge(&engine, &ended)) }
    }

    fn purge(engine: &Engine, ended: &Receiver<()>) -> Result<()> {
        while ended.recv_timeout(PURGE_INTERVAL) == Err(RecvTimeoutError::Timeout) {
            engine.purge_expired_files()?;
        }
        Ok(())
    }

    fn stop(self) -> Result<()> {
        drop(self.end);
        self.thread.join().map_err(|_| Error::from("the purge panicked"))?
    }
}

/// Shorter than the time in which the prefilled files are used up, at the rates measured here.
const PURGE_INTERVAL: Duration = Duration::from_millis(500);
