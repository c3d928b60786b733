//! Opens a directory: disk, log, recovery, and the machines that run in the background.

use std::{io, path::Path, sync::Arc, time::Duration};

use logboom_disk::{Cause, Disk, DiskOptions, Facts, OpenError, Owner};
use logboom_wal::{Damage, Error as WalError, Listener, Opening, Options, RecoveryReport, Runtime};

use crate::{
    index::usage::UsageTable,
    maintenance::{checkpointer::Checkpointer, core::Core, reclaim_at_open::reclaim_at_open, snapshot_files},
    read::{
        lost::Losses,
        readers::Readers,
        store::{Source, Store},
    },
    recovery::{
        log_options::options,
        replay::{Recovered, recover},
        report::OpenReport,
    },
    shard_state::shard_map::ShardMap,
    types::{
        config::Config,
        error::{Error, Result},
        observer::{Observer, RecoveryProgress, Stall},
    },
};

/// Opens the directory that the configuration names.
pub(crate) fn disk(config: &Config) -> Result<Arc<dyn Disk>> {
    // Before the lock file is created: a directory that holds something else, or must not become a log, is not changed.
    if let Ok(there) = logboom_disk::open_read_only(&config.dir, &config.disk) {
        logboom_wal::recognise(&*there)?;
    }
    if config.create && matches!(logboom_disk::is_vacant(&config.dir), Ok(true)) {
        options(config).check_for(config.segment_bytes)?;
    }
    let mut options = config.disk.clone();
    options.create = config.create && config.disk.create;
    logboom_disk::open(&config.dir, &options).map_err(open_error)
}

/// [`disk`], without a lock and without write access.
pub(crate) fn disk_read_only(config: &Config) -> Result<Arc<dyn Disk>> {
    logboom_disk::open_read_only(&config.dir, &config.disk).map_err(open_error)
}

/// Opens an absent or empty directory for a copy of a log.
pub(crate) fn vacant_disk(dir: &Path) -> Result<Arc<dyn Disk>> {
    let of_target = |error| Error::Target { error: Cause::from(error) };
    match logboom_disk::is_vacant(dir) {
        Ok(true) => logboom_disk::open(dir, &DiskOptions::default()).map_err(open_error).map_err(of_target),
        Ok(false) => Err(of_target(Error::Foreign { dir: Some(dir.into()), what: "it is not empty".to_owned() })),
        Err(error) => Err(of_target(open_error(error))),
    }
}

/// Recovers the log in `disk` and begins an epoch in it.
pub(crate) fn log(disk: Arc<dyn Disk>, config: &Config, runtime: Runtime) -> Result<(Arc<Core>, OpenReport)> {
    config.check()?;
    let timer = OpenTimer::now(&runtime);
    let readers = Readers::new(matches!(runtime, Runtime::Threads));
    let losses: Arc<Losses> = Arc::default();
    let mut opening = logboom_wal::open(disk, options_with_listener(config, &losses), runtime)?;
    let Recovered { shards, usage, checkpoint_bytes, outdated, suspects } = recover(&mut opening)?;
    let (replay_from, recovery) = (opening.replay_from(), opening.report().clone());
    suspects.into_iter().chain(recovery.damages.iter().map(|damage| damage.segment)).for_each(|id| losses.suspect(id));
    let wal = opening.begin()?;
    // Before a checkpoint can cover these segments: the next opening would use their footers then.
    outdated.into_iter().try_for_each(|segment| wal.remove_footer(segment))?;
    let snapshots = snapshot_files::open(wal.disk(), &wal, &shards, config)?;
    let report = timer.report(wal.facts().clone(), recovery, checkpoint_bytes, &shards, wal.segments().len());
    warn_of_losses(&report);
    let store = Store::new(Source::Log(wal.clone()), shards, config.index_bytes, readers, losses);
    let checkpointer = Checkpointer::new(replay_from, checkpoint_bytes);
    let core = Core::new(wal, store, usage, checkpointer, snapshots);
    reclaim_at_open(&core)?;
    core.add_machines(config.reclaim_in_background);
    Ok((core, report))
}

/// Traces the losses that are known since an earlier opening as well: nothing reads their damage again.
fn warn_of_losses(report: &OpenReport) {
    for (shard, quarantine) in &report.quarantined {
        tracing::warn!(shard = shard.0, "the shard is in quarantine: {quarantine}");
    }
    if report.has_unknown_losses {
        tracing::warn!("shards without any known record are held back: durable records are lost");
    }
}

/// Recovers the log in `disk` without changing it.
pub(crate) fn view(disk: Arc<dyn Disk>, config: &Config) -> Result<(Arc<Store>, OpenReport, UsageTable)> {
    let timer = OpenTimer::now(&Runtime::Threads);
    let facts = disk.facts().clone();
    let losses: Arc<Losses> = Arc::default();
    let mut opening: Opening = logboom_wal::open_read_only(disk, options_with_listener(config, &losses))?;
    let Recovered { shards, usage, checkpoint_bytes, .. } = recover(&mut opening)?;
    let recovery = opening.report().clone();
    let reader = opening.into_reader()?;
    let report = timer.report(facts, recovery, checkpoint_bytes, &shards, reader.segments().len());
    let source = Source::Reader(Box::new(reader));
    Ok((Store::new(source, shards, config.index_bytes, Readers::new(true), losses), report, usage))
}

