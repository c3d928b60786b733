//! What the handles, tickets and machines of one log share, and who commits when.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use logboom_disk::{InlineQueue, Process, Queue, Wait, Wake};

use crate::{
    format::options::Options,
    group_commit::{
        admission::Admission,
        append::{Asked, Load, Reservation, Staging},
        cold::Cold,
        committer::{Committer, Lane, Next, SECOND_WRITE_BYTES},
        metrics::Metrics,
        watermark::{CELLS, Callback, Watermark, poisoned},
    },
    read::{ahead::Ahead, recent::Recent},
    runtime::{
        device_watch::Watch,
        faults::Faults,
        foreign::guarded,
        notices::{Event, Notices},
        sync::{AtomicBool, AtomicU64, MODELLED, Mutex, MutexGuard, OnceLock, fence, yield_now},
        watched::Pending,
        worker::{Clock, Ended, Worker, us},
    },
    segments::{
        identity::Identity,
        medium::Medium,
        segment::Segment,
        slots::{Failure, Slots},
        supply::Supply,
    },
    types::{
        error::{Capacity, Error},
        ids::SegmentId,
        marks,
        mutants::{self, Mutant},
    },
};

/// A writer commits in its own thread while less than this is pending; more is worth several writes in flight.
/// Measured at 256 KiB, 512 KiB and 1 MiB: 64 writers of 16 KiB 51.9, 52.1, 57.9 thousand a second.
const INLINE_BYTES: u64 = 1 << 20;

/// How long a writer that is about to commit waits for as many batches as the last group had: a few writers in a
/// closed loop otherwise fall into two cohorts that wait for each other (measured: p50 184 us against 120 us at 4).
const GATHER: Duration = if MODELLED { Duration::ZERO } else { Duration::from_micros(40) };

/// From so many batches on, gathering gains nothing.
const GATHER_BATCHES: u32 = 16;

/// See the module.
pub(crate) struct Shared {
    pub(crate) medium: Medium,
    pub(crate) options: Options,
    pub(crate) segment_bytes: u64,
    pub(crate) identity: Identity,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) manual: bool,
    pub(crate) process: Process,
    pub(crate) staging: Mutex<Staging>,
    /// Whoever holds this commits.
    pub(crate) tail: Mutex<Tail>,
    /// The last group that somebody wants written, and the last that a committer took.
    pub(crate) wanted: AtomicU64,
    pub(crate) taken: AtomicU64,
    pub(crate) load: Load,
    pub(crate) watermark: Watermark,
    pub(crate) admission: Arc<Admission>,
    pub(crate) supply: Supply,
    /// Live segments, the active one included.
    pub(crate) segments: Mutex<BTreeMap<SegmentId, Arc<Segment>>>,
    pub(crate) recent: Recent,
    pub(crate) ahead: Ahead,
    pub(crate) slots: Mutex<Slots>,
    pub(crate) cold: Mutex<Cold>,
    /// The promise that the last durable group carries.
    pub(crate) promised: AtomicU64,
    /// The last group with records.
    pub(crate) filled: AtomicU64,
    /// The last group with a lazy batch, and when the first one that is not written came in (us, 0: none).
    pub(crate) lazy_group: AtomicU64,
    pub(crate) lazy_since_us: AtomicU64,
    /// The first group of the active segment, or of the one before it.
    pub(crate) active_since: AtomicU64,
    pub(crate) watch: Watch,
    pub(crate) pending: Arc<Pending>,
    pub(crate) metrics: Metrics,
    pub(crate) faults: Arc<Faults>,
    pub(crate) worker: OnceLock<Worker>,
    /// Looks whose the directory is: apart, as who waits for a device that is stuck looks at nothing else.
    pub(crate) guard: OnceLock<Worker>,
    pub(crate) notices: Arc<Notices>,
    pub(crate) waker: OnceLock<Arc<dyn Wake>>,
    /// The committer thread holds the tail, and can start another write beside those in flight.
    pub(crate) overlaps: AtomicBool,
    pub(crate) thread: Mutex<Option<JoinHandle<()>>>,
    pub(crate) closing: AtomicBool,
    pub(crate) stopped: AtomicBool,
}

/// The right to commit, and what goes with it.
pub(crate) struct Tail {
    pub(crate) committer: Committer,
    /// The queue of a log that is driven by hand.
    pub(crate) queue: Option<Box<dyn Queue>>,
    /// Batches of the last commit, the size of a cohort to wait for.
    cohort: u32,
}

