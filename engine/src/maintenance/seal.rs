//! Sealing: moves the places of a full segment's entries from memory to the segment's footer.

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use logboom_wal::{
    Error as WalError, SegmentId, SegmentInfo, Step, Ticket as WalTicket, marks,
    mutants::{self, Mutant},
};

use crate::{
    index::footer::{Footer, FooterBuilder},
    maintenance::core::{Core, SEAL},
    types::{error::Result, ids::ShardId},
};

/// The number of shards that one step visits.
const SHARDS_AT_ONCE: usize = 64;
/// How soon to poll for what wakes no machine.
const SOON: Duration = Duration::from_millis(5);

/// Seals one segment at a time, the oldest first.
#[derive(Default)]
pub(crate) struct Sealer {
    work: Work,
    /// Segments that it failed to seal, the last one last: they are tried again when all others are sealed.
    failed: VecDeque<SegmentId>,
}

#[derive(Default)]
enum Work {
    #[default]
    Idle,
    Collecting(Collecting),
    /// Waits until the state behind the footer is durable: a crash could bring back entries that it does not list
    /// otherwise.
    Waiting {
        sealed: Sealed,
        footer: Arc<Footer>,
        barrier: WalTicket,
    },
    Moving {
        sealed: Sealed,
        next: usize,
    },
}

struct Collecting {
    sealed: Sealed,
    /// The collected state reflects no record from this group on.
    before: u64,
    next: usize,
    builder: FooterBuilder,
}

/// A segment that is being sealed, and the shards with places in it in memory.
struct Sealed {
    segment: SegmentId,
    shards: Vec<ShardId>,
}

impl Sealer {
    /// Does a bounded amount of work.
    pub(crate) fn step(&mut self, core: &Core, now: Duration) -> Result<Step> {
        match std::mem::take(&mut self.work) {
            Work::Idle => Ok(self.begin(core, now)),
            Work::Collecting(work) => self.collect(core, work),
            Work::Waiting { barrier, sealed, footer } if !barrier.is_done() && !mutants::is_on(Mutant::FooterEarly) => {
                marks::hit("seal: a footer waits for what it lists");
                self.work = Work::Waiting { barrier, sealed, footer };
                Ok(Step::At(now.saturating_add(SOON)))
            }
            Work::Waiting { sealed, footer, .. } => self.write(core, sealed, footer),
            Work::Moving { sealed, next } => Ok(self.move_places(core, sealed, next)),
        }
    }

    /// Seals all segments that can be sealed now, and tries those that failed once more.
    ///
    /// # Errors
    /// The first failure; all other segments are sealed.
    pub(crate) fn finish(&mut self, core: &Core) -> Result<()> {
        let mut outcome = Ok(());
        self.failed.clear();
        loop {
            if matches!(self.work, Work::Idle) && !self.begin_next(core) {
                return outcome;
            }
            match self.step(core, Duration::ZERO) {
                Ok(Step::At(_)) => core.wal.barrier().wait_locked()?,
                Ok(_) => {}
                failed => outcome = outcome.and(failed.map(drop)),
            }
        }
    }

    fn begin(&mut self, core: &Core, now: Duration) -> Step {
        if self.begin_next(core) {
            return Step::Again;
        }
        // One at a time: the others wait for later calls.
        if self.failed.pop_front().is_some() {
            return Step::Again;
        }
        core.recovered(SEAL);
        let waits = |info: &SegmentInfo| !info.active && !info.footer && !info.unsealable;
        if core.wal.segments().iter().any(waits) { Step::At(now.saturating_add(SOON)) } else { Step::Parked }
    }

    /// Begins with the oldest segment that has not failed; false if there is none.
    fn begin_next(&mut self, core: &Core) -> bool {
        let is_left = |segment| self.failed.contains(&segment);
        // Segments without live entries come last: they may be freed before they need a footer.
        let live = core.wal.sealable_except(|segment| is_left(segment) || core.usage.is_free(segment));
        let Some(info) = live.or_else(|| core.wal.sealable_except(is_left)) else { return false };
        let before = core.wal.next_sequence().group();
        let sealed = Sealed { segment: info.id, shards: core.usage.touched(info.id) };
        self.work = Work::Collecting(Collecting { sealed, before, next: 0, builder: FooterBuilder::default() });
        true
    }

    fn collect(&mut self, core: &Core, mut work: Collecting) -> Result<Step> {
        let Sealed { segment, shards } = &work.sealed;
        let end = shards.len().min(work.next + SHARDS_AT_ONCE);
        for shard in &shards[work.next..end] {
            let Some(cell) = core.store.shards.get(*shard) else { continue };
            let state = cell.state.lock();
            let extent = cell.published.load().extent;
            for (entries, rows) in state.log.rows_in(&extent, *segment) {
                if let Err(error) = work.builder.add(*shard, entries, &rows) {
                    tracing::warn!(%segment, error = format_args!("{error:#}"), "a segment stays without a footer");
                    core.wal.leave_unsealed(*segment);
                    return Ok(Step::Again);
                }
            }
        }
        work.next = end;
        self.work = if end < shards.len() {
            Work::Collecting(work)
        } else {
            let footer = match segment.is_cold() {
                true => work.builder.build_cold(work.before),
                false => work.builder.build(),
            };
            let footer = Arc::new(footer);
            Work::Waiting { sealed: work.sealed, footer, barrier: core.wal.barrier() }
        };
        Ok(Step::Again)
    }

    fn write(&mut self, core: &Core, sealed: Sealed, footer: Arc<Footer>) -> Result<Step> {
        let _span = tracing::debug_span!("index", sealing = sealed.segment.0, shards = sealed.shards.len()).entered();
        match written(core, sealed.segment, &footer) {
            Ok(true) => {}
            Ok(false) => {
                marks::hit("seal: a segment stays without a footer");
                let segment = sealed.segment;
                tracing::warn!(%segment, "a segment stays without a footer: there is no room for it, or it is gone");
                return Ok(Step::Again);
            }
            Err(error) => {
                self.failed.push_back(sealed.segment);
                return Err(error);
            }
        }
        core.store.footers.keep(sealed.segment, footer);
        self.work = Work::Moving { sealed, next: 0 };
        Ok(Step::Again)
    }

    fn move_places(&mut self, core: &Core, sealed: Sealed, next: usize) -> Step {
        let durable = core.wal.durable();
        let end = sealed.shards.len().min(next + SHARDS_AT_ONCE);
        for shard in &sealed.shards[next..end] {
            let Some(cell) = core.store.shards.get(*shard) else { continue };
            let mut state = cell.state.lock();
            let extent = cell.published.load().extent;
            state.log.seal(&extent, sealed.segment);
            state.log.tidy(&extent, durable);
        }
        if end < sealed.shards.len() {
            self.work = Work::Moving { sealed, next: end };
            return Step::Again;
        }
        core.usage.set_sealed(sealed.segment);
        core.counts.sealed.fetch_add(1, Ordering::Relaxed);
        // A checkpoint may be due now, or the segment dead.
        core.kick();
        Step::Again
    }
}

/// Writes a footer; false if the segment has no space for one, or is gone.
fn written(core: &Core, segment: SegmentId, footer: &Footer) -> Result<bool> {
    if let Some(error) = core.wal.poisoned() {
        return Err(error.into());
    }
    match core.wal.write_footer(segment, &footer.head.encode()?, &footer.encode_rows()?) {
        Err(WalError::Gone(_)) => Ok(false),
        written => Ok(written?),
    }
}
