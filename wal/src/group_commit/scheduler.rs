//! The right to commit: one thread at a time holds the turn, and commits. It is the committer thread, a writer that
//! found the log idle, or the caller of a log that is driven by hand. When it is done, it hands over if something is
//! left to commit.

use std::{
    sync::{Arc, atomic::Ordering, mpsc},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use logboom_disk::{InlineQueue, Queue, Wait, Wake};

use crate::{
    group_commit::{
        committer::{Committer, Next, QueueKind, SECOND_WRITE_BYTES},
        log::Shared,
        watermark::{CELLS, Watermark},
    },
    runtime::{
        foreign::guarded,
        sync::{AtomicBool, AtomicU64, MODELLED, Mutex, MutexGuard, OnceLock, fence, yield_now},
        worker::{EndedMachine, us},
    },
    types::{error::Error, marks, mutants::Mutant, mutants::unless},
};

/// A writer commits in its own thread while fewer bytes than this are pending; more are worth several writes in flight.
/// Measured at 256 KiB, 512 KiB and 1 MiB: 64 writers of 16 KiB 51.9, 52.1, 57.9 thousand a second.
const INLINE_BYTES: u64 = 1 << 20;

/// How long a writer that is about to commit waits for as many batches as the last group had. Without it a few writers
/// in a closed loop fall into two cohorts that wait for each other (measured: p50 184 us against 120 us at 4).
const GATHER: Duration = if MODELLED { Duration::ZERO } else { Duration::from_micros(40) };

/// Above this number of batches, waiting for more gains nothing.
const GATHER_BATCHES: u32 = 16;

/// Decides which thread commits, and knows which groups are requested and taken.
pub(crate) struct CommitScheduler {
    /// Threads never wait for it, they only try to lock it: see [`State`](super::state::State).
    turn: Mutex<Turn>,
    /// The last group whose write was requested, and the last that a committer took.
    requested: AtomicU64,
    taken: AtomicU64,
    /// The last group with a lazy batch, and the arrival of the oldest unwritten one (us, 0: none).
    lazy_group: AtomicU64,
    lazy_since_us: AtomicU64,
    waker: OnceLock<Arc<dyn Wake>>,
    /// Whether the committer thread holds the turn and can start another write beside those in flight.
    overlaps: AtomicBool,
    thread: Mutex<Option<JoinHandle<()>>>,
    stopped: AtomicBool,
}

/// The right to commit, with the committer.
struct Turn {
    committer: Committer,
    /// The queue, if the log is driven by hand.
    queue: Option<Box<dyn Queue>>,
    /// The number of batches of the last commit: the next writer waits for as many.
    last_batches: u32,
}

/// The kind of a waiting caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// It holds no lock of the log or of the layer above, so its thread may call foreign code.
    Unlocked,
    /// It may hold locks.
    Locked,
}

/// The outcome of a writer's attempt to commit.
enum CommitAttempt {
    Committed,
    /// Another thread commits.
    Busy,
    /// The committer thread was woken: so much is pending that several writes in flight are worth it.
    HandedOver,
}

impl CommitScheduler {
    /// `queue` is for a log that is driven by hand.
    pub(crate) fn new(committer: Committer, queue: Option<Box<dyn Queue>>) -> Self {
        Self {
            turn: Mutex::new(Turn { committer, queue, last_batches: 0 }),
            requested: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            lazy_group: AtomicU64::new(0),
            lazy_since_us: AtomicU64::new(0),
            waker: OnceLock::new(),
            overlaps: AtomicBool::new(false),
            thread: Mutex::new(None),
            stopped: AtomicBool::new(false),
        }
    }

    /// Requests a write of every group up to `group`.
    pub(crate) fn request_write(&self, group: u64) {
        self.requested.fetch_max(group, Ordering::SeqCst);
    }

    pub(crate) fn has_untaken_requests(&self) -> bool {
        self.requested.load(Ordering::SeqCst) > self.taken.load(Ordering::SeqCst)
    }

