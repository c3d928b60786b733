//! Checkpointing: writes the state of all shards to disk, so that the next opening need not replay older segments, and
//! dead ones can be freed.

use std::{sync::atomic::Ordering, time::Duration};

use logboom_wal::{
    SegmentId, SegmentInfo, Sequence, Step, Ticket as WalTicket, marks,
    mutants::{self, Mutant},
};

use crate::{
    checkpoint::body::Checkpoint,
    maintenance::core::{CHECKPOINT, Core},
    types::{error::Result, ids::ShardId},
};

/// The number of shards that one step captures.
const SHARDS_AT_ONCE: usize = 256;
/// A checkpoint is due when this many times its size was logged: checkpoints add an eighth to the bytes written.
const LOGGED_PER_SIZE: u64 = 8;
/// A checkpoint is due when this many times its size could be freed: that takes two checkpoints, one in each slot.
const DEAD_PER_SIZE: u64 = 2;
/// How soon to poll for what wakes no machine.
const SOON: Duration = Duration::from_millis(5);
/// The least time between two checkpoints for new losses: the second has all losses that were found meanwhile.
const LOSSES_INTERVAL: Duration = Duration::from_secs(1);

/// Writes one checkpoint at a time.
pub(crate) struct Checkpointer {
    work: Work,
    last: Last,
    /// The earliest time of the next checkpoint for new losses.
    next_for_losses: Duration,
}

/// The newest checkpoint.
#[derive(Clone, Copy, Debug, Default)]
struct Last {
    replay_from: SegmentId,
    size: u64,
    /// It reflects every record before this.
    upto: Sequence,
    /// The value of [`Losses::found`](crate::read::lost::Losses::found) that it reflects.
    losses: u64,
    /// The number of segments that the engine had freed when it was captured: it names none of those.
    retired: u64,
}

enum Work {
    Idle,
    /// Captures each shard at a moment of its own. Records that are logged meanwhile are replayed: they are in segment
    /// `replay_from` or a later one.
    Capturing {
        last: Last,
        shards: Vec<ShardId>,
        next: usize,
        checkpoint: Checkpoint,
    },
    /// Waits until the reflected records are durable: a crash could leave the checkpoint ahead of the log otherwise.
    Waiting {
        last: Last,
        body: Vec<u8>,
        barrier: WalTicket,
    },
    /// Is in one slot, and is written to the other one as well.
    WritingSecond {
        last: Last,
        body: Vec<u8>,
    },
}

impl Checkpointer {
    /// After an opening with a checkpoint of `size` bytes (0 for none) and a replay from segment `replay_from` on.
    pub(crate) fn new(replay_from: SegmentId, size: u64) -> Self {
        Self { work: Work::Idle, last: Last { replay_from, size, ..Last::default() }, next_for_losses: Duration::ZERO }
    }

    /// Does a bounded amount of work.
    pub(crate) fn step(&mut self, core: &Core, now: Duration) -> Result<Step> {
        match std::mem::replace(&mut self.work, Work::Idle) {
            Work::Idle if self.lacks_losses(core) && now >= self.next_for_losses => {
                self.next_for_losses = now.saturating_add(LOSSES_INTERVAL);
                self.begin(core);
                Ok(Step::Again)
            }
            Work::Idle if self.is_due(core) => {
                self.begin(core);
                Ok(Step::Again)
            }
            Work::Idle if self.lacks_losses(core) => Ok(Step::At(self.next_for_losses)),
            Work::Idle => Ok(Step::Parked),
            Work::Capturing { last, shards, next, checkpoint } => self.capture(core, last, shards, next, checkpoint),
            Work::Waiting { last, body, barrier } if !barrier.is_done() && !mutants::is_on(Mutant::CheckpointEarly) => {
                marks::hit("checkpoint: it waits for what it reflects");
                self.work = Work::Waiting { last, body, barrier };
                Ok(Step::At(now.saturating_add(SOON)))
            }
            Work::Waiting { last, body, .. } | Work::WritingSecond { last, body } => self.write(core, last, body),
        }
    }

    /// Writes checkpoints until the newest reflects everything.
    pub(crate) fn finish(&mut self, core: &Core) -> Result<()> {
        self.complete(core)?;
        // No batches are submitted any more, and groups that the log writes by itself need no checkpoint.
        while core.wal.next_sequence().group() > self.last.upto.group() + 1
            || self.lacks_losses(core)
            || self.names_retired(core)
        {
            self.begin(core);
            self.complete(core)?;
        }
        Ok(())
    }

    /// Writes checkpoints until both slots cover every segment without live entries: those can be freed then.
    pub(crate) fn cover(&mut self, core: &Core) -> Result<()> {
        self.complete(core)?;
        // One for each slot, and one more if a segment was filled meanwhile.
        for _ in 0..3 {
            if dead(core).next().is_none() {
                return Ok(());
            }
            self.begin(core);
            self.complete(core)?;
        }
        Ok(())
    }

    /// Completes the checkpoint in progress.
    fn complete(&mut self, core: &Core) -> Result<()> {
        while !matches!(self.work, Work::Idle) {
            if let Step::At(_) = self.step(core, Duration::ZERO)? {
                core.wal.barrier().wait_locked()?;
            }
        }
        Ok(())
    }

