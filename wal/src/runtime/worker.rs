//! Background work as step machines, and the two things that drive them: a thread, or a test.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

use crate::runtime::foreign::guarded;

/// Who drives the background.
#[derive(Clone, Debug, Default)]
pub enum Runtime {
    /// Threads of the log's own, and the clock of the machine.
    #[default]
    Threads,
    /// The caller, step by step, with a clock of its own: nothing happens behind its back, so the same calls on a
    /// simulated disk make the same history.
    Manual(Arc<dyn Clock>),
}

impl Runtime {
    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        match self {
            Self::Threads => Arc::new(MachineClock(Instant::now())),
            Self::Manual(clock) => Arc::clone(clock),
        }
    }

    pub(crate) fn is_manual(&self) -> bool {
        matches!(self, Self::Manual(_))
    }
}

/// Time and chance, which a simulation decides.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Time since some beginning; never goes back.
    fn now(&self) -> Duration;

    /// A number that no other call, process or machine is likely to get.
    fn nonce(&self) -> u64 {
        RandomState::new().hash_one(Instant::now())
    }
}

#[derive(Debug)]
struct MachineClock(Instant);

impl Clock for MachineClock {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

/// A clock that stands still until it is told, and whose nonces follow from a seed.
#[derive(Debug, Default)]
pub struct ManualClock {
    now_us: AtomicU64,
    nonces: AtomicU64,
}

impl ManualClock {
    /// A clock at zero.
    pub fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self { now_us: AtomicU64::new(0), nonces: AtomicU64::new(seed) })
    }

    /// Moves the time on.
    pub fn advance(&self, by: Duration) {
        let by_us = u64::try_from(by.as_micros()).unwrap_or(u64::MAX);
        let later = |now: u64| Some(now.saturating_add(by_us));
        let _before = self.now_us.fetch_update(Ordering::Relaxed, Ordering::Relaxed, later);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Duration {
        Duration::from_micros(self.now_us.load(Ordering::Relaxed))
    }

    fn nonce(&self) -> u64 {
        // splitmix64 (Steele, Lea, Flood, OOPSLA '14).
        let state = self.nonces.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}

/// A time in microseconds; never 0, which stands for no time.
pub(crate) fn us(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1)
}

/// A piece of background work that is done step by step.
pub trait Machine: Send {
    /// For logs and thread names.
    fn name(&self) -> &'static str;

    /// Does a bounded amount of work and says when to go on. `now` is the time of the clock in use. A machine that
    /// panics is not stepped again, which is [told](Ended).
    fn step(&mut self, now: Duration) -> Step;

    /// Whether the log must not go on without it: it is poisoned then when this machine ends.
    fn is_needed(&self) -> bool {
        true
    }
}

/// A thread or a machine of ours that has ended because it panicked, which none ever should.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ended {
    /// The thread's name, or the machine's.
    pub name: &'static str,
    /// What it panicked with.
    pub panic: Arc<str>,
    /// The log was poisoned for it.
    pub poisons: bool,
}

/// When a [`Machine`] wants its next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// At once: there is more to do.
    Again,
    /// At this time, or when kicked.
    At(Duration),
    /// When kicked.
    Parked,
    /// Never: the machine is dropped.
    Done,
}

/// Steps machines, on a thread of its own or by hand.
pub struct Worker {
    inner: Arc<Inner>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Inner {
    name: &'static str,
    clock: Arc<dyn Clock>,
    tell: Box<dyn Fn(Ended) + Send + Sync>,
    machines: Mutex<Vec<Box<dyn Machine>>>,
    /// Machines that were added and not yet stepped; apart, so that adding never waits for a step.
    added: Mutex<Vec<Box<dyn Machine>>>,
    kicked: Mutex<bool>,
    signal: Condvar,
    stopped: AtomicBool,
}

impl Worker {
    /// A worker without machines; `runtime` says who steps it, `tell` is told of what ends and should not.
    pub(crate) fn new(
        name: &'static str,
        runtime: &Runtime,
        clock: Arc<dyn Clock>,
        tell: impl Fn(Ended) + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        let inner = Arc::new(Inner {
            name,
            clock,
            tell: Box::new(tell),
            machines: Mutex::default(),
            added: Mutex::default(),
            kicked: Mutex::new(false),
            signal: Condvar::new(),
            stopped: AtomicBool::new(false),
        });
        let thread = match runtime {
            Runtime::Manual(_) => None,
            Runtime::Threads => {
                let inner = Arc::clone(&inner);
                Some(std::thread::Builder::new().name(name.to_owned()).spawn(move || inner.live())?)
            }
        };
        Ok(Self { inner, thread: Mutex::new(thread) })
    }

