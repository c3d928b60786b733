//! A consistent copy of an engine that is in use: the log's own files, then those that lie beside it, and at last the
//! name of the file with the log's identity, which makes the copy one.

use std::{sync::Arc, thread, time::Instant};

use logboom_disk::Disk;
use logboom_snapshot::Keep;
use logboom_wal::{
    CopyReport, Copying,
    mutants::{self, Mutant},
};

use crate::{
    maintenance::core::Core,
    shard_state::quarantine::Quarantine,
    types::{error::Result, ids::ShardId},
};

/// A backup that is being made, piece by piece: see [`Engine::backup_on`](crate::Engine::backup_on).
///
/// It does not keep the engine open, and goes on when that is closed. Dropped before it is finished, it removes what it
/// has made.
pub struct Backup {
    log: Copying,
    /// Until they are copied.
    _snapshots: Option<Keep>,
    quarantined: Vec<(ShardId, Quarantine)>,
    has_unknown_losses: bool,
}

/// What a backup holds.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BackupReport {
    /// The segments and bytes that were copied, and the position up to which the copy has the log.
    pub copied: CopyReport,
    /// The shards of which something is lost, in the copy as in the engine when the copy was begun.
    pub quarantined: Vec<(ShardId, Quarantine)>,
    /// In the copy as in the engine, shards that nothing is known of are held back.
    pub has_unknown_losses: bool,
}

impl Backup {
    pub(crate) fn begin(core: &Core, disk: Arc<dyn Disk>) -> Result<Self> {
        // Before the copy's moment is fixed: what is registered then must be there to be copied. What is not is copied
        // too, and removed when the copy is opened.
        let snapshots = core.snapshots.store.keep();
        let mut log = core.wal.copy_to(disk)?;
        log.add_files(snapshots.files()?);
        let shards = &core.store.shards;
        Ok(Self {
            log,
            _snapshots: (!mutants::is_on(Mutant::CopyNotKept)).then_some(snapshots),
            quarantined: shards.quarantined(),
            has_unknown_losses: shards.has_unknown_losses(),
        })
    }

    /// Copies about 1 MiB, durably; false when nothing is left but to [finish](Backup::finish).
    ///
    /// # Errors
    /// [`Error::Target`](crate::Error::Target) of the disk that is copied to, [`Error::Io`](crate::Error::Io) of the
    /// engine's own; it is the answer to every later call as well.
    pub fn step(&mut self) -> Result<bool> {
        Ok(self.log.step()?)
    }

    /// How far it is.
    pub fn progress(&self) -> CopyReport {
        self.log.report()
    }

    /// Copies what is left and makes the copy one that opens: durable on return.
    ///
    /// # Errors
    /// As [`Backup::step`]; the copy is removed.
    pub fn finish(mut self) -> Result<BackupReport> {
        while self.step()? {}
        let copied = self.log.finish()?;
        Ok(BackupReport { copied, quarantined: self.quarantined, has_unknown_losses: self.has_unknown_losses })
    }

    /// All of it, at a pace that leaves the disk to the engine for half of the time.
    pub(crate) fn run(mut self) -> Result<BackupReport> {
        loop {
            let begun = Instant::now();
            if !self.step()? {
                return self.finish();
            }
            thread::sleep(begun.elapsed());
        }
    }
}