impl Tail {
    pub(crate) fn new(committer: Committer, queue: Option<Box<dyn Queue>>) -> Self {
        Self { committer, queue, cohort: 0 }
    }
}

/// Who waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// One that may call foreign code: nothing of the log's, nor of the layer above, is locked.
    Free,
    Locked,
}

/// What came of a writer's offer to commit.
enum Lead {
    Led,
    /// Somebody else commits.
    Busy,
    /// There is so much to write that the committer thread was asked to.
    Handed,
}

impl Shared {
    pub(crate) fn reserve(self: &Arc<Self>, mut admitted: u64, asked: Asked<'_>) -> Result<Reservation, Error> {
        let (request, ..) = asked;
        if let Err(error) = self.check_batch(request.records as usize, request.bytes) {
            self.admission.release(admitted);
            return Err(error);
        }
        let reserved = self.try_reserve(&mut admitted, asked);
        // Nothing is left of it once a group has taken it over.
        self.admission.release(admitted);
        reserved
    }

    pub(crate) fn try_reserve(self: &Arc<Self>, admitted: &mut u64, asked: Asked<'_>) -> Result<Reservation, Error> {
        // What a thread had locked when this process was forked stays locked here.
        self.check_process()?;
        loop {
            let mut staging = self.staging.lock();
            // With that locked: what is accepted comes before the group with which the log is closed.
            self.check_open()?;
            let reserved = staging.reserve(self, asked, admitted)?;
            drop(staging);
            if let Some(reservation) = reserved {
                self.filled.fetch_max(reservation.group(), Ordering::Relaxed);
                return Ok(reservation);
            }
            self.hurry()?;
        }
    }

    pub(crate) fn check_open(&self) -> Result<(), Error> {
        self.check_process()?;
        if let Some(first) = self.watermark.failure() {
            return Err(poisoned(first));
        }
        if self.closing.load(Ordering::Acquire) { Err(Error::Closed) } else { Ok(()) }
    }

    /// Adds a group without records and has it written.
    pub(crate) fn add_empty(&self, flags: u8) -> Result<u64, Error> {
        loop {
            let mut staging = self.staging.lock();
            if staging.add_empty(self, flags)? {
                let group = staging.last_group();
                drop(staging);
                self.want(group);
                return Ok(group);
            }
            drop(staging);
            self.hurry()?;
        }
    }

    /// Has every group up to `group` written.
    pub(crate) fn want(&self, group: u64) {
        self.wanted.fetch_max(group, Ordering::SeqCst);
    }

    pub(crate) fn wants(&self) -> bool {
        self.wanted.load(Ordering::SeqCst) > self.taken.load(Ordering::SeqCst)
    }

    /// Whether something that is wanted is not durable. While nobody holds the tail nothing is in flight, so somebody
    /// has to commit then; a group that was taken may still wait to be written.
    pub(crate) fn is_undone(&self) -> bool {
        self.wanted.load(Ordering::SeqCst) > self.watermark.durable() && self.watermark.failure().is_none()
    }

    /// Has `group` written when it has become old.
    pub(crate) fn lazily(&self, group: u64) {
        self.lazy_group.fetch_max(group, Ordering::SeqCst);
        let now_us = us(self.clock.now());
        if self.lazy_since_us.compare_exchange(0, now_us, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
            self.worker_kick();
        }
    }

    pub(crate) fn worker_kick(&self) {
        if let Some(worker) = self.worker.get() {
            worker.kick();
        }
    }

    /// Notes that the device was asked for something, and sees to it that somebody looks whether it answers.
    pub(crate) fn begin_io(&self) {
        self.watch.begin(self.clock.now());
        self.pending.announce();
        if self.watch.housekeeping.wake() {
            self.worker_kick();
        }
    }

    /// Wakes the committer thread, if it sleeps.
    pub(crate) fn kick(&self) {
        if let Some(waker) = self.waker.get() {
            waker.wake();
        }
    }

    pub(crate) fn call_back(&self, group: u64, callback: Callback) {
        self.watermark.call_back(group, callback);
        if self.watermark.outcome(group).is_some() {
            self.notify();
            self.attend_if_closed();
        }
    }