    /// Adds a machine; its first step is due at once.
    pub fn add(&self, machine: Box<dyn Machine>) {
        self.inner.added.lock().push(machine);
        self.kick();
    }

    /// Has every machine stepped, because something may have changed for it.
    pub fn kick(&self) {
        *self.inner.kicked.lock() = true;
        self.inner.signal.notify_one();
    }

    #[cfg(all(loom, test))]
    pub(crate) fn is_kicked(&self) -> bool {
        *self.inner.kicked.lock()
    }

    /// Steps every machine once, in the caller's thread; true if one of them has more to do at once.
    pub(crate) fn step(&self) -> bool {
        matches!(self.inner.outlive(|| self.inner.step(), Step::Done), Step::Again)
    }

    /// Ends the thread after the step that it is in, and drops the machines.
    pub(crate) fn stop(&self) {
        self.inner.stopped.store(true, Ordering::Release);
        self.kick();
        let thread = self.thread.lock().take();
        // What runs on the thread itself may stop it.
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != std::thread::current().id()) {
            // A panic was told already.
            drop(thread.join());
        }
        self.inner.added.lock().clear();
        if let Some(mut machines) = self.inner.machines.try_lock() {
            machines.clear();
        }
    }
}

impl Inner {
    /// The life of a thread.
    fn live(&self) {
        self.outlive(|| self.run(), ());
    }

    /// Does what a thread does; `ended` if it panics, which is told.
    fn outlive<T>(&self, work: impl FnOnce() -> T, ended: T) -> T {
        guarded(work).unwrap_or_else(|panic| {
            (self.tell)(Ended { name: self.name, panic, poisons: true });
            ended
        })
    }

    fn run(&self) {
        while !self.stopped.load(Ordering::Acquire) {
            match self.step() {
                // A scheduler lets who is at work go on for milliseconds, and who commits waits that long behind it.
                Step::Again => std::thread::yield_now(),
                Step::At(time) => self.sleep(Some(time)),
                Step::Parked | Step::Done => self.sleep(None),
            }
        }
    }

    /// Steps every machine once and says when the first is due again.
    fn step(&self) -> Step {
        // Stepped by hand, a machine may wait for the log, and with that drive it: the machines go on when it is done.
        let Some(mut machines) = self.machines.try_lock() else { return Step::Parked };
        machines.append(&mut self.added.lock());
        let now = self.clock.now();
        let mut next = Step::Parked;
        machines.retain_mut(|machine| {
            let step = guarded(|| machine.step(now)).unwrap_or_else(|panic| {
                (self.tell)(Ended { name: machine.name(), panic, poisons: machine.is_needed() });
                Step::Done
            });
            next = sooner(next, step);
            step != Step::Done
        });
        next
    }

    fn sleep(&self, until: Option<Duration>) {
        let mut kicked = self.kicked.lock();
        while !*kicked {
            let Some(until) = until else {
                self.signal.wait(&mut kicked);
                continue;
            };
            let now = self.clock.now();
            if until <= now || self.signal.wait_for(&mut kicked, until - now).timed_out() {
                break;
            }
        }
        *kicked = false;
    }
}

fn sooner(one: Step, other: Step) -> Step {
    match (one, other) {
        (Step::Again, _) | (_, Step::Again) => Step::Again,
        (Step::At(a), Step::At(b)) => Step::At(a.min(b)),
        (Step::At(time), _) | (_, Step::At(time)) => Step::At(time),
        _ => Step::Parked,
    }
}
