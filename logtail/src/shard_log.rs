//! `ShardLog`: a shard of an engine as the log of a writer.

use std::sync::atomic::{AtomicU64, Ordering};

use logboom::{Durability, Engine, EntryId, Shard, ShardId, Ticket};
use logboom_logtail_core::log::{Log, Refusal};

/// What an entry takes in its batch besides its payload, with some to spare.
const ENTRY_OVERHEAD_BYTES: u64 = 256;

/// A shard of an engine, in which each record is an entry: committed is durable there.
#[derive(Debug)]
pub(crate) struct ShardLog {
    engine: Engine,
    shard: Shard,
    /// The index of the next entry. One thread at a time proposes.
    next: AtomicU64,
    term: u64,
}

impl ShardLog {
    /// The log of a writer of epoch `term`, behind the entries that the shard has.
    pub(crate) fn new(engine: &Engine, shard: ShardId, term: u64) -> Self {
        let shard = engine.shard(shard);
        let next = AtomicU64::new(shard.next().unwrap_or(1));
        Self { engine: engine.clone(), shard, next, term }
    }

    /// The last index that is durable; 0 where none is.
    pub(crate) fn durable(&self) -> u64 {
        self.shard.durable().unwrap_or(0)
    }

    /// Waits until all that is proposed is durable, and so the log has room.
    pub(crate) fn wait_for_room(&self) -> logboom::Result<()> {
        self.engine.barrier()?.wait()
    }
}

impl Log for ShardLog {
    type Ticket = Ticket;
    type Error = logboom::Error;

    fn propose(&self, record: &[u8]) -> Result<(u64, Ticket), Refusal<logboom::Error>> {
        let index = self.next.load(Ordering::Relaxed);
        let mut batch = self.engine.batch();
        let id = EntryId { index, term: self.term };
        batch.append_payload(self.shard.id(), id, record).map_err(Refusal::Stopped)?;
        let ticket = self.engine.try_submit(batch, Durability::Durable).map_err(|rejected| refusal(rejected.error))?;
        self.next.store(index + 1, Ordering::Relaxed);
        Ok((index, ticket))
    }

    fn bytes_max(&self) -> usize {
        usize::try_from(self.engine.batch().bytes_max().saturating_sub(ENTRY_OVERHEAD_BYTES)).unwrap_or(usize::MAX)
    }
}

fn refusal(error: logboom::Error) -> Refusal<logboom::Error> {
    match error {
        logboom::Error::Busy => Refusal::Busy,
        full @ logboom::Error::Full { .. } => Refusal::Full(full),
        other => Refusal::Stopped(other),
    }
}