    /// Ends acknowledgement for good; the first failure is what everyone is told.
    pub(crate) fn poison(&self, error: Error) {
        let is_first = self.watermark.fail(error.clone());
        // Writers that wait are let go before any callback is told.
        self.admission.shut();
        if is_first {
            tracing::error!(%error, "the log is poisoned");
            self.notices.tell(Event::Poisoned(error));
        }
        self.notify();
        self.worker_kick();
        self.tell_if_closed();
    }

    /// What a failure of work beside the log means for the log: see [`Failure`].
    pub(crate) fn beside_the_log(&self, what: &str, failure: Failure) -> Error {
        match failure {
            Failure::Write(error) => Capacity::of(&error).map_or_else(|| Error::io(what, error), Error::Full),
            Failure::Sync(error) => {
                marks::hit("beside the log: a sync fails");
                let error = Error::io(what, error);
                if mutants::is_on(Mutant::ForeignSyncIgnored) {
                    return error;
                }
                self.poison(error.clone());
                error
            }
        }
    }

    /// A thread or a machine has ended that should not.
    pub(crate) fn ended(&self, ended: Ended) {
        tracing::error!(name = ended.name, panic = &*ended.panic, "a thread or a machine has ended");
        self.faults.ended(ended.clone());
        if ended.poisons {
            let what = format!("{} has panicked: {}", ended.name, ended.panic);
            self.poison(Error::io("working on the log", std::io::Error::other(what)));
        }
        self.notices.panicked(ended.name, ended.panic);
        self.tell_if_closed();
    }

    /// Blocks until waiting for `group` ends, committing in the caller's thread when the log is idle.
    pub(crate) fn wait(&self, group: u64, caller: Caller) -> Result<(), Error> {
        let mut parked = false;
        loop {
            if let Some(outcome) = self.watermark.outcome(group) {
                if parked {
                    self.pass_on(group);
                }
                return outcome;
            }
            if self.manual && !self.is_still() {
                self.drive_for(caller);
                continue;
            }
            match self.lead(group, caller) {
                // Nobody else steps the machines.
                _ if self.manual => drop(self.drive_for(caller)),
                Lead::Led => continue,
                Lead::Busy => self.watermark.park(group, || self.tail.is_locked()),
                Lead::Handed => self.watermark.park(group, || true),
            }
            parked = true;
        }
    }

    /// Hands over once more if a hand-over may have taken the caller, who has waited for `group` and leaves, for one
    /// that waits for a later group of the same cell.
    fn pass_on(&self, group: u64) {
        fence(Ordering::SeqCst);
        if self.wanted.load(Ordering::SeqCst) >= group + CELLS as u64 {
            self.hand_over();
        }
    }

    /// [`Shared::wait`] with a bound, for which the committer thread does the work.
    pub(crate) fn wait_timeout(&self, group: u64, timeout: Duration) -> Option<Result<(), Error>> {
        let begun = Instant::now();
        let mut pause = Duration::from_micros(20);
        loop {
            if let Some(outcome) = self.watermark.outcome(group) {
                return Some(outcome);
            }
            if begun.elapsed() >= timeout {
                return None;
            }
            if self.manual {
                self.drive();
            }
            // A futex with a timeout is not portable; a bounded wait is rare and may be a little late.
            std::thread::sleep(pause.min(timeout));
            pause = (pause * 2).min(Duration::from_millis(1));
        }
    }

    /// Commits in the caller's thread, if nobody else does.
    fn lead(&self, group: u64, caller: Caller) -> Lead {
        if self.load.bytes() >= INLINE_BYTES {
            self.kick();
            return Lead::Handed;
        }
        let Some(mut tail) = self.tail.try_lock() else {
            if self.load.bytes() >= SECOND_WRITE_BYTES && self.overlaps.load(Ordering::Relaxed) {
                self.kick();
            }
            return Lead::Busy;
        };
        marks::hit("commit: in the writer's thread");
        self.gather(&tail);
        tail.cohort = self.load.batches();
        let mut queue = InlineQueue::default();
        while self.watermark.outcome(group).is_none() {
            match self.pump(&mut tail, &mut queue, Lane::Inline) {
                Some(Next::Pump) => {}
                Some(Next::Writers) => yield_now(),
                Some(Next::Completion | Next::Idle) | None => break,
            }
        }
        self.let_go(tail);
        self.hand_over();
        if caller == Caller::Free {
            self.wake_due();
        }
        self.notify();
        Lead::Led
    }

