//! `Stage`: the engine of a stage's bench, in a temporary directory.

use std::ops::Deref;

use logboom::{Batch, Config, Engine, EntryId, ShardId};

use crate::{payload::Payloads, place::Place};

/// An engine beside the build, removed with its directory when dropped.
#[derive(Debug)]
pub struct Stage {
    engine: Option<Engine>,
    _place: Place,
}

impl Stage {
    /// A new engine, configured by `tune`.
    ///
    /// # Panics
    /// If the engine cannot be opened: a bench cannot report an error.
    pub fn new(tune: impl FnOnce(&mut Config)) -> Self {
        let place = Place::new(None).expect("a directory beside the build");
        let mut config = Config::new(place.path().join("stage"));
        tune(&mut config);
        let engine = Engine::open(config).expect("a new engine");
        Stage { engine: Some(engine), _place: place }
    }
}

impl Deref for Stage {
    type Target = Engine;

    fn deref(&self) -> &Engine {
        self.engine.as_ref().expect("the engine is there until it is dropped")
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.engine.take().map(Engine::close) {
            eprintln!("the engine did not close: {error:#}");
        }
    }
}

/// Appends to one shard, and compacts it at intervals, so that a bench can run for any time.
#[derive(Debug)]
pub struct Appender {
    shard: ShardId,
    next: u64,
    payloads: Payloads,
}

impl Appender {
    /// Begins with the empty shard `shard`.
    pub fn new(shard: u64, payload: usize) -> Self {
        Appender { shard: ShardId(shard), next: 1, payloads: Payloads::new(payload, shard) }
    }

    /// Adds the next `count` entries to the batch.
    ///
    /// # Panics
    /// If the batch refuses them.
    pub fn add(&mut self, batch: &mut Batch<'static>, count: u64) {
        for _ in 0..count {
            batch
                .append_payload(self.shard, EntryId { index: self.next, term: 1 }, self.payloads.next())
                .expect("a small entry");
            self.next += 1;
        }
        let last = self.next - 1;
        if last / KEPT > (last - count) / KEPT && last > KEPT {
            batch.compact_through(self.shard, last - KEPT).expect("entries that are there");
        }
    }
}

/// The number of entries that stay live, and between two compactions.
const KEPT: u64 = 256;
