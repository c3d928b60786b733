//! The state of an open engine, which its handles and background machines share.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use logboom_wal::{Machine, Step, Wal};
use parking_lot::Mutex;

use crate::{
    encoding::buffers::BufferPool,
    index::usage::UsageTable,
    maintenance::{
        checkpointer::Checkpointer,
        compact,
        reclaim::Reclaimer,
        seal::Sealer,
        snapshot_files::{self, SnapshotFiles},
        space_requests::{self, SpaceRequests},
        verifier::Verifier,
    },
    read::store::Store,
    types::error::{Error, Result},
};

/// The names of the machines, as health and errors report them.
pub(crate) const SEAL: &str = "seal";
pub(crate) const CHECKPOINT: &str = "checkpoint";
pub(crate) const COMPACT: &str = "compact";
pub(crate) const RECLAIM: &str = "reclaim";
const SPACE_REQUESTS: &str = "room";
const SNAPSHOTS: &str = "snapshots";
const VERIFY: &str = "verify";

/// How long a machine that failed waits before it tries again.
const RETRY: Duration = Duration::from_secs(1);

/// How soon a machine tries again whose work a caller is doing.
const BUSY: Duration = Duration::from_millis(10);

/// See the module.
pub(crate) struct Core {
    pub(crate) wal: Wal,
    pub(crate) store: Arc<Store>,
    pub(crate) usage: UsageTable,
    pub(crate) pool: Arc<BufferPool>,
    pub(crate) sealer: Mutex<Sealer>,
    pub(crate) checkpointer: Mutex<Checkpointer>,
    pub(crate) reclaimer: Mutex<Reclaimer>,
    pub(crate) verifier: Mutex<Verifier>,
    pub(crate) space_requests: SpaceRequests,
    pub(crate) counts: Counts,
    pub(crate) snapshots: SnapshotFiles,
    /// Held while unknown losses are accepted: from the placing of the record until no shard is held back. Taken before
    /// all other locks but the checkpointer's: its holder waits for the log, and takes shards' locks.
    pub(crate) accepting: Mutex<()>,
    closed: AtomicBool,
    /// The last failure of each machine that has not succeeded since, by name.
    failures: Mutex<BTreeMap<&'static str, Error>>,
}

/// Counts since the engine was opened.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) batches: AtomicU64,
    pub(crate) sealed: AtomicU64,
    pub(crate) checkpoints: AtomicU64,
    pub(crate) retired: AtomicU64,
    /// Segments whose live entries were moved.
    pub(crate) emptied: AtomicU64,
}

impl Core {
    pub(crate) fn new(
        wal: Wal,
        store: Arc<Store>,
        usage: UsageTable,
        checkpointer: Checkpointer,
        snapshots: SnapshotFiles,
    ) -> Arc<Self> {
        Arc::new(Self {
            wal,
            store,
            usage,
            pool: Arc::default(),
            sealer: Mutex::default(),
            checkpointer: Mutex::new(checkpointer),
            reclaimer: Mutex::default(),
            verifier: Mutex::default(),
            space_requests: SpaceRequests::default(),
            counts: Counts::default(),
            snapshots,
            accepting: Mutex::new(()),
            closed: AtomicBool::new(false),
            failures: Mutex::default(),
        })
    }

    /// Starts the machines.
    pub(crate) fn add_machines(self: &Arc<Self>, reclaims: bool) {
        self.add_machine(SEAL, |core, now| unless_busy(&core.sealer, now, |sealer| sealer.step(core, now)));
        self.add_machine(CHECKPOINT, |core, now| {
            unless_busy(&core.checkpointer, now, |checkpointer| checkpointer.step(core, now))
        });
        self.add_machine(COMPACT, compact::step);
        if reclaims {
            self.add_machine(RECLAIM, |core, now| {
                unless_busy(&core.reclaimer, now, |reclaimer| reclaimer.step(core, now))
            });
        }
        self.add_machine(VERIFY, |core, now| unless_busy(&core.verifier, now, |verifier| verifier.step(core, now)));
        self.add_machine(SPACE_REQUESTS, space_requests::step);
        self.add_machine(SNAPSHOTS, snapshot_files::step);
    }

    /// Fails if the engine is closed, or this is a forked child of the process that opened it.
    pub(crate) fn check_open(&self) -> Result<()> {
        self.wal.check_process()?;
        if self.closed.load(Ordering::Acquire) { Err(Error::Closed) } else { Ok(()) }
    }

    /// Wakes the machines to look for work.
    pub(crate) fn kick(&self) {
        self.wal.worker().kick();
    }

    /// Waits until all batches are durable, seals, writes a checkpoint and closes the log. Later calls do nothing.
    pub(crate) fn close(&self) -> Result<()> {
        self.wal.check_process()?;
        if self.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        self.space_requests.close(self);
        let finished = self.finish();
        self.store.readers.stop();
        let closed = self.wal.close();
        closed?;
        finished
    }

    /// The names of the machines whose last attempt failed, with the errors.
    pub(crate) fn background_failures(&self) -> Vec<(&'static str, Error)> {
        self.failures.lock().iter().map(|(name, error)| (*name, error.clone())).collect()
    }

    /// Seals and checkpoints, so that the next opening replays next to nothing.
    fn finish(&self) -> Result<()> {
        self.wal.barrier().wait()?;
        self.reclaimer.lock().end(self);
        let sealed = self.sealer.lock().finish(self);
        let checkpointed = self.checkpointer.lock().finish(self);
        sealed.and(checkpointed)
    }

    fn add_machine(self: &Arc<Self>, name: &'static str, work: fn(&Core, Duration) -> Result<Step>) {
        let retry_at = Duration::ZERO;
        self.wal.worker().add(Box::new(Background { core: Arc::downgrade(self), name, work, retry_at }));
    }

    /// Clears the machine's last failure: it has succeeded since, or has nothing left to do.
    pub(crate) fn recovered(&self, machine: &'static str) {
        self.failures.lock().remove(machine);
    }
}

/// Does a step, unless a caller holds `work`: it may be waiting for the other machines, so the step must not block.
fn unless_busy<T>(work: &Mutex<T>, now: Duration, step: impl FnOnce(&mut T) -> Result<Step>) -> Result<Step> {
    match work.try_lock() {
        Some(mut work) => step(&mut work),
        None => Ok(Step::At(now.saturating_add(BUSY))),
    }
}

/// A machine of the engine. Its reference to the engine is weak.
struct Background {
    core: Weak<Core>,
    name: &'static str,
    work: fn(&Core, Duration) -> Result<Step>,
    /// It does nothing before this time, after a failure.
    retry_at: Duration,
}

impl Machine for Background {
    fn name(&self) -> &'static str {
        self.name
    }

    fn step(&mut self, now: Duration) -> Step {
        match self.core.upgrade() {
            Some(core) if core.check_open().is_ok() => self.work(&core, now),
            _ => Step::Done,
        }
    }
}

impl Background {
    fn work(&mut self, core: &Core, now: Duration) -> Step {
        if now < self.retry_at {
            return Step::At(self.retry_at);
        }
        match (self.work)(core, now) {
            Ok(step) => {
                if step == Step::Parked {
                    core.recovered(self.name);
                }
                step
            }
            Err(error) => {
                tracing::warn!(machine = self.name, error = format_args!("{error:#}"), "background work failed");
                core.failures.lock().insert(self.name, error);
                self.retry_at = now.saturating_add(RETRY);
                Step::At(self.retry_at)
            }
        }
    }
}
