//! A log to take entries from: an engine on a disk in memory.

use std::ops::Range;

use logboom::{
    Config, Engine, Entry, EntryBatch, EntryId, ManualClock, Runtime, Shard, ShardId,
    disk::{SimDisk, SimOptions},
};

use crate::error::Failure;

const SHARD: ShardId = ShardId(1);

/// The entries of a history.
pub(super) struct Log {
    engine: Engine,
    shard: Shard,
}

impl Log {
    pub(super) fn new(seed: u64) -> Result<Self, Failure> {
        let mut config = Config::new("simulated");
        config.segment_bytes = 1 << 20;
        config.reserve_segments = 0;
        let disk = SimDisk::new(seed, SimOptions::default());
        let engine = Engine::open_on(disk, config, Runtime::Manual(ManualClock::new(seed)))?;
        Ok(Self { shard: engine.shard(SHARD), engine })
    }

    /// One past the last entry; the first is 1.
    pub(super) fn end(&self) -> u64 {
        self.shard.next().unwrap_or(1)
    }

    /// Appends an entry of the term.
    pub(super) fn append(&self, term: u64, payload: Vec<u8>) -> Result<(), Failure> {
        let mut batch = self.engine.batch();
        batch.append(SHARD, Entry::new(EntryId { index: self.end(), term }, payload))?;
        self.engine.write(batch)?;
        while self.engine.drive_once() {}
        Ok(())
    }

    /// Entries of the range, half-open, as one batch.
    pub(super) fn entries(&self, range: Range<u64>) -> Result<EntryBatch, Failure> {
        Ok(self.shard.entries(range, u64::MAX)?)
    }

    pub(super) fn term(&self, index: u64) -> Result<u64, Failure> {
        Ok(self.shard.term(index)?)
    }
}
