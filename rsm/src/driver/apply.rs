//! Applying: from committed entries to outputs.

use std::ops::Range;

use logboom::EntryBatch;

use super::Driver;
use crate::{
    error::{Error, Result},
    machine::StateMachine,
};

/// Applied entries and the machine's outputs.
#[derive(Debug)]
#[non_exhaustive]
pub struct Applied<O> {
    /// The entries, a raft core's own among them.
    pub entries: EntryBatch,
    /// One output for each, in order.
    pub outputs: Vec<O>,
}

impl<M: StateMachine> Driver<M> {
    /// Marks the entries up to and including `index` as committed. The entries may arrive later; a smaller index than
    /// before has no effect.
    pub fn commit(&mut self, index: u64) {
        self.committed = self.committed.max(Some(index));
    }

    /// Applies the next entries that are committed and durable, as many as one update takes; `None` if there are none.
    /// Call it until it returns `None`.
    ///
    /// Waits while a blocking snapshot is being saved. On return lookups see the new state.
    ///
    /// # Errors
    /// [`Error::Read`], which can be retried. [`Error::Machine`], [`Error::Outputs`], [`Error::Rewound`] and
    /// [`Error::Term`] stop the driver; [`Error::Halted`].
    pub fn apply(&mut self) -> Result<Option<Applied<M::Output>>> {
        self.check()?;
        if let Err(error) = self.check_history() {
            return Err(self.halt(error));
        }
        let range = self.applicable();
        if range.is_empty() {
            return Ok(None);
        }
        let entries = self.shard.entries(range, self.options.update_bytes)?;
        let outputs = self.update(&entries).map_err(|error| self.halt(error))?;
        Ok(Some(Applied { entries, outputs }))
    }

    /// Whether there is something to apply.
    pub fn is_behind(&self) -> bool {
        self.halted.is_none() && !self.applicable().is_empty()
    }

    /// Waits until the entries that are committed and in the log are durable, so that they can be applied.
    ///
    /// # Errors
    /// [`Error::Engine`].
    pub fn wait_durable(&self) -> Result<()> {
        let last = self.committed.min(self.shard.last());
        if last > self.applied() && last > self.shard.durable() {
            self.engine.barrier()?.wait()?;
        }
        Ok(())
    }

    /// The entries that are committed, durable and not applied, half-open.
    fn applicable(&self) -> Range<u64> {
        let start = self.next.unwrap_or_else(|| self.first());
        let last = self.committed.min(self.shard.durable());
        start..last.map_or(start, |last| last.saturating_add(1)).max(start)
    }

    fn update(&mut self, entries: &EntryBatch) -> Result<Vec<M::Output>> {
        let Some(first) = entries.first() else { return Ok(Vec::new()) };
        let end = first.saturating_add(entries.len() as u64);
        let Some(last) = entries.get(end.saturating_sub(1)) else { return Ok(Vec::new()) };
        let outputs = {
            let mut cell = self.cell.write();
            let current = cell.get()?;
            let outputs = current.machine.update(entries).map_err(|failure| Error::machine("update", failure))?;
            current.applied = Some((last.index, last.term));
            outputs
        };
        if outputs.len() != entries.len() {
            return Err(Error::Outputs { expected: entries.len(), got: outputs.len() });
        }
        self.next = Some(end);
        self.shown = self.shown.max(end);
        self.sizes.add(first..end, entries.payload_bytes());
        self.shard.raise_applied_floor(last.index)?;
        Ok(outputs)
    }

    /// Refuses a log that lacks applied entries.
    fn check_history(&self) -> Result<()> {
        let Some((applied, state)) = self.cell.read().get()?.applied else { return Ok(()) };
        let last = self.end();
        if last.is_none_or(|last| last < applied) {
            return Err(Error::Rewound { applied, last });
        }
        match self.shard.term(applied) {
            Ok(log) if log != state => Err(Error::Term { index: applied, log, state }),
            _ => Ok(()),
        }
    }
}
