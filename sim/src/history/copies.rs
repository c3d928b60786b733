//! Copies of the engine, made while the history goes on, and opened beside it.

use std::sync::Arc;

use logboom::{Backup, Engine, Error, disk::SimDisk};
use logboom_wal::marks;

use super::History;
use crate::{
    check::{Check, Entries, Failure, differences},
    content,
    model::Models,
};

/// A copy that is being made.
pub(super) struct Copy {
    backup: Backup,
    disk: Arc<SimDisk>,
    /// The expected content: the log as it was when the copy was begun.
    models: Models,
    /// Whether the machine of the copy may stop.
    is_faulty: bool,
    /// Whether the log was written to since.
    is_behind: bool,
}

impl History {
    /// Begins a copy, or goes on with it.
    pub(super) fn copy(&mut self, engine: &Engine) -> Result<(), Failure> {
        let Some(mut copy) = self.copy.take() else { return self.begin_copy(engine) };
        copy.is_behind |= copy.models != *self.models();
        for _ in 0..self.choices.below(8) {
            match copy.backup.step() {
                Ok(true) => {}
                Ok(false) => return self.finish_copy(copy),
                Err(error) => return self.end_copy(copy, error),
            }
        }
        if self.choices.percent(10) {
            return self.finish_copy(copy);
        }
        self.copy = Some(copy);
        Ok(())
    }

    fn begin_copy(&mut self, engine: &Engine) -> Result<(), Failure> {
        let disk = self.world.another_disk(&mut self.choices);
        let is_faulty = self.choices.percent(30);
        if is_faulty {
            disk.halt_after(1 + self.choices.below(60));
        }
        let models = self.models().clone();
        let target: Arc<SimDisk> = Arc::clone(&disk);
        match engine.backup_on(target) {
            Ok(backup) => {
                self.copy = Some(Copy { backup, disk, models, is_faulty, is_behind: false });
                Ok(())
            }
            Err(error) => self.is_no_copy(error, is_faulty),
        }
    }

    fn finish_copy(&mut self, copy: Copy) -> Result<(), Failure> {
        let Copy { backup, disk, models, is_faulty, is_behind } = copy;
        if let Err(error) = backup.finish() {
            self.is_no_copy(error, is_faulty)?;
            return self.check_copy(&disk, &models, true);
        }
        marks::hit("copy: finished");
        marks::hit_if(is_behind, "copy: the log went on meanwhile");
        self.check_copy(&disk, &models, false)
    }

    /// Ends the copy with a failure.
    fn end_copy(&self, copy: Copy, error: Error) -> Result<(), Failure> {
        let Copy { backup, disk, models, is_faulty, .. } = copy;
        drop(backup);
        self.is_no_copy(error, is_faulty)?;
        self.check_copy(&disk, &models, true)
    }

    /// Ends the copy because the engine ends.
    pub(super) fn drop_copy(&mut self) -> Result<(), Failure> {
        let Some(Copy { backup, disk, models, .. }) = self.copy.take() else { return Ok(()) };
        if self.choices.percent(50) {
            drop(backup);
        }
        self.check_copy(&disk, &models, true)
    }

    /// Opens the copy after a power cut: it is complete, or, if it was not finished, no log.
    fn check_copy(&self, disk: &SimDisk, models: &Models, may_lack: bool) -> Result<(), Failure> {
        let world = self.world.on(disk.power_cut());
        let wrong = |what: String| Err(Failure::new(Check::Copies, what));
        let mut config = world.config.clone();
        config.create = false;
        let engine = match world.open_with(config) {
            Ok(engine) => engine,
            Err(Error::Foreign { .. }) if may_lack => {
                marks::hit("copy: cut short");
                return Ok(());
            }
            Err(error) => return wrong(format!("it does not open: {error:#}")),
        };
        if let Some(difference) = differences(&engine, models, self.shards(), Entries::Whole) {
            return wrong(difference);
        }
        for (&shard, model) in models {
            for snapshot in &model.snapshots {
                let lease = engine.snapshots().lease(logboom::ShardId(shard), snapshot.id);
                let lease = lease.map_err(|error| Failure::new(Check::Copies, format!("{snapshot:x?}: {error:#}")))?;
                let difference = lease
                    .map_or(Ok(Some("it is not there".to_owned())), |lease| content::difference(&lease, snapshot.tag));
                if difference.as_ref().ok().is_none_or(Option::is_some) {
                    return wrong(format!("{snapshot:x?}: {difference:?}"));
                }
                marks::hit("copy: a snapshot is in it");
            }
        }
        Ok(())
    }

    fn is_no_copy(&self, error: Error, is_faulty: bool) -> Result<(), Failure> {
        match error {
            Error::Target { .. } if is_faulty => Ok(()),
            Error::Io { .. } | Error::Poisoned { .. } if self.world.is_faulty => Ok(()),
            Error::Snapshot(logboom::snapshot::Error::Io { .. }) if self.world.is_faulty => Ok(()),
            Error::Full { .. } if self.world.is_tight() || self.world.is_faulty => Ok(()),
            error => Err(Failure::new(Check::Copies, format!("it fails: {error:#}"))),
        }
    }
}
