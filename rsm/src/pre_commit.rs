//! Entries that a machine is shown before they are committed, for cores that do so.

use logboom::{EntryBatch, EntryRef};

use crate::{error::Failure, machine::StateMachine};

/// A machine that prepares for entries when they are appended: it checks, locks or caches, ahead of
/// [`StateMachine::update`].
///
/// Each entry that is shown is either updated with later, or taken back first: `pre_commit` runs forward over the
/// log, `rollback` backward, and neither below what was applied. What was prepared is no part of the state: no
/// snapshot holds it, no lookup shows it, and a restart or a recovery has forgotten it.
pub trait PreCommit: StateMachine {
    /// Prepares for entries that were appended and may yet be replaced, contiguous and behind those of the call
    /// before, or behind what was applied.
    ///
    /// # Errors
    /// This replica cannot go on: nothing is called any more but [`StateMachine::close`].
    fn pre_commit(&mut self, entries: &EntryBatch) -> Result<(), Failure>;

    /// Takes the last entry that was prepared for back: it will be replaced.
    ///
    /// # Errors
    /// As [`PreCommit::pre_commit`].
    fn rollback(&mut self, entry: EntryRef<'_>) -> Result<(), Failure>;
}
