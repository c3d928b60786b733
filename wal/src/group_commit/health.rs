//! What is wrong with a log.

use std::time::Duration;

use crate::{
    group_commit::log::Shared,
    runtime::{faults::Rot, worker::Ended},
    types::error::Error,
};

/// What is wrong with the log at this moment; everything empty if nothing is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WalHealth {
    /// The failure after which nothing is acknowledged any more.
    pub poisoned: Option<Error>,
    /// Threads and machines that have ended and should not.
    pub ended: Vec<Ended>,
    /// How long the device has not answered, if that is longer than [`Options::stall_after`](crate::Options): the
    /// oldest of all operations, whichever thread waits for it.
    pub stalled: Option<Duration>,
    /// Machines that have failed and not succeeded since, by name.
    pub failing: Vec<(&'static str, Error)>,
    /// Live segments in which the background reading last found something that is not what was written.
    pub rot: Vec<Rot>,
}

impl Shared {
    pub(crate) fn health_now(&self) -> WalHealth {
        let mut rot = self.faults.rot.lock();
        if !rot.is_empty() {
            let live = self.state.segments.lock();
            rot.retain(|segment, _| live.contains_key(segment));
        }
        WalHealth {
            poisoned: self.state.watermark.failure().cloned(),
            ended: self.faults.ended.lock().clone(),
            stalled: Some(self.waiting()).filter(|waiting| *waiting >= self.env.options.stall_after),
            failing: self.faults.failing.lock().iter().map(|(machine, error)| (*machine, error.clone())).collect(),
            rot: rot.iter().map(|(&segment, &damages)| Rot { segment, damages }).collect(),
        }
    }

    /// How long the device has not answered the oldest operation that is asked of it; zero if there is none.
    pub(crate) fn waiting(&self) -> Duration {
        let now = self.env.clock.now();
        self.watch.waiting(now).max(self.pending.oldest(now))
    }
}
