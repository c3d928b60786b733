//! A consistent copy of an engine in use. The files of the log are copied first, then the snapshots; the file with the
//! log's identity gets its name last, which makes the copy a log.

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

/// A backup in progress: see [`Engine::backup_on`](crate::Engine::backup_on).
///
/// It does not keep the engine open, and can be continued after that is closed. Dropping it before
/// [`Backup::finish`] removes its files.
#[must_use = "what was copied is removed unless the backup is finished"]
pub struct Backup {
    log: Copying,
    /// Keeps the snapshots' files until they are copied.
    _snapshots: Option<Keep>,
    quarantined: Vec<(ShardId, Quarantine)>,
    has_unknown_losses: bool,
}

/// The contents of a backup.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BackupReport {
    /// The segments and bytes copied, and the position in the log up to which the copy reaches.
    pub copied: CopyReport,
    /// The shards that had lost something when the copy began, in the engine and in the copy.
    pub quarantined: Vec<(ShardId, Quarantine)>,
    /// Whether shards without any known record are held back, in the engine and in the copy.
    pub has_unknown_losses: bool,
}

impl Backup {
    pub(crate) fn begin(core: &Core, disk: Arc<dyn Disk>) -> Result<Self> {
        // Before the contents are fixed: the file of every snapshot that is registered then must still exist. Files of
        // other snapshots are copied too, and removed when the copy is opened.
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

    /// Copies about 1 MiB; durable on return. Returns false when only [`Backup::finish`] is left.
    ///
    /// # Errors
    /// [`Error::Target`](crate::Error::Target) for the disk that is copied to, [`Error::Io`](crate::Error::Io) for the
    /// engine's own. Every later call fails with the same error.
    pub fn step(&mut self) -> Result<bool> {
        Ok(self.log.step()?)
    }

    /// The segments and bytes copied so far.
    pub fn progress(&self) -> CopyReport {
        self.log.report()
    }

    /// Copies the rest and completes the copy, which can be opened then. Durable on return.
    ///
    /// # Errors
    /// As [`Backup::step`]; the copy is removed.
    pub fn finish(mut self) -> Result<BackupReport> {
        while self.step()? {}
        let copied = self.log.finish()?;
        Ok(BackupReport { copied, quarantined: self.quarantined, has_unknown_losses: self.has_unknown_losses })
    }

    /// Makes all steps, at a pace that leaves the disk to the engine for half of the time.
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
