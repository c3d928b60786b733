//! The health of an open log.

use std::time::Duration;

use crate::{
    group_commit::log::Shared,
    runtime::{faults::SegmentRot, worker::EndedMachine},
    types::error::Error,
};

/// The current faults of the log; everything is empty if there are none.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WalHealth {
    /// The failure that poisoned the log: since then nothing is acknowledged.
    pub poisoned: Option<Error>,
    /// Threads and machines that have ended by a panic.
    pub ended: Vec<EndedMachine>,
    /// How long the oldest operation of the device has been waiting, on any thread, if that exceeds
    /// [`Options::stall_after`](crate::Options).
    pub stalled: Option<Duration>,
    /// The last failure of each machine that has not succeeded since, by name.
    pub failing: Vec<(&'static str, Error)>,
    /// Live segments in which the last scrub found damage.
    pub rot: Vec<SegmentRot>,
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
            rot: rot.iter().map(|(&segment, &damages)| SegmentRot { segment, damages }).collect(),
        }
    }

    /// How long the oldest operation of the device has been waiting; zero if there is none.
    pub(crate) fn waiting(&self) -> Duration {
        let now = self.env.clock.now();
        self.watch.waiting(now).max(self.pending.oldest(now))
    }
}
