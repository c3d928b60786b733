//! `ShardLog`: a shard of an engine as the log of a writer.

use std::sync::atomic::{AtomicU64, Ordering};

use logboom::{Durability, Engine, EntryId, Shard, ShardId, Ticket};
use logboom_logtail_core::{
    log::{Log, Refusal},
    mutants::{self, Mutant},
    record::{self, Position},
};

/// What an entry takes in its batch besides its payload, with some to spare.
const ENTRY_OVERHEAD_BYTES: u64 = 256;

/// The key of the shard that has the index of the newest checkpoint's record.
const CHECKPOINT_KEY: &[u8] = b"checkpoint";

/// The index of the newest checkpoint's record in a shard, if it has one.
pub(crate) fn newest_checkpoint(shard: &Shard) -> logboom::Result<Option<u64>> {
    let value = shard.get(CHECKPOINT_KEY)?;
    Ok(value.and_then(|value| Some(u64::from_le_bytes(value.as_ref().try_into().ok()?))))
}

/// A shard of an engine, in which each record is an entry: committed is durable there.
#[derive(Debug)]
pub(crate) struct ShardLog {
    engine: Engine,
    shard: Shard,
    /// The index of the next entry. One thread at a time proposes.
    next: AtomicU64,
    term: u64,
    bytes_max: usize,
}

impl ShardLog {
    /// The log of a writer of epoch `term`, which has read the shard's entries below `next`. The shard refuses its
    /// records where it has others by then.
    pub(crate) fn new(engine: &Engine, shard: ShardId, term: u64, next: u64) -> Self {
        let bytes_max = engine.batch().bytes_max().saturating_sub(ENTRY_OVERHEAD_BYTES);
        let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
        Self { engine: engine.clone(), shard: engine.shard(shard), next: AtomicU64::new(next), term, bytes_max }
    }

    /// Ends the epoch of a writer that still appends, by the record of one that has no other records: that writer's
    /// next index is taken then, and it is refused from there on. `identity` is the log's.
    pub(crate) fn fence(
        engine: &Engine,
        shard: ShardId,
        nonce: u64,
        identity: u64,
    ) -> Result<(), Refusal<logboom::Error>> {
        loop {
            let entries = engine.shard(shard);
            let next = entries.next().unwrap_or(1);
            let epoch = next.checked_sub(1).and_then(|last| entries.term(last).ok()).unwrap_or(0).saturating_add(1);
            let record = record::epoch(Position { epoch, sequence: 0 }, nonce, identity);
            let log = Self::new(engine, shard, epoch, next);
            match log.propose(&record) {
                Err(Refusal::Lost) => {}
                Err(Refusal::Busy) => log.wait_for_room().map_err(Refusal::Stopped)?,
                fenced => return fenced.map(drop),
            }
        }
    }

    /// The last index that is durable; 0 where none is.
    pub(crate) fn durable(&self) -> u64 {
        self.shard.durable().unwrap_or(0)
    }

    /// Waits until all that is proposed is durable, and so the log has room.
    pub(crate) fn wait_for_room(&self) -> logboom::Result<()> {
        self.barrier()?.wait()
    }

    /// Says where the engine is closed, or has failed, so that nothing becomes durable any more.
    pub(crate) fn check(&self) -> logboom::Result<()> {
        let barrier = self.barrier()?;
        if barrier.is_done() { barrier.wait() } else { Ok(()) }
    }

    /// Ends when all that is proposed is durable.
    pub(crate) fn barrier(&self) -> logboom::Result<Ticket> {
        self.engine.barrier()
    }
}

impl Log for ShardLog {
    type Ticket = Ticket;
    type Error = logboom::Error;

    fn propose(&self, record: &[u8]) -> Result<(u64, Ticket), Refusal<logboom::Error>> {
        let goes_on = mutants::is_on(Mutant::ReplacedGoesOn);
        let index = if goes_on { self.shard.next().unwrap_or(1) } else { self.next.load(Ordering::Relaxed) };
        let mut batch = self.engine.batch();
        let id = EntryId { index, term: self.term };
        batch.append_payload(self.shard.id(), id, record).map_err(Refusal::Stopped)?;
        // The caller holds the writer's lock: a thread that is woken now would run before it is released.
        let ticket = self.engine.try_submit_deferred(batch).map_err(|rejected| refusal(rejected.error))?;
        self.next.store(index + 1, Ordering::Relaxed);
        Ok((index, ticket))
    }

    fn truncate(&self, through: u64, checkpoint: u64) -> Result<Ticket, Refusal<logboom::Error>> {
        let mut batch = self.engine.batch();
        batch.put(self.shard.id(), CHECKPOINT_KEY, &checkpoint.to_le_bytes()).map_err(Refusal::Stopped)?;
        if self.shard.first().is_some_and(|first| first <= through) {
            batch.compact_through(self.shard.id(), through).map_err(Refusal::Stopped)?;
        }
        self.engine.try_submit(batch, Durability::Lazy).map_err(|rejected| refusal(rejected.error))
    }

    fn bytes_max(&self) -> usize {
        self.bytes_max
    }
}

fn refusal(error: logboom::Error) -> Refusal<logboom::Error> {
    match error {
        logboom::Error::Busy => Refusal::Busy,
        full @ logboom::Error::Full { .. } => Refusal::Full(full),
        // The index of a writer's next entry is taken by the epoch record of the next one.
        logboom::Error::Gap { expected, got, .. } if got < expected => Refusal::Lost,
        other => Refusal::Stopped(other),
    }
}
