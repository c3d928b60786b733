//! `PreCommit`: a machine that sees entries before they are committed.

use logboom::{EntryBatch, EntryRef};

use crate::{error::Failure, machine::StateMachine};

/// A machine that prepares for entries when they are appended: it checks, locks or caches before
/// [`StateMachine::update`].
///
/// Each entry passed to `pre_commit` is later applied or rolled back: `pre_commit` runs forward over the log and
/// `rollback` backward, neither below the last applied entry. The preparation is not part of the state: snapshots and
/// lookups do not include it, and a restart or a recovery discards it.
pub trait PreCommit: StateMachine {
    /// Prepares for entries that were appended and may yet be replaced: contiguous, and directly behind those of the
    /// previous call or the last applied entry.
    ///
    /// # Errors
    /// Stops this replica: only [`StateMachine::close`] is called after it.
    fn pre_commit(&mut self, entries: &EntryBatch) -> Result<(), Failure>;

    /// Undoes the preparation for the last prepared entry, which will be replaced.
    ///
    /// # Errors
    /// As [`PreCommit::pre_commit`].
    fn rollback(&mut self, entry: EntryRef<'_>) -> Result<(), Failure>;
}
