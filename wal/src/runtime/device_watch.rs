//! Whether the device answers: when it was last asked, and last heard of.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::runtime::{asleep::Asleep, worker::us};

/// When the device last began or ended something.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// When it was last heard of while something was in flight (us, 0: nothing is in flight).
    waiting_since_us: AtomicU64,
    progress_us: AtomicU64,
    /// How often it has answered, and how long that took in all (us).
    answers: AtomicU64,
    answering_us: AtomicU64,
    pub(crate) housekeeping: Asleep,
}

impl Watch {
    /// Something was asked of it. Called by the one committer alone.
    pub(crate) fn begin(&self, now: Duration) {
        if self.waiting_since_us.load(Ordering::Relaxed) == 0 {
            self.waiting_since_us.store(us(now), Ordering::Relaxed);
        }
    }

    pub(crate) fn progress(&self, now: Duration, idle: bool) {
        let since = self.waiting_since_us.load(Ordering::Relaxed);
        if since > 0 {
            self.answers.fetch_add(1, Ordering::Relaxed);
            self.answering_us.fetch_add(us(now).saturating_sub(since), Ordering::Relaxed);
        }
        self.progress_us.store(us(now), Ordering::Relaxed);
        self.waiting_since_us.store(if idle { 0 } else { us(now) }, Ordering::Relaxed);
    }

    /// Something is in flight.
    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting_since_us.load(Ordering::Relaxed) > 0
    }

    /// How long the device has not answered.
    pub(crate) fn waiting(&self, now: Duration) -> Duration {
        match self.waiting_since_us.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            since => now.saturating_sub(Duration::from_micros(since)),
        }
    }

    /// How often the device has answered, and how long that took in all.
    pub(crate) fn answers(&self) -> (u64, Duration) {
        let took = Duration::from_micros(self.answering_us.load(Ordering::Relaxed));
        (self.answers.load(Ordering::Relaxed), took)
    }

    pub(crate) fn idle_for(&self, now: Duration) -> Duration {
        now.saturating_sub(Duration::from_micros(self.progress_us.load(Ordering::Relaxed)))
    }
}
