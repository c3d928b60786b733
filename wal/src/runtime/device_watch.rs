//! Monitoring of the log's own queue: when the device last began and completed a write.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::runtime::{park_flag::ParkFlag, worker::us};

/// The times of the device's last activity, and counts of its completions.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// The last activity while something is in flight (us, 0: nothing is in flight).
    waiting_since_us: AtomicU64,
    progress_us: AtomicU64,
    /// The number of completions, and the time that they took in total (us).
    answers: AtomicU64,
    answering_us: AtomicU64,
    pub(crate) housekeeping: ParkFlag,
}

impl Watch {
    /// Call when an operation is submitted. Only the committer calls it.
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

    /// Whether something is in flight.
    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting_since_us.load(Ordering::Relaxed) > 0
    }

    /// The time since the last activity, if something is in flight; zero otherwise.
    pub(crate) fn waiting(&self, now: Duration) -> Duration {
        match self.waiting_since_us.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            since => now.saturating_sub(Duration::from_micros(since)),
        }
    }

    /// The number of completions, and the time that they took in total.
    pub(crate) fn answers(&self) -> (u64, Duration) {
        let took = Duration::from_micros(self.answering_us.load(Ordering::Relaxed));
        (self.answers.load(Ordering::Relaxed), took)
    }

    pub(crate) fn idle_for(&self, now: Duration) -> Duration {
        now.saturating_sub(Duration::from_micros(self.progress_us.load(Ordering::Relaxed)))
    }
}
