//! Current failures of a log, besides poison.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::{
    runtime::worker::EndedMachine,
    types::{error::Error, ids::SegmentId},
};

/// A segment with damage that the scrubber found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SegmentRot {
    /// The segment.
    pub segment: SegmentId,
    /// The number of places that are damaged.
    pub damages: u64,
}

/// Failures that have not been cleared by a later success.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    pub(crate) ended: Mutex<Vec<EndedMachine>>,
    pub(crate) failing: Mutex<BTreeMap<&'static str, Error>>,
    pub(crate) rot: Mutex<BTreeMap<SegmentId, u64>>,
}

impl Faults {
    pub(crate) fn ended(&self, ended: EndedMachine) {
        let mut all = self.ended.lock();
        // Driven by hand, a machine or its clock can panic again with each step.
        if !all.iter().any(|known| known.name == ended.name) {
            all.push(ended);
        }
    }

    /// Records that a machine failed, and will try again.
    pub(crate) fn failed(&self, machine: &'static str, error: &Error) {
        self.failing.lock().insert(machine, error.clone());
    }

    pub(crate) fn succeeded(&self, machine: &'static str) {
        self.failing.lock().remove(machine);
    }

    /// Records the damages that the current or last scrub of a segment found.
    pub(crate) fn scrubbed(&self, segment: SegmentId, damages: u64) {
        let mut rot = self.rot.lock();
        if damages > 0 {
            rot.insert(segment, damages);
        } else {
            rot.remove(&segment);
        }
    }
}
