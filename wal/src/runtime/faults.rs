//! What has gone wrong in a log, and is still so.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::{
    runtime::worker::Ended,
    types::{error::Error, ids::SegmentId},
};

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
    pub(crate) ended: Mutex<Vec<Ended>>,
    pub(crate) failing: Mutex<BTreeMap<&'static str, Error>>,
    pub(crate) rot: Mutex<BTreeMap<SegmentId, u64>>,
}

impl Faults {
    pub(crate) fn ended(&self, ended: Ended) {
        let mut all = self.ended.lock();
        // By hand a machine, or the clock below it, can end again with each step.
        if !all.iter().any(|known| known.name == ended.name) {
            all.push(ended);
        }
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
