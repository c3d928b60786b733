//! Preparation of segments for an open log, and the handling of its failures.

use crate::{
    group_commit::log::Shared,
    segments::{
        slots::Failure,
        supply::{NotAdded, PREPARE},
    },
    types::{
        error::Error,
        ids::SegmentId,
        mutants::{Mutant, unless},
    },
};

impl Shared {
    /// See [`Supply::allocate_now`](crate::segments::supply::Supply::allocate_now).
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::Io`]; a failed sync also poisons the log.
    pub(crate) fn allocate_now(&self) -> Result<(), Error> {
        self.state.supply.allocate_now().map_err(|why| match why {
            NotAdded::Bound(capacity) => Error::Full { capacity, error: None },
            NotAdded::Failed(failure) => self.not_prepared(failure),
        })
    }

    /// See [`Supply::add`](crate::segments::supply::Supply::add).
    ///
    /// # Errors
    /// As [`Shared::allocate_now`].
    pub(crate) fn add_prepared(&self, slot: u32, made: Result<(), Failure>) -> Result<(), Error> {
        self.state.supply.add(slot, made).map_err(|failure| self.not_prepared(failure))
    }

    /// Removes the file of a failed preparation, and returns the error.
    pub(crate) fn preparation_failed(&self, slot: u32, failure: Failure) -> Error {
        self.state.supply.remove_prefill(slot);
        self.not_prepared(failure)
    }

    /// Moves segments from the live ones to the supply, which recycles them when `group`, which holds the record that
    /// frees them, is durable. The live ones stay locked meanwhile: see [`State`](super::state::State).
    pub(crate) fn retire(&self, group: u64, segments: &[SegmentId]) {
        let mut live = self.state.segments.lock();
        for segment in segments.iter().filter_map(|id| live.remove(id)) {
            self.state.supply.retire(group, segment);
        }
    }

    /// Moves freed segments to the prepared ones, if their freeing is durable and no reader is left.
    pub(crate) fn recycle(&self) {
        let durable = self.state.watermark.durable();
        self.remove_odd(durable);
        self.state.supply.recycle(durable);
    }

    /// See [`Supply::remove_odd`](crate::segments::supply::Supply::remove_odd).
    pub(crate) fn remove_odd(&self, durable: u64) {
        let freed = self.state.supply.odd_freed(durable);
        if freed.is_empty() {
            return;
        }
        if let Err(failure) = self.state.supply.remove_odd(&freed) {
            let error = self.side_failure("putting a file aside", failure);
            tracing::warn!(
                error = format_args!("{error:#}"),
                "a freed file could not be removed, the next opening reports it"
            );
        }
        // Only after a failure is known: a checkpoint that is written after a failed sync must still name them.
        self.state.supply.forget(&freed);
    }

    fn not_prepared(&self, failure: Failure) -> Error {
        // A sync that fails here may have hidden the failure of one of the log's own writes.
        let is_the_logs = unless(Mutant::SupplyPoisonMissed, || true, || false);
        let failure = if is_the_logs { failure } else { Failure::Write(failure.into_error()) };
        let error = self.side_failure("preparing a segment", failure);
        self.faults.failed(PREPARE, &error);
        error
    }
}
