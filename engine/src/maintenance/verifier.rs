//! Verifying: reads all live entries of segments in which damage was found, to learn which of them are lost.
//!
//! A segment that is not verified when the engine closes is left: a read or a scrub of the next engine finds the damage
//! again.

use std::{collections::VecDeque, ops::Range, sync::Arc, time::Duration};

use logboom_wal::{SegmentId, Step, marks};

use crate::{
    maintenance::{core::Core, pace::Pace},
    read::{query::Query, store::Store},
    shard_state::state::ShardCell,
    types::{
        error::{Error, Result},
        ids::ShardId,
        ranges::Ranges,
    },
};

/// The payload bytes that one step reads, about.
const STEP_BYTES: u64 = 1 << 20;
/// A read counts as at least this many bytes.
const READ_BYTES_MIN: u64 = STEP_BYTES / 64;
/// The most shards that one step visits.
const SHARDS_AT_ONCE: usize = 1024;

/// Verifies suspected segments in the background.
#[derive(Default)]
pub(crate) struct Verifier {
    work: Option<Verifying>,
    /// Work that failed: tried again after all segments that were not tried yet.
    again: VecDeque<Verifying>,
    pace: Pace,
}

/// A segment that is being verified.
struct Verifying {
    segment: SegmentId,
    shards: Vec<ShardId>,
    next: usize,
    /// The entries of the next shard before this index were read.
    from: u64,
    /// The shards with entries that the disk failed to read, and the first error.
    failed: Vec<ShardId>,
    failure: Option<Error>,
}

impl Verifier {
    /// Does a bounded amount of work.
    pub(crate) fn step(&mut self, core: &Core, now: Duration) -> Result<Step> {
        let Some(work) = self.next(core) else { return Ok(Step::Parked) };
        let due = self.pace.due();
        if now < due {
            self.work = Some(work);
            return Ok(Step::At(due));
        }
        self.pace.begin(core.wal.answers());
        let ended = self.advance(core, work);
        self.pace.end(now, core.wal.now(), core.wal.answers(), false);
        ended.map(|()| Step::Again)
    }

    /// Verifies all suspected segments. Those that fail are tried again by later calls.
    pub(crate) fn finish(&mut self, core: &Core) -> Result<()> {
        let (failed, outcome) = Verifying::run_all(core, std::iter::from_fn(|| self.next(core)));
        self.again = failed;
        outcome
    }

    fn next(&mut self, core: &Core) -> Option<Verifying> {
        let suspect = || core.store.losses.take_suspect().map(|segment| Verifying::of(&core.store, segment));
        self.work.take().or_else(suspect).or_else(|| self.again.pop_front())
    }

    fn advance(&mut self, core: &Core, mut work: Verifying) -> Result<()> {
        if !work.advance(&core.store) {
            self.work = Some(work);
            return Ok(());
        }
        work.end(core).map_err(|failure| {
            let (work, error) = *failure;
            self.put_off(work);
            error
        })
    }

    fn put_off(&mut self, work: Verifying) {
        self.again.retain(|other| other.segment != work.segment);
        self.again.push_back(work);
    }
}

/// The shards to read again, and the error.
type Again = Box<(Verifying, Error)>;

impl Verifying {
    fn of(store: &Store, segment: SegmentId) -> Self {
        Self { segment, shards: store.shards.ids(), next: 0, from: 0, failed: Vec::new(), failure: None }
    }

    /// Verifies all. Returns the work to repeat, and the first failure.
    fn run_all(core: &Core, all: impl Iterator<Item = Self>) -> (VecDeque<Self>, Result<()>) {
        let (mut failed, mut outcome) = (VecDeque::new(), Ok(()));
        for work in all {
            if let Err(failure) = work.run(core) {
                let (work, error) = *failure;
                failed.push_back(work);
                outcome = outcome.and(Err(error));
            }
        }
        (failed, outcome)
    }

    /// Verifies the rest of the segment.
    fn run(mut self, core: &Core) -> Result<(), Again> {
        while !self.advance(&core.store) {}
        self.end(core)
    }

    /// Reads for about a step. Returns whether all shards were read.
    fn advance(&mut self, store: &Arc<Store>) -> bool {
        let (mut looks, mut bytes) = (0, 0);
        while let Some(&shard) = self.shards.get(self.next) {
            if looks == SHARDS_AT_ONCE || bytes >= STEP_BYTES {
                return false;
            }
            looks += 1;
            match store.verify(shard, self.segment, self.from) {
                Ok(Some((from, read))) => {
                    self.from = from;
                    bytes += read.max(READ_BYTES_MIN);
                    continue;
                }
                Ok(None) => {}
                Err(error) => {
                    marks::hit("verify: the disk does not answer");
                    self.failed.push(shard);
                    self.failure.get_or_insert(error);
                }
            }
            (self.next, self.from) = (self.next + 1, 0);
        }
        true
    }

