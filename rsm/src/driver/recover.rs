//! Recovery: opens a driver and brings its machine to the durable state.

use std::sync::Arc;

use bytes::Bytes;
use logboom::{
    Engine, ReadError, ShardId,
    snapshot::{Lease, Manifest},
};

use super::{Driver, Options};
use crate::{
    error::{Error, Result},
    machine::StateMachine,
    machine_cell::MachineState,
    reader::SnapshotReader,
    save::{Keeping, Saving},
};

/// The state that a driver found when it was opened. The machine has applied everything up to [`Recovered::applied`];
/// entries above it are applied when the raft core says that they are committed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Recovered {
    /// The snapshot that the machine recovered from, its membership included; `None` if there is none, or if the
    /// machine has its own state and the log goes on from there.
    pub snapshot: Option<Arc<Manifest>>,
    /// The shard's hard state.
    pub hard_state: Option<Bytes>,
    /// The shard's commit hint.
    pub commit_hint: Option<Bytes>,
    /// The last index that the machine's state includes.
    pub applied: Option<u64>,
    /// The last index of the log, its boundary included.
    pub last: Option<u64>,
}

impl<M: StateMachine> Driver<M> {
    pub(super) fn open(
        engine: &Engine,
        shard: ShardId,
        mut machine: M,
        options: Options,
        saving: Saving<M>,
        keeping: Option<Keeping<M>>,
    ) -> Result<(Self, Recovered)> {
        let kept = match &keeping {
            Some(keeping) => (keeping.open)(&mut machine).map_err(|failure| Error::machine("open", failure))?,
            None => None,
        };
        let current = MachineState { machine, applied: None, membership: Bytes::new() };
        let mut driver = Self::new(engine, shard, options, current, saving);
        if keeping.is_some() {
            driver.keeping = keeping;
            // Unsynced state of a killed process may be lost in a power cut: the log follows the synced state.
            driver.sync()?;
            driver.settle_intent(kept)?;
        }
        let snapshot = driver.recover(kept)?;
        let recovered = Recovered {
            snapshot,
            hard_state: driver.shard.hard_state()?,
            commit_hint: driver.shard.commit_hint()?,
            applied: driver.applied(),
            last: driver.end(),
        };
        Ok((driver, recovered))
    }

    fn recover(&mut self, kept: Option<u64>) -> Result<Option<Arc<Manifest>>> {
        if let Some(kept) = kept
            && let Some(term) = self.continues_behind(kept)?
        {
            self.stand_at(kept, term)?;
            return Ok(None);
        }
        match self.engine.snapshots().newest(self.shard.id())? {
            Some(lease) => {
                self.check_meets(lease.manifest())?;
                self.recover_from(&lease)?;
                Ok(Some(Arc::clone(lease.manifest())))
            }
            // A log that was never compacted or reset is complete, whatever index it begins at.
            None if self.has_its_beginning() && kept.is_none() => Ok(None),
            None => Err(Error::NoSnapshot { first: self.first() }),
        }
    }

    fn has_its_beginning(&self) -> bool {
        self.shard.boundary().is_none_or(|boundary| Some(boundary.index) == self.options.begins_behind)
    }

    /// The term of the entry `kept`, if the log has it or begins right behind it.
    fn continues_behind(&self, kept: u64) -> Result<Option<u64>> {
        let last = self.end();
        if last.is_none_or(|last| kept > last) {
            return Err(Error::Ahead { applied: kept, last });
        }
        match self.shard.term(kept) {
            Ok(term) => Ok(Some(term)),
            Err(ReadError::Corrupted { .. }) => Err(logboom::Error::Quarantined { shard: self.shard.id() }.into()),
            Err(_) => Ok(None),
        }
    }

    /// Refuses a snapshot from which the log does not go on.
    fn check_meets(&self, manifest: &Manifest) -> Result<()> {
        let last = self.end();
        if last.is_none_or(|last| manifest.index > last) {
            return Err(Error::Ahead { applied: manifest.index, last });
        }
        let first = self.first();
        if manifest.index.saturating_add(1) < first {
            return Err(Error::NoSnapshot { first });
        }
        match self.shard.term(manifest.index) {
            Ok(log) if log != manifest.term => Err(Error::Term { index: manifest.index, log, state: manifest.term }),
            _ => Ok(()),
        }
    }

    /// Replaces the machine's state by a snapshot. It must not be used any more if that fails.
    pub(super) fn recover_from(&mut self, lease: &Lease) -> Result<()> {
        let manifest = lease.manifest();
        let stop = &self.options.stop;
        {
            let mut cell = self.cell.write();
            let current = cell.get()?;
            let mut reader = SnapshotReader::new(manifest.index, manifest.term, lease, stop).map_err(Error::io)?;
            current
                .machine
                .recover_from_snapshot(&mut reader, stop)
                .map_err(|failure| Error::streaming("recover_from_snapshot", failure))?;
            reader.check()?;
            current.membership = manifest.membership.clone();
        }
        self.sync()?;
        self.stand_at(manifest.index, manifest.term)
    }

    /// Records that the machine's durable state is that of the entry `index`.
    pub(super) fn stand_at(&mut self, index: u64, term: u64) -> Result<()> {
        self.cell.write().get()?.applied = Some((index, term));
        self.next = Some(index.saturating_add(1));
        self.shown = index.saturating_add(1);
        self.committed = self.committed.max(Some(index));
        self.saved = Some(index);
        self.shard.raise_applied_floor(index)?;
        Ok(())
    }

    /// Makes the state of a machine that keeps it durable; nothing for others.
    pub(super) fn sync(&self) -> Result<()> {
        match &self.keeping {
            Some(keeping) => {
                (keeping.sync)(&self.cell.read().get()?.machine).map_err(|failure| Error::machine("sync", failure))
            }
            None => Ok(()),
        }
    }
}
