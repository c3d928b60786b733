//! What is wrong with a log.

use std::{collections::BTreeMap, time::Duration};

use parking_lot::Mutex;

use crate::{
    group_commit::log::Shared,
    runtime::worker::Ended,
    types::{error::Error, ids::SegmentId},
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

/// A segment in which something has rotted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rot {
    /// The segment.
    pub segment: SegmentId,
    /// In how many places.
    pub damages: u64,
}

/// What has gone wrong, besides poison, and is still so.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    ended: Mutex<Vec<Ended>>,
    failing: Mutex<BTreeMap<&'static str, Error>>,
    rot: Mutex<BTreeMap<SegmentId, u64>>,
}

impl Faults {
    pub(crate) fn ended(&self, ended: Ended) {
        self.ended.lock().push(ended);
    }

    /// A machine has failed, and will try again.
    pub(crate) fn failed(&self, machine: &'static str, error: &Error) {
        self.failing.lock().insert(machine, error.clone());
    }

    pub(crate) fn succeeded(&self, machine: &'static str) {
        self.failing.lock().remove(machine);
    }

    /// The reading that is under way, or has ended, has found so much in a segment.
    pub(crate) fn scrubbed(&self, segment: SegmentId, damages: u64) {
        let mut rot = self.rot.lock();
        if damages > 0 {
            rot.insert(segment, damages);
        } else {
            rot.remove(&segment);
        }
    }
}

impl Shared {
    pub(crate) fn health_now(&self) -> WalHealth {
        let mut rot = self.faults.rot.lock();
        if !rot.is_empty() {
            let live = self.segments.lock();
            rot.retain(|segment, _| live.contains_key(segment));
        }
        WalHealth {
            poisoned: self.watermark.failure().cloned(),
            ended: self.faults.ended.lock().clone(),
            stalled: Some(self.waiting()).filter(|waiting| *waiting >= self.options.stall_after),
            failing: self.faults.failing.lock().iter().map(|(machine, error)| (*machine, error.clone())).collect(),
            rot: rot.iter().map(|(&segment, &damages)| Rot { segment, damages }).collect(),
        }
    }

    /// How long the device has not answered the oldest operation that is asked of it; zero if there is none.
    pub(crate) fn waiting(&self) -> Duration {
        let now = self.clock.now();
        self.watch.waiting(now).max(self.pending.oldest(now))
    }
}
