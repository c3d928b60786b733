//! Passing entries to `PreCommit` before they are committed.

use std::ops::Range;

use logboom::EntryBatch;

use super::Driver;
use crate::{
    error::{Error, Result},
    pre_commit::PreCommit,
};

/// Entries per read while rolling back.
const BACK_ENTRIES: u64 = 256;

impl<M: PreCommit> Driver<M> {
    /// Passes the entries that were appended since the last call to
    /// [`PreCommit::pre_commit`](crate::PreCommit::pre_commit), and returns the last index passed.
    ///
    /// # Errors
    /// [`Error::Read`], which can be retried; [`Error::Machine`] stops the driver; [`Error::Halted`].
    pub fn pre_commit(&mut self) -> Result<Option<u64>> {
        self.check()?;
        loop {
            let start = self.shown.max(self.next.unwrap_or_else(|| self.first()));
            let end = self.shard.last().map_or(start, |last| last.saturating_add(1));
            if start >= end {
                return Ok(self.shown.checked_sub(1));
            }
            let entries = self.shard.entries(start..end, self.options.update_bytes)?;
            self.show(&entries).map_err(|error| self.halt(error))?;
        }
    }

    /// Rolls back, last first, the entries above `index` that the machine prepared for. Call it before the log is
    /// truncated after `index`, or overwritten from the next entry on.
    ///
    /// # Errors
    /// As [`Driver::pre_commit`]; [`Error::Rewound`] when entries above `index` are applied; nothing was rolled back
    /// then.
    pub fn rollback_after(&mut self, index: u64) -> Result<()> {
        self.check()?;
        let keep = index.saturating_add(1);
        if let Some(applied) = self.applied().filter(|applied| *applied > index) {
            return Err(Error::Rewound { applied, last: Some(index) });
        }
        while self.shown > keep {
            let start = keep.max(self.shown.saturating_sub(BACK_ENTRIES)).max(self.first());
            if start >= self.shown {
                self.shown = keep;
                break;
            }
            self.roll_back(start..self.shown)?;
        }
        Ok(())
    }

    fn show(&mut self, entries: &EntryBatch) -> Result<()> {
        let machine = |failure| Error::machine("pre_commit", failure);
        self.cell.write().get()?.machine.pre_commit(entries).map_err(machine)?;
        self.shown = entries.first().map_or(self.shown, |first| first.saturating_add(entries.len() as u64));
        Ok(())
    }

    /// Rolls back the entries of `range`, the last first.
    fn roll_back(&mut self, range: Range<u64>) -> Result<()> {
        let mut batches = Vec::new();
        let mut next = range.start;
        while next < range.end {
            let batch = self.shard.entries(next..range.end, u64::MAX)?;
            next = next.saturating_add(batch.len() as u64);
            batches.push(batch);
        }
        let entries: Vec<_> = batches.iter().flatten().collect();
        let undone = {
            let mut cell = self.cell.write();
            let machine = &mut cell.get()?.machine;
            entries.iter().rev().try_for_each(|entry| machine.rollback(*entry))
        };
        undone.map_err(|failure| self.halt(Error::machine("rollback", failure)))?;
        self.shown = range.start;
        Ok(())
    }
}
