//! `BareShard`: a shard of the engine, to which several threads append.

use logboom::{Engine, EntryId, ShardId};
use parking_lot::Mutex;

use crate::Result;

/// A shard to which threads append entry by entry: the least that a log tail needs of the engine.
pub(super) struct BareShard<'a> {
    engine: &'a Engine,
    shard: ShardId,
    next: Mutex<u64>,
}

impl<'a> BareShard<'a> {
    /// An empty shard, or one that goes on.
    pub(super) fn new(engine: &'a Engine, shard: ShardId) -> Self {
        let next = engine.shard(shard).next().unwrap_or(1);
        Self { engine, shard, next: Mutex::new(next) }
    }

    /// Appends an entry, and waits until it is durable.
    pub(super) fn append(&self, payload: &[u8]) -> Result<()> {
        let mut next = self.next.lock();
        let mut batch = self.engine.batch();
        batch.append_payload(self.shard, EntryId { index: *next, term: 1 }, payload)?;
        let ticket = self.engine.try_submit_deferred(batch).map_err(|refused| refused.error)?;
        *next += 1;
        drop(next);
        Ok(ticket.wait()?)
    }

    /// Lets go of all entries.
    pub(super) fn compact(&self) -> Result<()> {
        let last = self.next.lock().saturating_sub(1);
        if last > 0 {
            let mut batch = self.engine.batch();
            batch.compact_through(self.shard, last)?;
            self.engine.write(batch)?;
        }
        Ok(())
    }
}