    /// Call when all shards were read: the losses of the segment are known, and reclaiming may empty it. On error some
    /// shards must be read again.
    fn end(self, core: &Core) -> Result<(), Again> {
        let segment = self.segment;
        self.outcome()?;
        if !segment.is_cold() && segment >= core.wal.covered() {
            // Its other records are in memory. A checkpoint spares the next opening from reading them in this segment.
            core.store.losses.note();
        }
        core.store.losses.verified(segment);
        core.kick();
        Ok(())
    }

    fn outcome(self) -> Result<(), Again> {
        match self.failure {
            None => Ok(()),
            Some(error) => {
                let again = Self { shards: self.failed, next: 0, failed: Vec::new(), failure: None, ..self };
                Err(Box::new((again, error)))
            }
        }
    }
}

impl Core {
    /// Verifies damaged segments; reclaiming then moves their intact records out.
    ///
    /// # Errors
    /// The first failure, after all segments were tried: the background tries those that failed again.
    pub(crate) fn report_damage(&self, segments: impl IntoIterator<Item = SegmentId>) -> Result<()> {
        let all = segments.into_iter().map(|segment| Verifying::of(&self.store, segment));
        let (failed, outcome) = Verifying::run_all(self, all);
        if !failed.is_empty() {
            let mut verifier = self.verifier.lock();
            failed.into_iter().for_each(|work| verifier.put_off(work));
            self.kick();
        }
        outcome
    }
}

impl Store {
    /// Reads every live entry in `segments`. Shards that lost any are in quarantine on return.
    ///
    /// # Errors
    /// The first failure, after all segments were tried.
    pub(crate) fn verify_segments(self: &Arc<Self>, segments: impl IntoIterator<Item = SegmentId>) -> Result<()> {
        let mut outcome = Ok(());
        for segment in segments {
            let mut work = Verifying::of(self, segment);
            while !work.advance(self) {}
            outcome = outcome.and(work.outcome().map_err(|failure| failure.1));
        }
        outcome
    }

    /// Reads some of the live entries that a shard has in `segment`, from index `from` on. Returns the index to
    /// continue at, and the number of bytes read; `None` if there are no entries.
    fn verify(self: &Arc<Self>, id: ShardId, segment: SegmentId, from: u64) -> Result<Option<(u64, u64)>> {
        let Some(cell) = self.shards.get(id) else { return Ok(None) };
        let Some(range) = cell.intact_in(segment, from) else { return Ok(None) };
        let query =
            |range| Query { store: Arc::clone(self), id, cell: Arc::clone(&cell), range, max_bytes: STEP_BYTES };
        match query(range.clone()).read() {
            Ok(batch) => {
                let bytes = batch.iter().map(|entry| entry.payload.len() as u64).sum();
                Ok(Some((range.start + batch.len().max(1) as u64, bytes)))
            }
            Err(error) if error.is_failure() => Err(error.into()),
            // The loss is known now, or the entries moved: look at the rest again.
            Err(_) if cell.intact_in(segment, from).as_ref() != Some(&range) => Ok(Some((from, 0))),
            // The range fails, but no single record of it is lost: skip the entry.
            Err(_) => match query(range.start..range.start + 1).read() {
                Err(error) if error.is_failure() => Err(error.into()),
                _ => Ok(Some((range.start + 1, 0))),
            },
        }
    }
}

impl ShardCell {
    /// The first range of entries from `from` on that is read from `segment` and not known to be lost.
    fn intact_in(&self, segment: SegmentId, from: u64) -> Option<Range<u64>> {
        let state = self.state.lock();
        let extent = self.published.load().extent;
        let lost = state.missing().map(|missing| &missing.entries);
        state.log.held_in(&extent, segment, from).find_map(|held| first_intact(held.start.max(from)..held.end, lost))
    }
}

/// The first part of `range` that is outside `lost`.
fn first_intact(range: Range<u64>, lost: Option<&Ranges>) -> Option<Range<u64>> {
    let hole = |index| lost.and_then(|lost| lost.from(index));
    let start = hole(range.start).filter(|hole| hole.start <= range.start).map_or(range.start, |hole| hole.end);
    let end = hole(start).map_or(range.end, |hole| hole.start.min(range.end));
    (start < end).then_some(start..end)
}