    /// Whether the newest checkpoint lacks losses that were found since.
    fn lacks_losses(&self, core: &Core) -> bool {
        core.store.losses.found() > self.last.losses
    }

    /// Whether the newest checkpoint names segments that were freed since: an opening opens all that it names.
    fn names_retired(&self, core: &Core) -> bool {
        core.counts.retired.load(Ordering::Relaxed) > self.last.retired
    }

    fn is_due(&self, core: &Core) -> bool {
        let is_logged = |info: &&SegmentInfo| !info.active && !info.id.is_cold() && info.id >= self.last.replay_from;
        let logged: u64 = core.wal.segments().iter().filter(is_logged).map(|info| u64::from(info.end)).sum();
        logged > LOGGED_PER_SIZE * self.last.size || dead_bytes(core, |_| true) > DEAD_PER_SIZE * self.last.size
    }

    fn begin(&mut self, core: &Core) {
        let upto = core.wal.next_sequence();
        // Before the shards are listed: a writer with a reservation in an earlier segment is in the list, and the
        // capture waits for it.
        let replay_from = core.wal.active();
        let retired = core.counts.retired.load(Ordering::Relaxed);
        let last = Last { replay_from, size: 0, upto, losses: core.store.losses.found(), retired };
        let shards = core.store.shards.ids();
        self.work = Work::Capturing { last, shards, next: 0, checkpoint: Checkpoint::default() };
    }

    fn capture(
        &mut self,
        core: &Core,
        last: Last,
        shards: Vec<ShardId>,
        next: usize,
        mut checkpoint: Checkpoint,
    ) -> Result<Step> {
        let end = shards.len().min(next + SHARDS_AT_ONCE);
        let durable = core.wal.durable();
        for shard in &shards[next..end] {
            capture_shard(core, *shard, durable, &mut checkpoint)?;
        }
        self.work = if end < shards.len() {
            Work::Capturing { last, shards, next: end, checkpoint }
        } else {
            {
                // The record of a concurrent acceptance is in `replay_from` or a later segment, or the acceptance is
                // complete.
                let _accepting = core.accepting.lock();
                let held_back = core.store.shards.has_unknown_losses();
                checkpoint.damages.close(held_back.then_some(last.upto));
            }
            let body = checkpoint.encode()?;
            Work::Waiting { last: Last { size: body.len() as u64, ..last }, body, barrier: core.wal.barrier() }
        };
        Ok(Step::Again)
    }

    fn write(&mut self, core: &Core, last: Last, body: Vec<u8>) -> Result<Step> {
        if let Some(error) = core.wal.poisoned() {
            return Err(error.into());
        }
        let _span = tracing::debug_span!("index", checkpoint_bytes = body.len()).entered();
        core.wal.write_checkpoint(last.replay_from, &body)?;
        self.last = last;
        core.counts.checkpoints.fetch_add(1, Ordering::Relaxed);
        core.recovered(CHECKPOINT);
        if dead_bytes(core, |segment| segment < last.replay_from) > DEAD_PER_SIZE * last.size {
            // These segments would wait for another checkpoint, which waits for all writes in flight when it is
            // captured: hundreds of segments, if they are small and the log is written at full speed.
            self.work = Work::WritingSecond { last, body };
        }
        // Segments may be covered now, and one of them dead.
        core.kick();
        Ok(Step::Again)
    }
}

/// The bytes of the [`dead`] segments that `counts` accepts.
fn dead_bytes(core: &Core, counts: impl Fn(SegmentId) -> bool) -> u64 {
    dead(core).filter(|info| counts(info.id)).map(|info| u64::from(info.end)).sum()
}

/// The segments without live entries that the checkpoints do not cover yet.
fn dead(core: &Core) -> impl Iterator<Item = SegmentInfo> {
    let covered = core.wal.covered();
    let waits = move |info: &SegmentInfo| !info.active && !info.id.is_cold() && info.id >= covered;
    core.wal.segments().into_iter().filter(waits).filter(|info| core.usage.is_free(info.id))
}

/// Adds a shard to the checkpoint, or removes its cell if it has no state.
fn capture_shard(core: &Core, shard: ShardId, durable: u64, checkpoint: &mut Checkpoint) -> Result<()> {
    let Some(cell) = core.store.shards.get(shard) else { return Ok(()) };
    let remembered = {
        // Wait for a writer between reservation and publication: its record may lie in a segment that will not be
        // replayed.
        let _writer = cell.published.writer();
        let mut state = cell.state.lock();
        let view = cell.published.load();
        state.log.tidy(&view.extent, durable);
        let is_something = view.sequence != Sequence::NONE || state.missing().is_some_and(|missing| !missing.unknown);
        let is_known_empty = !view.quarantined && core.store.shards.has_unknown_losses();
        if is_something {
            checkpoint.add(shard, &view, &state)?;
        } else if is_known_empty {
            checkpoint.damages.add_empty(shard);
        }
        is_something || is_known_empty
    };
    drop(cell);
    if !remembered {
        core.store.shards.remove_blank(shard);
    }
    Ok(())
}
