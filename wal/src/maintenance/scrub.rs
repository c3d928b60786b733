//! Scrubbing: reads full segments again and again, to find damage while other replicas can still heal it.

use std::{
    ops::Bound,
    sync::{Arc, Weak, atomic::Ordering},
    time::Duration,
};

use crate::{
    group_commit::log::Shared,
    runtime::{
        notices::Event,
        worker::{Machine, Step},
    },
    scan::walk::{Expected, SegmentWalk, WalkItem},
    segments::segment::Segment,
    types::{damage::Damage, error::Error, ids::SegmentId},
};

/// The bytes that one step reads, unless a single group has more.
const STEP_BYTES: usize = 1 << 20;

/// How long to wait when there is nothing to read: the period, `IDLE` at most, `SOONEST` at least.
const IDLE: Duration = Duration::from_secs(60);
const SOONEST: Duration = Duration::from_millis(10);

/// Reads every full segment once per period, at an even pace; reports damage as a read would.
pub(crate) struct Scrub {
    shared: Weak<Shared>,
    period: Duration,
    /// The position in the current segment.
    progress: Option<Progress>,
    last: SegmentId,
    /// The damages found in that segment.
    damages: u64,
    due: Duration,
}

struct Progress {
    segment: Arc<Segment>,
    at: usize,
    expected: Expected,
}

impl Scrub {
    pub(crate) fn new(shared: &Arc<Shared>, period: Duration) -> Self {
        let (progress, last) = (None, SegmentId(0));
        Self { shared: Arc::downgrade(shared), period, progress, last, damages: 0, due: Duration::ZERO }
    }

    /// Reads about one step further; returns the bytes read, 0 if there is no segment to read.
    fn read(&mut self, shared: &Shared) -> Result<usize, Error> {
        let Some(Progress { segment, at, expected }) = self.progress.take().or_else(|| self.next(shared)) else {
            return Ok(0);
        };
        let mut walk = SegmentWalk::new(&segment, &shared.env.medium, expected);
        walk.at = at;
        while walk.at < at + STEP_BYTES {
            match walk.next_item(None)? {
                Some(WalkItem::Group(_)) => {}
                Some(WalkItem::Salvage(salvage)) => self.report(shared, Arc::unwrap_or_clone(salvage.damage)),
                None => break,
            }
        }
        let read = walk.at - at;
        let (at, expected) = (walk.at, walk.expected);
        drop(walk);
        if at < segment.end() as usize && read > 0 {
            self.progress = Some(Progress { segment, at, expected });
        } else if segment.has_footer() && segment.read_footer(&shared.env.medium)?.is_none() {
            self.report(shared, Damage::footer(segment.id));
        }
        if self.progress.is_none() {
            shared.faults.scrubbed(self.last, self.damages);
        }
        Ok(read.max(1))
    }

    /// The next full segment by id; the first one after the last.
    fn next(&mut self, shared: &Shared) -> Option<Progress> {
        let segments = shared.state.segments.lock();
        let is_full =
            |segment: &&Arc<Segment>| segment.is_closed() && segment.last() <= shared.state.watermark.durable();
        let behind = segments.range((Bound::Excluded(self.last), Bound::Unbounded)).map(|(_, segment)| segment);
        let segment = behind.chain(segments.values()).find(is_full)?;
        (self.last, self.damages) = (segment.id, 0);
        let expected = Expected::of_closed(segment);
        Some(Progress { segment: Arc::clone(segment), at: shared.env.medium.framing.pad, expected })
    }

    /// How long reading `bytes` bytes may take, if one period is for the whole log.
    fn pause(&self, shared: &Shared, bytes: usize) -> Duration {
        let all = shared.state.segments.lock().len() as f64 * shared.env.identity.segment_bytes as f64;
        // In floating point: the period may be `Duration::MAX`, and rounding may exceed that.
        let pause = self.period.as_secs_f64() * (bytes as f64 / all.max(1.0)).min(1.0);
        Duration::try_from_secs_f64(pause).unwrap_or(Duration::MAX)
    }

    fn report(&mut self, shared: &Shared, damage: Damage) {
        self.damages += 1;
        shared.faults.scrubbed(self.last, self.damages);
        shared.metrics.scrub_damages.fetch_add(1, Ordering::Relaxed);
        shared.notices.report(Event::Damaged(damage));
    }
}

impl Machine for Scrub {
    fn name(&self) -> &'static str {
        "scrub"
    }

    fn step(&mut self, now: Duration) -> Step {
        let Some(shared) = self.shared.upgrade() else { return Step::Done };
        if shared.closing.load(Ordering::Acquire) {
            return Step::Done;
        }
        // Kicks are for other machines.
        if now < self.due {
            return Step::At(self.due);
        }
        let read = self.read(&shared).unwrap_or_else(|error| {
            // A read failure is reported, and the next segment may be readable.
            self.report(&shared, Damage::unreadable(self.last, &error));
            STEP_BYTES
        });
        shared.metrics.scrubbed_bytes.fetch_add(read as u64, Ordering::Relaxed);
        let pause = if read == 0 { IDLE.min(self.period).max(SOONEST) } else { self.pause(&shared, read) };
        // Leaves the device half of the time to others, however short the period is.
        let ended = shared.env.clock.now();
        self.due = ended.saturating_add(pause.max(ended.saturating_sub(now)));
        Step::At(self.due)
    }

    fn is_needed(&self) -> bool {
        false
    }
}
