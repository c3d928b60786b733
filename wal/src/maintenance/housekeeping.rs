//! What the log does while nobody calls it: promises when it goes idle, lazy batches that have become old, and a look
//! at whether the device still answers.

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

/// The shortest time after which something is looked at again.
const SOONEST: Duration = Duration::from_millis(1);

/// Reports that the device does not answer. It runs where nothing is asked of the device: what fills segments and
/// writes old batches waits for a stuck device as everybody does.
pub(crate) struct Stalls {
    shared: Weak<Shared>,
    /// The stall that was reported last; zero when the device answers.
    reported: Duration,
    /// When it looks again; until then, what else its thread is kicked for costs it nothing.
    next: Duration,
}

impl Stalls {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::downgrade(shared), reported: Duration::ZERO, next: Duration::ZERO }
    }

    fn look(&mut self, shared: &Shared, now: Duration) -> Option<Duration> {
        let (waiting, stall_after) = (shared.waiting(), shared.env.options.stall_after);
        if waiting >= stall_after.max(self.reported.saturating_mul(2)) {
            self.reported = waiting;
            shared.notices.tell(Event::Stalled(waiting));
        } else if waiting < stall_after && !self.reported.is_zero() {
            self.reported = Duration::ZERO;
            shared.notices.tell(Event::Stalled(Duration::ZERO));
        }
        let looks_again = shared.watch.is_waiting() || shared.pending.is_any() || !self.reported.is_zero();
        looks_again.then(|| now.saturating_add((stall_after / 4).max(SOONEST)))
    }
}

impl Machine for Stalls {
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
        shared.pending.looker.doze();
        let Some(next) = self.look(&shared, now) else { return Step::Parked };
        shared.pending.looker.stay_awake();
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

    /// Has lazy batches written that have waited long enough, and says when to look again.
    fn lazy(shared: &Shared, now: Duration) -> Option<Duration> {
        let (group, since) = shared.tail.lazy(&shared.state.watermark, now)?;
        let due = since.saturating_add(shared.env.options.lazy_age);
        if now < due {
            return Some(due);
        }
        marks::hit("watch: a lazy batch has become old");
        shared.tail.want(group);
        shared.commit_here();
        Some(now.saturating_add(shared.env.options.lazy_age.max(SOONEST)))
    }

    /// Promises that everything is durable when nothing has happened for a while, and says when to look again.
    fn promise(shared: &Shared, now: Duration) -> Option<Duration> {
        let filled = shared.state.filled.load(Ordering::Relaxed);
        if shared.state.promised.load(Ordering::Acquire) >= filled {
            return None;
        }
        let (idle, idle_promise) = (shared.watch.idle_for(now), shared.env.options.idle_promise);
        if shared.state.watermark.durable() < filled || idle < idle_promise {
            return Some(now.saturating_add(idle_promise.saturating_sub(idle).max(SOONEST)));
        }
        // Without a segment to write it in there is no promise; nothing else depends on it.
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
        shared.watch.housekeeping.doze();
        let times = [Self::lazy(&shared, now), Self::promise(&shared, now)];
        let Some(next) = times.into_iter().flatten().min() else { return Step::Parked };
        shared.watch.housekeeping.stay_awake();
        Step::At(next)
    }
}
