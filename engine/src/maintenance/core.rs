//! What an open engine consists of, shared by its handles and its background machines.

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
        snapshot_files::{self, Kept},
        space_requests::{self, Room},
        verifier::Verifier,
    },
    read::store::Store,
    types::error::{Error, Result},
};

/// The names of the machines.
pub(crate) const SEAL: &str = "seal";
pub(crate) const CHECKPOINT: &str = "checkpoint";
pub(crate) const COMPACT: &str = "compact";
pub(crate) const RECLAIM: &str = "reclaim";
const ROOM: &str = "room";
const SNAPSHOTS: &str = "snapshots";
const VERIFY: &str = "verify";

/// How long a machine that failed waits before it tries again.
const RETRY: Duration = Duration::from_secs(1);

/// How soon to look again for what a caller is doing itself.
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
    pub(crate) room: Room,
    pub(crate) counts: Counts,
    pub(crate) snapshots: Kept,
    /// Held from where the record that accepts unknown losses is placed until no shard is held back for them. Taken
    /// before all other locks but the checkpointer's: the log is waited for under it, and the shards' locks are.
    pub(crate) accepting: Mutex<()>,
    closed: AtomicBool,
    /// The machines that have failed and not succeeded since, by name, each with its last failure.
    failures: Mutex<BTreeMap<&'static str, Error>>,
}

/// Background work so far.
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
        snapshots: Kept,
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
            room: Room::default(),
            counts: Counts::default(),
            snapshots,
            accepting: Mutex::new(()),
            closed: AtomicBool::new(false),
            failures: Mutex::default(),
        })
    }

    /// Has the background begin its work.
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
        self.add_machine(ROOM, space_requests::step);
        self.add_machine(SNAPSHOTS, snapshot_files::step);
    }

    /// That this is the process that opened the engine, and has not closed it.
    pub(crate) fn check_open(&self) -> Result<()> {
        self.wal.check_process()?;
        if self.closed.load(Ordering::Acquire) { Err(Error::Closed) } else { Ok(()) }
    }

    /// Has the machines look for work.
    pub(crate) fn kick(&self) {
        self.wal.worker().kick();
    }

    /// Drains, seals and checkpoints what there is, and ends the log. Later calls do nothing.
    pub(crate) fn close(&self) -> Result<()> {
        self.wal.check_process()?;
        if self.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        self.room.shut(self);
        let finished = self.finish();
        self.store.readers.stop();
        let closed = self.wal.close();
        closed?;
        finished
    }

    /// The machines whose last attempt failed, by name, and how.
    pub(crate) fn background_failures(&self) -> Vec<(&'static str, Error)> {
        self.failures.lock().iter().map(|(name, error)| (*name, error.clone())).collect()
    }

    /// So that opening again reads footers and a checkpoint, and replays next to nothing.
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

    /// The machine has done what it may have failed at before, or has nothing left to do.
    pub(crate) fn recovered(&self, machine: &'static str) {
        self.failures.lock().remove(machine);
    }
}

/// Does a step of work, unless a caller is doing that work itself: it may be waiting for the other machines.
fn unless_busy<T>(work: &Mutex<T>, now: Duration, step: impl FnOnce(&mut T) -> Result<Step>) -> Result<Step> {
    match work.try_lock() {
        Some(mut work) => step(&mut work),
        None => Ok(Step::At(now.saturating_add(BUSY))),
    }
}

/// One of the engine's machines. It does not keep the engine open.
struct Background {
    core: Weak<Core>,
    name: &'static str,
    work: fn(&Core, Duration) -> Result<Step>,
    /// After a failure: until then it does nothing, whatever the other machines do.
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
                tracing::warn!(machine = self.name, %error, "background work failed");
                core.failures.lock().insert(self.name, error);
                self.retry_at = now.saturating_add(RETRY);
                Step::At(self.retry_at)
            }
        }
    }
}