    /// Lets go of the tail; whoever looks what is undone after that sees what was asked for while it was held, or is
    /// seen looking at the tail.
    fn let_go(&self, tail: MutexGuard<'_, Tail>) {
        // After a failure what was in flight is abandoned where it stands.
        debug_assert!(self.watermark.failure().is_some() || tail.committer.is_at_rest(), "something is in flight");
        drop(tail);
        fence(Ordering::SeqCst);
    }

    /// Whether nothing is in flight on the queue of a log that is driven by hand: a writer may commit then.
    fn is_still(&self) -> bool {
        self.load.bytes() < INLINE_BYTES && self.tail.try_lock().is_some_and(|tail| tail.committer.is_still())
    }

    fn gather(&self, tail: &Tail) {
        if tail.cohort < 2 || tail.cohort > GATHER_BATCHES {
            return;
        }
        let begun = Instant::now();
        while self.load.batches() < tail.cohort && begun.elapsed() < GATHER {
            yield_now();
        }
    }

    /// Makes sure that what came in while the tail was held is committed by somebody: a writer that found the tail
    /// held sleeps until it is woken. (It announced itself before it looked at the tail for the last time, and this
    /// looks for it after the tail was let go, so one of the two sees the other.)
    fn hand_over(&self) {
        if !self.is_undone() || self.tail.is_locked() {
            return;
        }
        let waiting = self.watermark.durable() + 1..=self.wanted.load(Ordering::SeqCst);
        if self.load.bytes() >= INLINE_BYTES || !self.watermark.wake_one(waiting) {
            self.kick();
        }
    }

    /// Pumps the committer once; `None` when the log is poisoned.
    pub(crate) fn pump(&self, tail: &mut Tail, queue: &mut dyn Queue, lane: Lane) -> Option<Next> {
        if self.watermark.failure().is_some() {
            tail.committer.abandon(queue);
            return None;
        }
        let pumped = guarded(|| tail.committer.pump(self, queue, lane))
            .unwrap_or_else(|panic| Err(Error::io("committing", std::io::Error::other(&*panic))));
        match pumped {
            Ok(next) => Some(next),
            Err(error) => {
                // Nothing more is acknowledged, so who waits need not wait for what is in flight.
                self.poison(error);
                tail.committer.abandon(queue);
                None
            }
        }
    }

    /// Commits whatever is wanted in the caller's thread, if nobody else does.
    pub(crate) fn commit_here(&self) {
        if self.manual {
            return;
        }
        let last = self.wanted.load(Ordering::SeqCst);
        if let Lead::Handed | Lead::Busy = self.lead(last, Caller::Locked) {
            self.kick();
        }
    }

    /// The life of the committer thread.
    pub(crate) fn live(&self, mut queue: Box<dyn Queue>) {
        self.outlive(|| self.run(&mut *queue));
    }

    /// Does what the committer thread does. `None` if that panics: the thread is over, which is told.
    pub(crate) fn outlive<T>(&self, work: impl FnOnce() -> T) -> Option<T> {
        let ended = |panic| self.ended(Ended { name: "logboom-commit", panic, poisons: true });
        guarded(work).map_err(ended).ok()
    }

    /// Commits while there is something to, and sleeps on the queue.
    pub(crate) fn run(&self, queue: &mut dyn Queue) {
        let mut nothing = Vec::new();
        while !self.stopped.load(Ordering::Acquire) {
            if self.is_undone()
                && let Some(mut tail) = self.tail.try_lock()
            {
                self.overlaps.store(true, Ordering::Relaxed);
                self.commit(&mut tail, queue);
                self.overlaps.store(false, Ordering::Relaxed);
                self.let_go(tail);
                if self.is_undone() {
                    continue;
                }
            }
            queue.reap(Wait::Forever, &mut nothing);
        }
    }

    fn commit(&self, tail: &mut Tail, queue: &mut dyn Queue) {
        loop {
            match self.pump(tail, queue, Lane::Queued) {
                Some(Next::Pump) => {}
                // Also ends when writers leave a group, or when a second write has become worth its sync.
                Some(Next::Completion | Next::Writers) => queue.reap(Wait::Forever, tail.committer.completions()),
                Some(Next::Idle) | None => return,
            }
        }
    }
}