    /// Records that a committer has taken every group up to `group`.
    pub(crate) fn mark_taken(&self, group: u64) {
        self.taken.store(group, Ordering::SeqCst);
    }

    /// Records a lazy batch of `group` at `now`; true if it is the first one that waits.
    pub(crate) fn add_lazy(&self, group: u64, now: Duration) -> bool {
        self.lazy_group.fetch_max(group, Ordering::SeqCst);
        self.lazy_since_us.compare_exchange(0, us(now), Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// The last group with a lazy batch, and since when one waits; `None` if all of them are durable.
    pub(crate) fn lazy(&self, watermark: &Watermark, now: Duration) -> Option<(u64, Duration)> {
        let group = self.lazy_group.load(Ordering::SeqCst);
        if group > watermark.durable() {
            return Some((group, Duration::from_micros(self.lazy_since_us.load(Ordering::SeqCst))));
        }
        self.lazy_since_us.store(0, Ordering::SeqCst);
        // One that arrived in between has not seen the reset, and must not be forgotten.
        if self.lazy_group.load(Ordering::SeqCst) > watermark.durable() {
            self.lazy_since_us.store(us(now), Ordering::SeqCst);
        }
        None
    }

    /// Registers the waker of the committer thread for [`CommitScheduler::kick`].
    pub(crate) fn wake_by(&self, waker: Arc<dyn Wake>) {
        drop(self.waker.set(waker));
    }

    /// Wakes the committer thread if it sleeps.
    pub(crate) fn kick(&self) {
        if let Some(waker) = self.waker.get() {
            waker.wake();
        }
    }

    /// Makes the committer thread end after its current commit.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.kick();
    }

    /// Ends the committer thread, and waits for it unless the caller is that thread.
    pub(crate) fn end(&self) {
        self.stop();
        let thread = self.thread.lock().take();
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != std::thread::current().id()) {
            drop(thread.join());
        }
    }

    /// Drops the queue, if the log is driven by hand.
    pub(crate) fn drop_queue(&self) {
        if let Some(mut turn) = self.turn.try_lock() {
            drop(turn.queue.take());
        }
    }

    /// At the end of a model: all that was requested is durable, and nothing is in flight.
    #[cfg(all(loom, test))]
    pub(crate) fn assert_at_rest(&self, watermark: &Watermark) {
        assert!(!self.has_untaken_requests());
        assert_eq!(self.requested.load(Ordering::SeqCst), watermark.durable());
        assert!(self.turn.try_lock().expect("the turn is free").committer.is_at_rest());
    }
}

impl Shared {
    /// Whether requested groups are not durable yet. If the turn is free nothing is in flight, so a thread must commit:
    /// a group that was taken may still wait to be written.
    pub(crate) fn has_undurable_requests(&self) -> bool {
        self.scheduler.requested.load(Ordering::SeqCst) > self.state.watermark.durable()
            && self.state.watermark.failure().is_none()
    }

    /// Blocks until the wait for `group` ends; commits in the caller's thread if the log is idle.
    pub(crate) fn wait(&self, group: u64, caller: Caller) -> Result<(), Error> {
        let mut parked = false;
        loop {
            if let Some(outcome) = self.state.watermark.outcome(group) {
                if parked {
                    unless(Mutant::WakeupNotPassedOn, || self.pass_wakeup_on(group), || ());
                }
                return outcome;
            }
            if self.env.manual && !self.may_commit_inline() {
                self.drive_for(caller);
                continue;
            }
            match self.try_commit(group, caller) {
                // No other thread steps the machines.
                _ if self.env.manual => drop(self.drive_for(caller)),
                CommitAttempt::Committed => continue,
                CommitAttempt::Busy => self.state.watermark.park(group, || self.scheduler.turn.is_locked()),
                CommitAttempt::HandedOver => self.state.watermark.park(group, || true),
            }
            parked = true;
        }
    }

