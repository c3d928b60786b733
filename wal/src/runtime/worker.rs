//! Background work as step machines, driven by a thread or by hand.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use parking_lot::{Condvar, Mutex};

use crate::runtime::foreign::guarded;

/// The driver of the background work.
#[derive(Clone, Debug, Default)]
pub enum Runtime {
    /// Threads of the log, with the system's clock.
    #[default]
    Threads,
    /// The caller, step by step, with its own clock: nothing happens between its calls, so the same calls on a
    /// simulated disk always have the same effects.
    Manual(Arc<dyn Clock>),
}

impl Runtime {
    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        match self {
            Self::Threads => Arc::new(SystemClock::default()),
            Self::Manual(clock) => Arc::clone(clock),
        }
    }

    pub(crate) fn is_manual(&self) -> bool {
        matches!(self, Self::Manual(_))
    }
}

/// A source of time and random numbers, which a simulation controls.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Time since an arbitrary start; monotonic.
    fn now(&self) -> Duration;

    /// The wall clock: time since the unix epoch, zero before it. It may be set, forward and back. The log does not
    /// use it.
    fn unix(&self) -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }

    /// A number that is unique with high probability, over calls, processes and machines.
    fn nonce(&self) -> u64 {
        RandomState::new().hash_one(Instant::now())
    }
}

/// The clocks of the system. Its monotonic time begins when it is made.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock(Instant);