/// [`options`], with a listener that records damage in `losses` and notifies the observer.
fn options_with_listener(config: &Config, losses: &Arc<Losses>) -> Options {
    let listener = Arc::new(Relay { observer: config.observer.clone(), losses: Arc::clone(losses) });
    Options { listener, ..options(config) }
}

/// Maps each failure to open a directory to an error that a caller can act on.
fn open_error(error: OpenError) -> Error {
    let what = format!("{error:#}");
    match error {
        OpenError::Locked { owner, dir } => Error::Locked { dir, owner: owner.map(in_use_by) },
        OpenError::NotADirectory { .. } | OpenError::NotFound { .. } => Error::Foreign { dir: None, what },
        OpenError::Permission { what, source } => Error::Permission { what: what.into(), error: source.into() },
        OpenError::ReadOnly { dir, source } => {
            Error::ReadOnly { what: dir.display().to_string().into(), error: source.into() }
        }
        OpenError::Backend { .. } => Error::Config { reason: what },
        OpenError::Io { what, source } => Error::io(what, source),
        other => Error::io("opening the directory", io::Error::other(other)),
    }
}

/// The process that has the log open, and the remedy if it is this one.
fn in_use_by(owner: Owner) -> String {
    match owner {
        Owner::This => format!("{owner}: close it, and drop its engine, shard and snapshot handles"),
        other => other.to_string(),
    }
}

/// Forwards the log's events to the observer, and damage to the losses as well.
#[derive(Debug)]
struct Relay {
    observer: Option<Arc<dyn Observer>>,
    losses: Arc<Losses>,
}

impl Listener for Relay {
    fn recovering(&self, done: u64, total: u64) {
        if let Some(observer) = &self.observer {
            observer.recovering(RecoveryProgress::new(done, total));
        }
    }

    fn stalled(&self, waiting: Duration) {
        if let Some(observer) = &self.observer {
            observer.stalled(Stall::new(waiting));
        }
    }

    fn damaged(&self, damage: &Damage) {
        self.losses.suspect(damage.segment);
        if let Some(observer) = &self.observer {
            observer.damaged(damage);
        }
    }

    fn poisoned(&self, error: &WalError) {
        if let Some(observer) = &self.observer {
            observer.poisoned(&error.clone().into());
        }
    }

    fn panicked(&self, what: &str, message: &str) {
        if let Some(observer) = &self.observer {
            observer.panicked(what, message);
        }
    }
}

/// When opening began; `None` with a simulated clock, which does not advance during opening.
struct OpenTimer(Option<std::time::Instant>);

impl OpenTimer {
    fn now(runtime: &Runtime) -> Self {
        Self(matches!(runtime, Runtime::Threads).then(std::time::Instant::now))
    }

    fn elapsed(&self) -> Duration {
        self.0.map_or(Duration::ZERO, |timer| timer.elapsed())
    }

    /// The report of an opening that ends now.
    fn report(
        &self,
        disk: Facts,
        recovery: RecoveryReport,
        checkpoint_bytes: u64,
        shards: &ShardMap,
        segments: usize,
    ) -> OpenReport {
        OpenReport {
            disk,
            recovery,
            checkpoint_bytes: Some(checkpoint_bytes).filter(|&bytes| bytes > 0),
            shards: shards.len() as usize,
            segments,
            quarantined: shards.quarantined(),
            has_unknown_losses: shards.has_unknown_losses(),
            elapsed: self.elapsed(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A new option that is not mapped does not compile, options that are swapped fail.
    #[test]
    fn every_option_of_the_log_is_passed_on() {
        let seconds = Duration::from_secs;
        let config = Config {
            create: false,
            segment_bytes: 1,
            reserve_segments: 2,
            space_bytes_max: Some(3),
            cache_bytes: 4,
            read_ahead_bytes: 5,
            admission_bytes: 6,
            lazy_age: seconds(7),
            idle_promise: seconds(8),
            stall_after: seconds(9),
            scrub_period: Some(seconds(10)),
            ..Config::new("unused")
        };
        let Options {
            segment_bytes,
            reserve_segments,
            space_bytes_max,
            cache_bytes,
            read_ahead_bytes,
            admission_bytes,
            lazy_age,
            idle_promise,
            stall_after,
            scrub_period,
            footer: _,
            create,
            listener: _,
        } = options(&config);
        assert!(!create);
        assert_eq!((segment_bytes, reserve_segments, space_bytes_max), (1, 2, 3));
        assert_eq!((cache_bytes, read_ahead_bytes, admission_bytes), (4, 5, 6));
        assert_eq!([lazy_age, idle_promise, stall_after], [7, 8, 9].map(seconds));
        assert_eq!(scrub_period, Some(seconds(10)));
    }
}
