//! `Fixture`: an engine that behaves the same in every run, on a disk in memory, with a stopped clock and no threads.

use std::sync::Arc;

use logboom::{
    Config, Durability, Engine, EntryId, ManualClock, Runtime, ShardId,
    disk::{SimDisk, SimOptions},
};

use crate::Result;

/// The engine of an operation, and its disk.
pub(super) struct Fixture {
    pub(super) engine: Engine,
    disk: Arc<SimDisk>,
}

impl Fixture {
    /// A fixture whose segments are so large that an operation does not fill one by accident.
    pub(super) fn new() -> Result<Self> {
        Self::with_segments(64 << 20)
    }

    /// A fixture with segments of `segment_bytes`.
    pub(super) fn with_segments(segment_bytes: u64) -> Result<Self> {
        let disk = SimDisk::new(SEED, SimOptions::default());
        let engine = open(&disk, segment_bytes)?;
        Ok(Fixture { engine, disk })
    }

    /// Submits batches of `run` entries of each of `shards` until each has `entries`, and waits until they are durable.
    pub(super) fn fill(&self, shards: u64, entries: u64, run: u64, payload: &[u8]) -> Result<()> {
        for first in (1..=entries).step_by(usize::try_from(run)?) {
            let mut batch = self.engine.batch();
            for shard in 0..shards {
                for index in first..(first + run).min(entries + 1) {
                    batch.append_payload(ShardId(shard), EntryId { index, term: TERM }, payload)?;
                }
            }
            drop(self.engine.submit(batch, Durability::Durable)?);
        }
        Ok(self.engine.barrier()?.wait()?)
    }

    /// Runs all background work that is due.
    pub(super) fn settle(&self) {
        while self.engine.drive_once() {}
    }

    /// Closes the engine, and returns its disk.
    pub(super) fn close(self) -> Result<Ended> {
        self.engine.close()?;
        Ok(Ended(self.disk))
    }

    /// Drops the engine as a killed process does, and returns its disk.
    pub(super) fn kill(self) -> Ended {
        Ended(self.disk.process_crash())
    }
}

/// The disk of a log that is not open.
pub(super) struct Ended(Arc<SimDisk>);

impl Ended {
    /// Opens the log, with its own segment size.
    pub(super) fn open(&self) -> Result<Engine> {
        open(&self.0, SMALL_SEGMENT)
    }
}

/// A payload of `bytes` bytes.
pub(super) fn payload(bytes: usize) -> Vec<u8> {
    let mut payload = vec![0; bytes];
    fastrand::Rng::with_seed(SEED).fill(&mut payload);
    payload
}

/// The segment size of operations on whole segments.
pub(super) const SMALL_SEGMENT: u64 = 1 << 20;

/// The term of all entries.
pub(super) const TERM: u64 = 1;

const SEED: u64 = 7;

fn open(disk: &Arc<SimDisk>, segment_bytes: u64) -> Result<Engine> {
    let mut config = Config::new("simulated");
    config.segment_bytes = segment_bytes;
    config.reserve_segments = 1;
    config.reclaim_in_background = false;
    Ok(Engine::open_on(disk.clone(), config, Runtime::Manual(ManualClock::new(SEED)))?)
}