impl Default for SystemClock {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

/// A clock that moves only by [`ManualClock::advance`] and [`ManualClock::set_unix`], and whose nonces follow from a
/// seed.
#[derive(Debug, Default)]
pub struct ManualClock {
    now_us: AtomicU64,
    unix_us: AtomicU64,
    nonces: AtomicU64,
}

impl ManualClock {
    /// A clock at zero, the unix epoch.
    pub fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self { nonces: AtomicU64::new(seed), ..Self::default() })
    }

    /// Moves the time forward, that of the wall clock too.
    pub fn advance(&self, by: Duration) {
        let by_us = whole_us(by);
        let later = |time: u64| Some(time.saturating_add(by_us));
        for time in [&self.now_us, &self.unix_us] {
            let _before = time.fetch_update(Ordering::Relaxed, Ordering::Relaxed, later);
        }
    }

    /// Sets the wall clock, forward or back, in whole microseconds. Monotonic time stays.
    pub fn set_unix(&self, unix: Duration) {
        self.unix_us.store(whole_us(unix), Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Duration {
        Duration::from_micros(self.now_us.load(Ordering::Relaxed))
    }

    fn unix(&self) -> Duration {
        Duration::from_micros(self.unix_us.load(Ordering::Relaxed))
    }

    fn nonce(&self) -> u64 {
        // splitmix64 (Steele, Lea, Flood, OOPSLA '14).
        let state = self.nonces.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}

/// A time in microseconds; never 0, which means no time.
pub(crate) fn us(time: Duration) -> u64 {
    whole_us(time).max(1)
}

fn whole_us(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// A piece of background work that is done in steps.
pub trait Machine: Send {
    /// A name for traces and reports.
    fn name(&self) -> &'static str;

    /// Does a bounded amount of work and returns when to go on. `now` is the time of the log's clock. A machine that
    /// panics is not stepped again; that is [reported](EndedMachine).
    fn step(&mut self, now: Duration) -> Step;

    /// Whether the log depends on it: if so, the log is poisoned when this machine panics.
    fn is_needed(&self) -> bool {
        true
    }
}

/// A thread or a machine of the log that ended by a panic, which is a bug.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndedMachine {
    /// The name of the thread or the machine.
    pub name: &'static str,
    /// The message of the panic.
    pub panic: Arc<str>,
    /// Whether that poisoned the log.
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

/// Steps machines, on its own thread or by hand.
pub struct Worker {
    inner: Arc<Inner>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Inner {
    name: &'static str,
    clock: Arc<dyn Clock>,
    report: Box<dyn Fn(EndedMachine) + Send + Sync>,
    machines: Mutex<Vec<Box<dyn Machine>>>,
    /// New machines. A separate lock, so that adding a machine never waits for a step.
    added: Mutex<Vec<Box<dyn Machine>>>,
    kicked: Mutex<bool>,
    signal: Condvar,
    stopped: AtomicBool,
}

impl Worker {
    /// A worker without machines; `runtime` says what steps it; calls `report` with each machine that panics.
    pub(crate) fn new(
        name: &'static str,
        runtime: &Runtime,
        clock: Arc<dyn Clock>,
        report: impl Fn(EndedMachine) + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        let inner = Arc::new(Inner {
            name,
            clock,
            report: Box::new(report),
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
                Some(std::thread::Builder::new().name(name.to_owned()).spawn(move || inner.run_thread())?)
            }
        };
        Ok(Self { inner, thread: Mutex::new(thread) })
    }

    /// Adds a machine; its first step is due at once.
    pub fn add(&self, machine: Box<dyn Machine>) {
        self.inner.added.lock().push(machine);
        self.kick();
    }

    /// Wakes all machines: there may be work for them.
    pub fn kick(&self) {
        *self.inner.kicked.lock() = true;
        self.inner.signal.notify_one();
    }

    #[cfg(all(loom, test))]
    pub(crate) fn is_kicked(&self) -> bool {
        *self.inner.kicked.lock()
    }

    /// Steps every machine once, in the caller's thread; true if one has more to do at once.
    pub(crate) fn step(&self) -> bool {
        matches!(self.inner.catch_panic(|| self.inner.step(), Step::Done), Step::Again)
    }

    /// Ends the thread after its current step, and drops the machines.
    pub(crate) fn stop(&self) {
        self.inner.stopped.store(true, Ordering::Release);
        self.kick();
        let thread = self.thread.lock().take();
        // Code on the thread itself may call this.
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != std::thread::current().id()) {
            // A panic was reported already.
            drop(thread.join());
        }
        self.inner.added.lock().clear();
        if let Some(mut machines) = self.inner.machines.try_lock() {
            machines.clear();
        }
    }
}

impl Inner {
    /// The body of the thread.
    fn run_thread(&self) {
        self.catch_panic(|| self.run(), ());
    }

    /// Runs `work`; reports a panic and returns `ended` instead.
    fn catch_panic<T>(&self, work: impl FnOnce() -> T, ended: T) -> T {
        guarded(work).unwrap_or_else(|panic| {
            (self.report)(EndedMachine { name: self.name, panic, poisons: true });
            ended
        })
    }

    fn run(&self) {
        while !self.stopped.load(Ordering::Acquire) {
            match self.step() {
                // The scheduler may let a busy thread go on for milliseconds, and the committing thread would wait
                // behind it.
                Step::Again => std::thread::yield_now(),
                Step::At(time) => self.sleep(Some(time)),
                Step::Parked | Step::Done => self.sleep(None),
            }
        }
    }

    /// Steps every machine once, and returns when the first is due again.
    fn step(&self) -> Step {
        // Driven by hand, a machine may wait for the log and so drive it: this nested call steps nothing.
        let Some(mut machines) = self.machines.try_lock() else { return Step::Parked };
        machines.append(&mut self.added.lock());
        let now = self.clock.now();
        let mut next = Step::Parked;
        machines.retain_mut(|machine| {
            let step = guarded(|| machine.step(now)).unwrap_or_else(|panic| {
                (self.report)(EndedMachine { name: machine.name(), panic, poisons: machine.is_needed() });
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wall_clock_is_set_and_monotonic_time_is_not() {
        let clock = ManualClock::new(1);
        clock.advance(Duration::from_millis(5));
        assert_eq!((clock.now(), clock.unix()), (Duration::from_millis(5), Duration::from_millis(5)));
        clock.set_unix(Duration::from_secs(1_764_504_000));
        clock.advance(Duration::from_millis(5));
        assert_eq!((clock.now(), clock.unix()), (Duration::from_millis(10), Duration::from_millis(1_764_504_000_005)));
        clock.set_unix(Duration::ZERO);
        assert_eq!((clock.now(), clock.unix()), (Duration::from_millis(10), Duration::ZERO));
    }

    #[test]
    fn the_clocks_of_the_system_run() {
        let clock = SystemClock::default();
        let before = clock.now();
        assert!(clock.now() >= before);
        assert!(clock.unix() > Duration::from_secs(1_700_000_000));
        assert_ne!(clock.nonce(), clock.nonce());
    }
}
