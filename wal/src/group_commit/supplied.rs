//! Prepared segments for the log that is written, and what a failure of their supply means for it.

use crate::{
    group_commit::log::Shared,
    segments::{
        slots::Failure,
        supply::{NotAdded, PREPARE},
    },
    types::error::{Capacity, Error},
};

impl Shared {
    /// See [`Supply::hurry`](crate::segments::supply::Supply::hurry).
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::Io`]; a failed sync poisons the log besides.
    pub(crate) fn hurry(&self) -> Result<(), Error> {
        self.state.supply.hurry().map_err(|why| match why {
            NotAdded::Bound { bytes_max } => Error::Full(Capacity::Bound { bytes_max }),
            NotAdded::Failed(failure) => self.not_prepared(failure),
        })
    }

    /// See [`Supply::add`](crate::segments::supply::Supply::add).
    ///
    /// # Errors
    /// As [`Shared::hurry`].
    pub(crate) fn add_prepared(&self, slot: u32, made: Result<(), Failure>) -> Result<(), Error> {
        self.state.supply.add(slot, made).map_err(|failure| self.not_prepared(failure))
    }

    /// Takes back what a failed preparation left. Returns what it means.
    pub(crate) fn give_up(&self, slot: u32, failure: Failure) -> Error {
        self.state.supply.give_up(slot);
        self.not_prepared(failure)
    }

    /// Moves what was freed, durably, and has no reader left to the prepared ones.
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
            let error = self.beside_the_log("putting a file aside", failure);
            tracing::warn!(%error, "a file that was freed is told of by the next opening");
        }
        // Not before a failure is known: no checkpoint may leave them out that is written after a failed sync.
        self.state.supply.forget(&freed);
    }

    fn not_prepared(&self, failure: Failure) -> Error {
        let error = self.beside_the_log("preparing a segment", failure);
        self.faults.failed(PREPARE, &error);
        error
    }
}
