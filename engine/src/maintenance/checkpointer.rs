//! Checkpointing: what the shards are goes to disk, so that older segments need not be read at the next opening, and
//! dead ones can be used again.

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

/// Shards that one step captures.
const SHARDS_AT_ONCE: usize = 256;
/// A checkpoint is due when this many times its size was logged: what it adds to what is written is an eighth.
const LOGGED_PER_SIZE: u64 = 8;
/// A checkpoint is due when this many times its size could be reclaimed: two are needed for that.
const DEAD_PER_SIZE: u64 = 2;
/// How soon to look again for something that no kick announces.
const SOON: Duration = Duration::from_millis(5);
/// Between two checkpoints that are due for what was found to be lost: what is found meanwhile is in the second.
const GATHER: Duration = Duration::from_secs(1);

/// Writes one checkpoint at a time.
pub(crate) struct Checkpointer {
    work: Work,
    last: Last,
    /// From when on another one may be due for what was found to be lost.
    gathered: Duration,
}

/// The newest checkpoint.
#[derive(Clone, Copy, Debug, Default)]
struct Last {
    replay_from: SegmentId,
    size: u64,
    /// It reflects every record before this.
    upto: Sequence,
    /// And so much of what was found to be lost.
    losses: u64,
    /// Of the segments that this opening has given back, it names none of the first so many.
    retired: u64,
}

enum Work {
    Idle,
    /// Each shard is captured as it is at that moment. What is logged meanwhile is replayed: it is in `replay_from`
    /// or behind.
    Capturing {
        last: Last,
        shards: Vec<ShardId>,
        next: usize,
        checkpoint: Checkpoint,
    },
    /// The checkpoint reflects what is not durable yet: were it written now, a crash could leave it ahead of the log.
    Waiting {
        last: Last,
        body: Vec<u8>,
        barrier: WalTicket,
    },
    /// It is in one slot, and is written to the other one as well.
    Doubling {
        last: Last,
        body: Vec<u8>,
    },
}

impl Checkpointer {
    /// Behind a checkpoint of `size` bytes, 0 for none, which is replayed from `replay_from`.
    pub(crate) fn new(replay_from: SegmentId, size: u64) -> Self {
        Self { work: Work::Idle, last: Last { replay_from, size, ..Last::default() }, gathered: Duration::ZERO }
    }

    /// Does a bounded amount of work.
    pub(crate) fn step(&mut self, core: &Core, now: Duration) -> Result<Step> {
        match std::mem::replace(&mut self.work, Work::Idle) {
            Work::Idle if self.lacks_losses(core) && now >= self.gathered => {
                self.gathered = now.saturating_add(GATHER);
                self.begin(core);
                Ok(Step::Again)
            }
            Work::Idle if self.is_due(core) => {
                self.begin(core);
                Ok(Step::Again)
            }
            Work::Idle if self.lacks_losses(core) => Ok(Step::At(self.gathered)),
            Work::Idle => Ok(Step::Parked),
            Work::Capturing { last, shards, next, checkpoint } => self.capture(core, last, shards, next, checkpoint),
            Work::Waiting { last, body, barrier } if !barrier.is_done() && !mutants::is_on(Mutant::CheckpointEarly) => {
                marks::hit("checkpoint: it waits for what it reflects");
                self.work = Work::Waiting { last, body, barrier };
                Ok(Step::At(now.saturating_add(SOON)))
            }
            Work::Waiting { last, body, .. } | Work::Doubling { last, body } => self.write(core, last, body),
        }
    }

    /// Checkpoints whatever is not in a checkpoint yet.
    pub(crate) fn finish(&mut self, core: &Core) -> Result<()> {
        self.complete(core)?;
        // Nobody submits any more, and what the log adds by itself needs no checkpoint.
        while core.wal.next_sequence().group() > self.last.upto.group() + 1
            || self.lacks_losses(core)
            || self.names_retired(core)
        {
            self.begin(core);
            self.complete(core)?;
        }
        Ok(())
    }

    /// Checkpoints until both slots cover every segment without live entries: they can be given back then.
    pub(crate) fn cover(&mut self, core: &Core) -> Result<()> {
        self.complete(core)?;
        // Both slots, and once more if a segment was filled meanwhile.
        for _ in 0..3 {
            if dead(core).next().is_none() {
                return Ok(());
            }
            self.begin(core);
            self.complete(core)?;
        }
        Ok(())
    }

    /// Ends the checkpoint that is under way.
    fn complete(&mut self, core: &Core) -> Result<()> {
        while !matches!(self.work, Work::Idle) {
            if let Step::At(_) = self.step(core, Duration::ZERO)? {
                core.wal.barrier().wait_locked()?;
            }
        }
        Ok(())
    }

    /// Whether entries were found to be lost that the newest checkpoint does not know to be.
    fn lacks_losses(&self, core: &Core) -> bool {
        core.store.losses.found() > self.last.losses
    }

    /// Whether the newest checkpoint names segments that were given back since: an opening opens all that it names.
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
        // Before the shards are listed: whoever got room below this segment is in the list, and is waited for.
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
                // Whoever ends this has its record behind `replay_from`, or has ended it.
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
            // They would wait for another checkpoint, and that for all that is on its way to the device when it is
            // captured: hundreds of segments, where they are small and the log is written at full speed.
            self.work = Work::Doubling { last, body };
        }
        // Segments may be covered now, and one of them dead.
        core.kick();
        Ok(Step::Again)
    }
}

/// The bytes of the segments that are [`dead`], of those that count.
fn dead_bytes(core: &Core, counts: impl Fn(SegmentId) -> bool) -> u64 {
    dead(core).filter(|info| counts(info.id)).map(|info| u64::from(info.end)).sum()
}

/// The segments without a live entry that wait for checkpoints to cover them.
fn dead(core: &Core) -> impl Iterator<Item = SegmentInfo> {
    let covered = core.wal.covered();
    let waits = move |info: &SegmentInfo| !info.active && !info.id.is_cold() && info.id >= covered;
    core.wal.segments().into_iter().filter(waits).filter(|info| core.usage.is_free(info.id))
}

/// Adds a shard, or forgets it if there is nothing to remember.
fn capture_shard(core: &Core, shard: ShardId, durable: u64, checkpoint: &mut Checkpoint) -> Result<()> {
    let Some(cell) = core.store.shards.get(shard) else { return Ok(()) };
    let remembered = {
        // A writer that has room in the log and has not published is waited for: its record may lie in a segment that
        // will not be replayed.
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