    /// Hands over once more before a waiter for `group` leaves: a hand-over may have woken it in place of a waiter for
    /// a later group in the same cell.
    fn pass_wakeup_on(&self, group: u64) {
        fence(Ordering::SeqCst);
        if self.scheduler.requested.load(Ordering::SeqCst) >= group + CELLS as u64 {
            self.hand_over();
        }
    }

    /// Commits in the caller's thread if the turn is free.
    fn try_commit(&self, group: u64, caller: Caller) -> CommitAttempt {
        if self.state.backlog.bytes() >= INLINE_BYTES {
            self.scheduler.kick();
            return CommitAttempt::HandedOver;
        }
        let Some(mut turn) = self.scheduler.turn.try_lock() else {
            if self.state.backlog.bytes() >= SECOND_WRITE_BYTES && self.scheduler.overlaps.load(Ordering::Relaxed) {
                self.scheduler.kick();
            }
            return CommitAttempt::Busy;
        };
        marks::hit("commit: in the writer's thread");
        self.gather(&turn);
        turn.last_batches = self.state.backlog.batches();
        let mut queue = InlineQueue::default();
        while self.state.watermark.outcome(group).is_none() {
            match self.pump(&mut turn, &mut queue, QueueKind::Inline) {
                Some(Next::Pump) => {}
                Some(Next::Writers) => yield_now(),
                Some(Next::Completion | Next::Idle) | None => break,
            }
        }
        self.release_turn(turn);
        self.hand_over();
        if caller == Caller::Unlocked {
            self.wake_due();
        }
        self.notify();
        CommitAttempt::Committed
    }

    /// Releases the turn. A thread that checks [`Shared::has_undurable_requests`] after that sees requests made
    /// meanwhile, or the threads that made them see that the turn is free.
    fn release_turn(&self, turn: MutexGuard<'_, Turn>) {
        // After a failure, operations in flight are abandoned.
        debug_assert!(
            self.state.watermark.failure().is_some() || turn.committer.is_at_rest(),
            "something is in flight"
        );
        drop(turn);
        unless(Mutant::HandOverUnfenced, || fence(Ordering::SeqCst), || ());
    }

    /// For a log that is driven by hand: whether a writer may commit, because nothing is in flight on the queue.
    fn may_commit_inline(&self) -> bool {
        self.state.backlog.bytes() < INLINE_BYTES
            && self.scheduler.turn.try_lock().is_some_and(|turn| turn.committer.has_nothing_in_flight())
    }

    fn gather(&self, turn: &Turn) {
        if turn.last_batches < 2 || turn.last_batches > GATHER_BATCHES {
            return;
        }
        let begun = Instant::now();
        while self.state.backlog.batches() < turn.last_batches && begun.elapsed() < GATHER {
            yield_now();
        }
    }

    /// Wakes a writer or the committer thread if requests were made while the turn was taken: a writer that found it
    /// taken sleeps until it is woken. (The writer registers before it checks the turn for the last time, and this
    /// checks for writers after the turn is released, so one of the two sees the other.)
    fn hand_over(&self) {
        if !self.has_undurable_requests() || self.scheduler.turn.is_locked() {
            return;
        }
        let waiting = self.state.watermark.durable() + 1..=self.scheduler.requested.load(Ordering::SeqCst);
        if self.state.backlog.bytes() >= INLINE_BYTES || !self.state.watermark.wake_one(waiting) {
            self.scheduler.kick();
        }
    }

    /// Pumps the committer once; `None` if the log is poisoned.
    fn pump(&self, turn: &mut Turn, queue: &mut dyn Queue, queue_kind: QueueKind) -> Option<Next> {
        if self.state.watermark.failure().is_some() {
            turn.committer.abandon(queue);
            return None;
        }
        let pumped = guarded(|| turn.committer.pump(self, queue, queue_kind))
            .unwrap_or_else(|panic| Err(Error::io("committing", std::io::Error::other(&*panic))));
        match pumped {
            Ok(next) => Some(next),
            Err(error) => {
                // Nothing more is acknowledged, so waiters need not wait for operations in flight.
                self.poison(error);
                turn.committer.abandon(queue);
                None
            }
        }
    }

