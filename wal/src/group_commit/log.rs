//! The state that the handles, tickets and machines of one log share.

use std::sync::{Arc, atomic::Ordering};

use crate::{
    group_commit::{
        append::{Reservation, SpaceRequest},
        env::Env,
        metrics::Metrics,
        scheduler::CommitScheduler,
        state::State,
        watermark::{Callback, poisoned},
    },
    runtime::{
        device_watch::Watch,
        faults::Faults,
        notices::{Event, Notices},
        sync::{AtomicBool, OnceLock},
        watched::PendingOps,
        worker::{EndedMachine, Worker},
    },
    segments::slots::Failure,
    types::{
        error::Error,
        marks,
        mutants::{Mutant, unless},
    },
};

/// See the module.
pub(crate) struct Shared {
    /// The environment.
    pub(crate) env: Env,
    /// The state of the log in memory and on disk.
    pub(crate) state: State,
    /// Decides which thread commits.
    pub(crate) scheduler: CommitScheduler,
    pub(crate) watch: Watch,
    pub(crate) pending: Arc<PendingOps>,
    pub(crate) metrics: Metrics,
    pub(crate) faults: Arc<Faults>,
    pub(crate) worker: OnceLock<Worker>,
    /// Checks who owns the directory: on a thread of its own, so that a stalled device does not delay it.
    pub(crate) guard: OnceLock<Worker>,
    pub(crate) notices: Arc<Notices>,
    pub(crate) closing: AtomicBool,
}

impl Shared {
    pub(crate) fn reserve(
        self: &Arc<Self>,
        mut admitted: u64,
        request: SpaceRequest<'_>,
    ) -> Result<Reservation, Error> {
        if let Err(error) = self.env.check_batch(request.batch.records as usize, request.batch.bytes) {
            self.state.admission.release(admitted);
            return Err(error);
        }
        let reserved = self.try_reserve(&mut admitted, request);
        // Zero once a group has taken the bytes over.
        self.state.admission.release(admitted);
        reserved
    }

    pub(crate) fn try_reserve(
        self: &Arc<Self>,
        admitted: &mut u64,
        request: SpaceRequest<'_>,
    ) -> Result<Reservation, Error> {
        // A lock that a thread held at the fork stays locked here.
        self.env.check_process()?;
        loop {
            let mut staging = self.state.staging.lock();
            // Under the lock: everything that is accepted precedes the group that closes the log.
            self.check_open()?;
            let reserved = staging.reserve(self, request, admitted)?;
            drop(staging);
            if let Some(reservation) = reserved {
                self.state.filled.fetch_max(reservation.group(), Ordering::Relaxed);
                return Ok(reservation);
            }
            self.allocate_now()?;
        }
    }

    pub(crate) fn check_open(&self) -> Result<(), Error> {
        self.env.check_process()?;
        if let Some(first) = self.state.watermark.failure() {
            return Err(poisoned(first));
        }
        if self.closing.load(Ordering::Acquire) { Err(Error::Closed) } else { Ok(()) }
    }

    /// Adds an empty group, and requests a write of it.
    pub(crate) fn add_empty(&self, flags: u8) -> Result<u64, Error> {
        loop {
            let mut staging = self.state.staging.lock();
            if staging.add_empty(self, flags)? {
                let group = staging.last_group();
                drop(staging);
                self.scheduler.request_write(group);
                return Ok(group);
            }
            drop(staging);
            self.allocate_now()?;
        }
    }

    /// Requests a write of `group` when it has reached the lazy age.
    pub(crate) fn request_lazy_write(&self, group: u64) {
        if self.scheduler.add_lazy(group, self.env.clock.now()) {
            self.worker_kick();
        }
    }

    pub(crate) fn worker_kick(&self) {
        if let Some(worker) = self.worker.get() {
            worker.kick();
        }
    }

    /// Records an operation of the device, and wakes the stall detector.
    pub(crate) fn begin_io(&self) {
        self.watch.begin(self.env.clock.now());
        self.pending.wake_stall_detector();
        if self.watch.housekeeping.wake() {
            self.worker_kick();
        }
    }

    pub(crate) fn call_back(&self, group: u64, callback: Callback) {
        self.state.watermark.call_back(group, callback);
        if self.state.watermark.outcome(group).is_some() {
            self.notify();
            self.deliver_if_closed();
        }
    }

    /// Ends acknowledgement for good; everyone gets the first failure.
    pub(crate) fn poison(&self, error: Error) {
        let is_first = self.state.watermark.fail(error.clone());
        // Waiting writers return before any callback runs.
        self.state.admission.close();
        if is_first {
            tracing::error!(error = format_args!("{error:#}"), "the log is poisoned");
            self.notices.report(Event::Poisoned(error));
        }
        self.notify();
        self.worker_kick();
        self.deliver_events_if_closed();
    }

    /// Handles a side failure, see [`Failure`]; returns the error.
    pub(crate) fn side_failure(&self, what: &str, failure: Failure) -> Error {
        match failure {
            Failure::Write(error) => Error::full_or_io(what, error),
            Failure::Sync(error) => {
                marks::hit("side failure: a sync fails");
                let error = Error::io(what, error);
                unless(Mutant::SideSyncIgnored, || self.poison(error.clone()), || ());
                error
            }
        }
    }

    /// Handles the panic of a thread or a machine.
    pub(crate) fn ended(&self, ended: EndedMachine) {
        tracing::error!(name = ended.name, panic = &*ended.panic, "a thread or a machine has ended");
        self.faults.ended(ended.clone());
        if ended.poisons {
            let what = format!("{} has panicked: {}", ended.name, ended.panic);
            self.poison(Error::io("working on the log", std::io::Error::other(what)));
        }
        self.notices.panicked(ended.name, ended.panic);
        self.deliver_events_if_closed();
    }
}
