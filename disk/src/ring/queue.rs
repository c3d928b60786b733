//! The queue of the ring backend.

use std::{fmt, io, sync::Arc, time::Instant};

use super::{alarm::Alarm, driver::Driver, setup::Issuer};
use crate::{
    disk::{Completion, Op, Queue, Wait, Wake},
    facts::Geometry,
    lock::DirLock,
    stats::Counters,
};

/// A queue over a ring, used by the thread that made it or by threads one after the other. It keeps the directory
/// locked.
pub(crate) struct RingQueue {
    driver: Driver,
    alarm: Arc<Alarm>,
}

impl RingQueue {
    pub(crate) fn new(
        depth: u32,
        issuer: Issuer,
        geometry: Geometry,
        lock: Option<Arc<DirLock>>,
        counters: Arc<Counters>,
    ) -> io::Result<Self> {
        let driver = Driver::new(depth, issuer, geometry, lock, counters)?;
        Ok(RingQueue { driver, alarm: Arc::new(Alarm::new()?) })
    }

    /// Waits until something has completed, the alarm rings, or the time is up.
    fn wait(&mut self, wait: Wait) {
        let deadline = match wait {
            Wait::No => return,
            Wait::Forever => None,
            Wait::For(duration) => Instant::now().checked_add(duration),
        };
        // In a forked child nothing completes, and waiting for it would have no end.
        while self.driver.is_at_home() && self.driver.done().is_empty() && !self.alarm.take() {
            let wait = match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                None => Wait::Forever,
                Some(left) if left.is_zero() => return,
                Some(left) => Wait::For(left),
            };
            self.driver.watch(&self.alarm);
            self.alarm.guard(|| self.driver.enter(wait));
        }
    }
}

impl Queue for RingQueue {
    fn submit(&mut self, op: Op) {
        self.driver.submit(op);
    }

    fn reap(&mut self, wait: Wait, completions: &mut Vec<Completion>) {
        self.driver.collect();
        self.wait(wait);
        // However the wait ended, ready and continued operations are submitted when this returns.
        self.driver.enter(Wait::No);
        completions.append(self.driver.done());
    }

    fn in_flight(&self) -> usize {
        self.driver.in_flight()
    }

    fn waker(&self) -> Arc<dyn Wake> {
        Arc::clone(&self.alarm) as Arc<dyn Wake>
    }
}

impl fmt::Debug for RingQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RingQueue").field("in_flight", &self.in_flight()).finish_non_exhaustive()
    }
}
