//! Work that is due by time: promises of an idle log, lazy batches that have become old, and detection of stalls.

use std::{
    sync::{Arc, Weak, atomic::Ordering},
    time::Duration,
};

use crate::{
    group_commit::log::Shared,
    runtime::{
        notices::Event,
        worker::{Machine, Step},
    },
    types::marks,
};

/// The shortest time until a machine looks again.
const SOONEST: Duration = Duration::from_millis(1);

/// Detects and reports stalls of the device. Runs on a thread that does no IO: all others can be stuck behind a stall.
pub(crate) struct StallDetector {
    shared: Weak<Shared>,
    /// The duration that was reported last; zero if the device is not stalled.
    reported: Duration,
    /// When it looks next; it ignores kicks before, which are meant for other work on its thread.
    next: Duration,
}

impl StallDetector {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::downgrade(shared), reported: Duration::ZERO, next: Duration::ZERO }
    }

    fn check(&mut self, shared: &Shared, now: Duration) -> Option<Duration> {
        let (waiting, stall_after) = (shared.waiting(), shared.env.options.stall_after);
        if waiting >= stall_after.max(self.reported.saturating_mul(2)) {
            self.reported = waiting;
            shared.notices.report(Event::Stalled(waiting));
        } else if waiting < stall_after && !self.reported.is_zero() {
            self.reported = Duration::ZERO;
            shared.notices.report(Event::Stalled(Duration::ZERO));
        }
        let checks_again = shared.watch.is_waiting() || shared.pending.is_any() || !self.reported.is_zero();
        checks_again.then(|| now.saturating_add((stall_after / 4).max(SOONEST)))
    }
}

impl Machine for StallDetector {
    fn name(&self) -> &'static str {
        "stalls"
    }

    fn step(&mut self, now: Duration) -> Step {
        if now < self.next {
            return Step::At(self.next);
        }
        let Some(shared) = self.shared.upgrade() else { return Step::Done };
        if shared.state.watermark.failure().is_some() {
            return Step::Done;
        }
        shared.pending.stall_detector.prepare_to_park();
        let Some(next) = self.check(&shared, now) else { return Step::Parked };
        shared.pending.stall_detector.cancel_park();
        self.next = next;
        Step::At(next)
    }

    fn is_needed(&self) -> bool {
        false
    }
}

/// See the module.
pub(crate) struct Housekeeping {
    shared: Weak<Shared>,
}

impl Housekeeping {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::downgrade(shared) }
    }

    /// Writes lazy batches that are old enough; returns when to look again.
    fn lazy(shared: &Shared, now: Duration) -> Option<Duration> {
        let (group, since) = shared.scheduler.lazy(&shared.state.watermark, now)?;
        let due = since.saturating_add(shared.env.options.lazy_age);
        if now < due {
            return Some(due);
        }
        marks::hit("watch: a lazy batch has become old");
        shared.scheduler.request_write(group);
        shared.commit_here();
        Some(now.saturating_add(shared.env.options.lazy_age.max(SOONEST)))
    }

    /// Writes a promise that everything is durable, if the log has been idle; returns when to look again.
    fn promise(shared: &Shared, now: Duration) -> Option<Duration> {
        let filled = shared.state.filled.load(Ordering::Relaxed);
        if shared.state.promised.load(Ordering::Acquire) >= filled {
            return None;
        }
        let (idle, idle_promise) = (shared.watch.idle_for(now), shared.env.options.idle_promise);
        if shared.state.watermark.durable() < filled || idle < idle_promise {
            return Some(now.saturating_add(idle_promise.saturating_sub(idle).max(SOONEST)));
        }
        // Without space in a segment no promise is written; nothing depends on it.
        if shared.add_empty(0).is_ok() {
            marks::hit("watch: an idle log promises");
            shared.commit_here();
        }
        Some(now.saturating_add(idle_promise.max(SOONEST)))
    }
}

impl Machine for Housekeeping {
    fn name(&self) -> &'static str {
        "housekeeping"
    }

    fn step(&mut self, now: Duration) -> Step {
        let Some(shared) = self.shared.upgrade() else { return Step::Done };
        if shared.state.watermark.failure().is_some() {
            return Step::Done;
        }
        if shared.closing.load(Ordering::Acquire) {
            return Step::Parked;
        }
        shared.watch.housekeeping.prepare_to_park();
        let times = [Self::lazy(&shared, now), Self::promise(&shared, now)];
        let Some(next) = times.into_iter().flatten().min() else { return Step::Parked };
        shared.watch.housekeeping.cancel_park();
        Step::At(next)
    }
}
