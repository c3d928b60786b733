//! What an open engine consists of, shared by its handles and its background machines.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use logboom_wal::{Machine, Step, Wal};
use parking_lot::Mutex;

use crate::{
    Error, OpenReport, Result,
    buffers::BufferPool,
    checkpointer::Checkpointer,
    compact,
    lost::Verifier,
    reclaim::Reclaimer,
    room::{self, Room},
    seal::Sealer,
    snapshots::{self, Kept},
    store::Store,
    tally::Tallies,
};

/// How long a machine that failed waits before it tries again.
const RETRY: Duration = Duration::from_secs(1);

/// How soon to look again for what a caller is doing itself.
const BUSY: Duration = Duration::from_millis(10);

/// See the module.
pub(crate) struct Core {
    pub(crate) wal: Wal,
    pub(crate) store: Arc<Store>,
    pub(crate) tallies: Tallies,
    pub(crate) pool: Arc<BufferPool>,
    pub(crate) report: OpenReport,
    pub(crate) sealer: Mutex<Sealer>,
    pub(crate) checkpointer: Mutex<Checkpointer>,
    pub(crate) reclaimer: Mutex<Reclaimer>,
    pub(crate) verifier: Mutex<Verifier>,
    pub(crate) room: Room,
    pub(crate) counts: Counts,
    pub(crate) snapshots: Kept,
    /// Held from where the record that releases unknown shards is placed until they are released. Never waited under.
    pub(crate) releasing: Mutex<()>,
    closed: AtomicBool,
    /// The last failure of background work that has not succeeded since.
    background: Mutex<Option<Error>>,
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
    /// Runs that were handed in again.
    pub(crate) healed: AtomicU32,
}

impl Core {
    pub(crate) fn new(
        wal: Wal,
        store: Arc<Store>,
        tallies: Tallies,
        report: OpenReport,
        checkpointer: Checkpointer,
        snapshots: Kept,
        reclaims: bool,
    ) -> Arc<Self> {
        let core = Arc::new(Self {
            wal,
            store,
            tallies,
            pool: Arc::default(),
            report,
            sealer: Mutex::default(),
            checkpointer: Mutex::new(checkpointer),
            reclaimer: Mutex::default(),
            verifier: Mutex::default(),
            room: Room::default(),
            counts: Counts::default(),
            snapshots,
            releasing: Mutex::new(()),
            closed: AtomicBool::new(false),
            background: Mutex::new(None),
        });
        core.add_machine("seal", |core, now| unless_busy(&core.sealer, now, |sealer| sealer.step(core, now)));
        core.add_machine("checkpoint", |core, now| {
            unless_busy(&core.checkpointer, now, |checkpointer| checkpointer.step(core, now))
        });
        core.add_machine("compact", compact::step);
        if reclaims {
            core.add_machine("reclaim", |core, now| {
                unless_busy(&core.reclaimer, now, |reclaimer| reclaimer.step(core, now))
            });
        }
        core.add_machine("verify", |core, now| unless_busy(&core.verifier, now, |verifier| verifier.step(core, now)));
        core.add_machine("room", room::step);
        core.add_machine("snapshots", snapshots::step);
        core
    }

    pub(crate) fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) { Err(Error::Closed) } else { Ok(()) }
    }

    /// Has the machines look for work.
    pub(crate) fn kick(&self) {
        self.wal.worker().kick();
    }

    /// Drains, seals and checkpoints what there is, and ends the log. Later calls do nothing.
    pub(crate) fn close(&self) -> Result<()> {
        if self.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        self.room.shut();
        let finished = self.finish();
        self.store.readers.stop();
        let closed = self.wal.close();
        closed?;
        finished
    }

    pub(crate) fn background_failure(&self) -> Option<Error> {
        self.background.lock().clone()
    }

    /// So that opening again reads footers and a checkpoint, and replays next to nothing.
    fn finish(&self) -> Result<()> {
        self.wal.barrier().wait()?;
        self.reclaimer.lock().end(self);
        self.verifier.lock().finish(self)?;
        self.sealer.lock().finish(self)?;
        self.checkpointer.lock().finish(self)
    }

    fn add_machine(self: &Arc<Self>, name: &'static str, work: fn(&Core, Duration) -> Result<Step>) {
        let retry_at = Duration::ZERO;
        self.wal.worker().add(Box::new(Background { core: Arc::downgrade(self), name, work, retry_at }));
    }

    /// Some background work has succeeded that may have failed before.
    pub(crate) fn recovered(&self) {
        *self.background.lock() = None;
    }
}

/// Does a step of work, unless a caller is doing that work itself: it may be waiting for the other machines.
fn unless_busy<T>(work: &Mutex<T>, now: Duration, step: impl FnOnce(&mut T) -> Result<Step>) -> Result<Step> {
    match work.try_lock() {
        Some(mut work) => step(&mut work),
        None => Ok(Step::At(now + BUSY)),
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
        (self.work)(core, now).unwrap_or_else(|error| {
            *core.background.lock() = Some(error);
            self.retry_at = now + RETRY;
            Step::At(self.retry_at)
        })
    }
}