    /// Commits everything requested in the caller's thread, if the turn is free.
    pub(crate) fn commit_here(&self) {
        if self.env.manual {
            return;
        }
        let last = self.scheduler.requested.load(Ordering::SeqCst);
        if let CommitAttempt::HandedOver | CommitAttempt::Busy = self.try_commit(last, Caller::Locked) {
            self.scheduler.kick();
        }
    }

    /// Starts the committer thread.
    ///
    /// # Errors
    /// [`Error::Io`] if a thread or a queue cannot be created.
    pub(crate) fn start_committer(self: &Arc<Self>) -> Result<(), Error> {
        let fail = |error| Error::io("starting a thread", error);
        // The thread creates its queue, and reports when it is ready.
        let (ready, is_ready) = mpsc::channel();
        let theirs = Arc::clone(self);
        let thread = std::thread::Builder::new()
            .name("logboom-commit".to_owned())
            .spawn(move || match theirs.env.medium.disk.queue() {
                Ok(queue) => {
                    theirs.scheduler.wake_by(queue.waker());
                    drop(ready.send(Ok(())));
                    theirs.run_committer(queue);
                }
                Err(error) => drop(ready.send(Err(error))),
            })
            .map_err(fail)?;
        *self.scheduler.thread.lock() = Some(thread);
        match is_ready.recv() {
            Ok(ready) => ready.map_err(|error| Error::io("setting up a queue", error)),
            Err(_) => Err(fail(std::io::Error::other("it ended before it began"))),
        }
    }

    /// The body of the committer thread.
    pub(crate) fn run_committer(&self, mut queue: Box<dyn Queue>) {
        self.catch_panic(|| self.commit_until_stopped(&mut *queue));
    }

    /// Runs `work`; `None` if it panics: the committer thread ends, and that is reported.
    fn catch_panic<T>(&self, work: impl FnOnce() -> T) -> Option<T> {
        let ended = |panic| self.ended(EndedMachine { name: "logboom-commit", panic, poisons: true });
        guarded(work).map_err(ended).ok()
    }

    /// Commits while there is something to commit, and sleeps on the queue otherwise.
    fn commit_until_stopped(&self, queue: &mut dyn Queue) {
        let mut nothing = Vec::new();
        while !self.scheduler.stopped.load(Ordering::Acquire) {
            if self.has_undurable_requests()
                && let Some(mut turn) = self.scheduler.turn.try_lock()
            {
                self.scheduler.overlaps.store(true, Ordering::Relaxed);
                self.commit(&mut turn, queue);
                self.scheduler.overlaps.store(false, Ordering::Relaxed);
                self.release_turn(turn);
                if self.has_undurable_requests() {
                    continue;
                }
            }
            queue.reap(Wait::Forever, &mut nothing);
        }
    }

    fn commit(&self, turn: &mut Turn, queue: &mut dyn Queue) {
        loop {
            match self.pump(turn, queue, QueueKind::Queued) {
                Some(Next::Pump) => {}
                // Also returns when writers leave a group, or when a second write has become worth its sync.
                Some(Next::Completion | Next::Writers) => queue.reap(Wait::Forever, turn.committer.completions()),
                Some(Next::Idle) | None => return,
            }
        }
    }

    /// One step of committing by hand; false if there was nothing to do.
    pub(crate) fn drive_commit(&self) -> bool {
        let Some(mut turn) = self.scheduler.turn.try_lock() else { return false };
        let Some(mut queue) = turn.queue.take() else { return false };
        let driven = self.catch_panic(|| {
            let next = self.pump(&mut turn, &mut *queue, QueueKind::Queued);
            if let Some(Next::Completion) = next {
                queue.reap(Wait::Forever, turn.committer.completions());
            }
            matches!(next, Some(Next::Pump | Next::Completion))
        });
        // A committer that panicked is not used again: nothing is written any more.
        if driven.is_some() {
            turn.queue = Some(queue);
        }
        driven.unwrap_or(false)
    }
}
