//! Runs threads of load through a warm-up and a measured window.

use std::{
    sync::atomic::{AtomicU8, Ordering},
    thread,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

use crate::{Error, Result, latency::Latencies, usage};

/// A thread of load.
pub trait Worker: Send {
    /// Works until the gate is over.
    fn work(&mut self, gate: &Gate, tally: &mut Tally) -> Result<()>;
}

/// The durations of a load.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// The warm-up, which is not counted: buffers fill, segments are recycled for the first time, the device settles.
    pub warmup: Duration,
    /// The measured window.
    pub measured: Duration,
}

impl Window {
    /// A measured window of `seconds`, after a warm-up of the same length but of at most a second.
    pub fn of_seconds(seconds: f64) -> Self {
        Window { warmup: Duration::from_secs_f64(seconds.min(1.0)), measured: Duration::from_secs_f64(seconds) }
    }

    /// A short window for choosing between variants: a quarter of the measured one.
    pub fn trial(self) -> Self {
        Window { warmup: self.measured / 20, measured: self.measured / 5 }
    }
}

/// The counts of a window.
#[derive(Debug)]
pub struct Measured {
    /// The operations that completed in the window, and their latencies.
    pub tally: Tally,
    /// The actual length of the window.
    pub elapsed: Duration,
    /// The processor time that the process used in the window.
    pub cpu: Duration,
}

impl Measured {
    /// Operations per second.
    pub fn rate(&self) -> f64 {
        self.tally.ops as f64 / self.elapsed.as_secs_f64()
    }
}

/// Operations and their latencies.
#[derive(Debug, Default)]
pub struct Tally {
    /// The number of operations.
    pub ops: u64,
    /// Their latencies.
    pub latencies: Latencies,
}

impl Tally {
    /// Adds `count` operations that took `latency`, if the gate is counting.
    pub fn add(&mut self, gate: &Gate, latency: Duration, count: u64) {
        if gate.is_counting() {
            self.ops += count;
            self.latencies.record(latency, count);
        }
    }

    fn merge(&mut self, other: &Tally) {
        self.ops += other.ops;
        self.latencies.merge(&other.latencies);
    }
}

/// Tells the workers whether the warm-up, the window or the end is running.
#[derive(Debug, Default)]
pub struct Gate {
    part: AtomicU8,
    over: Mutex<bool>,
    ended: Condvar,
}

impl Gate {
    /// Whether workers must stop.
    pub fn is_over(&self) -> bool {
        self.part.load(Ordering::Relaxed) == OVER
    }

    /// Whether operations are counted.
    pub fn is_counting(&self) -> bool {
        self.part.load(Ordering::Relaxed) == COUNTING
    }

    /// Waits for `time`, or until the load is over.
    pub fn pass(&self, time: Duration) {
        self.ended.wait_while_for(&mut self.over.lock(), |over| !*over, time);
    }

    fn count(&self) {
        self.part.fetch_max(COUNTING, Ordering::Relaxed);
    }

    fn end(&self) {
        self.part.store(OVER, Ordering::Relaxed);
        *self.over.lock() = true;
        self.ended.notify_all();
    }
}

const COUNTING: u8 = 1;
const OVER: u8 = 2;

/// Runs each worker on its own thread through the window.
///
/// # Errors
/// The first error of a worker, which stops all workers.
pub fn drive<W: Worker>(workers: &mut [W], window: Window) -> Result<Measured> {
    let gate = Gate::default();
    thread::scope(|scope| {
        let start = |worker| scope.spawn(|| work(worker, &gate));
        let threads: Vec<_> = workers.iter_mut().map(start).collect();
        gate.pass(window.warmup);
        let (began, cpu) = (Instant::now(), usage::cpu());
        gate.count();
        gate.pass(window.measured);
        gate.end();
        let (elapsed, cpu) = (began.elapsed(), usage::cpu().saturating_sub(cpu));
        let mut tally = Tally::default();
        for thread in threads {
            tally.merge(&thread.join().map_err(|_| Error::from("a worker panicked"))??);
        }
        Ok(Measured { tally, elapsed, cpu })
    })
}

fn work<W: Worker>(worker: &mut W, gate: &Gate) -> Result<Tally> {
    let mut tally = Tally::default();
    let done = worker.work(gate, &mut tally);
    gate.end();
    done.map(|()| tally)
}

/// Tells when the next operation is due.
#[derive(Debug)]
pub struct Pacer {
    interval: Option<Duration>,
    due: Instant,
}

impl Pacer {
    /// Paces one of `workers` that together perform `rate` operations a second, evenly spread; without a rate, each
    /// operation is due when the one before has completed.
    pub fn new(rate: Option<u32>, worker: u32, workers: u32) -> Self {
        let interval = rate.map(|rate| Duration::from_secs(1) * workers / rate);
        let offset = interval.unwrap_or_default() * worker / workers;
        Pacer { interval, due: Instant::now() + offset }
    }

    /// When the next operation must begin; it may be in the past.
    pub fn due(&self) -> Instant {
        self.due
    }

    /// Waits until the next operation is due, and returns the time from which its latency counts.
    ///
    /// A late worker begins at once, and its latency counts from when the operation was due: leaving out the wait for
    /// the operation before would hide just the latencies that matter (coordinated omission). A worker that is in time
    /// sleeps, and its latency counts from when it wakes, since oversleeping is not the system's fault.
    pub fn wait(&mut self) -> Instant {
        let now = Instant::now();
        let Some(interval) = self.interval else { return now };
        let due = self.due;
        self.due += interval;
        match due.checked_duration_since(now) {
            Some(early) if !early.is_zero() => {
                thread::sleep(early);
                Instant::now()
            }
            _ => due,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_window_is_counted() {
        let (gate, mut tally) = (Gate::default(), Tally::default());
        let mut add = |gate: &Gate| tally.add(gate, Duration::from_millis(1), 2);
        add(&gate);
        gate.count();
        add(&gate);
        gate.end();
        add(&gate);
        // An error may have ended the load before the window begins.
        gate.count();
        add(&gate);
        assert_eq!((tally.ops, tally.latencies.count()), (2, 2));
        assert!(gate.is_over());
    }

    #[test]
    fn what_all_workers_did_is_added_up() {
        struct Sleeper;
        impl Worker for Sleeper {
            fn work(&mut self, gate: &Gate, tally: &mut Tally) -> Result<()> {
                while !gate.is_over() {
                    thread::sleep(Duration::from_millis(1));
                    tally.add(gate, Duration::from_millis(1), 2);
                }
                Ok(())
            }
        }
        let window = Window { warmup: Duration::ZERO, measured: Duration::from_millis(100) };
        let measured = drive(&mut [Sleeper, Sleeper], window).unwrap();
        assert_eq!(measured.tally.ops, measured.tally.latencies.count());
        assert!(measured.elapsed >= window.measured);
    }

    #[test]
    fn an_error_ends_the_work_of_all() {
        struct Failer(bool);
        impl Worker for Failer {
            fn work(&mut self, gate: &Gate, _tally: &mut Tally) -> Result<()> {
                while !self.0 && !gate.is_over() {
                    thread::sleep(Duration::from_millis(1));
                }
                if self.0 { Err("failed".into()) } else { Ok(()) }
            }
        }
        let window = Window { warmup: Duration::from_secs(100), measured: Duration::from_secs(100) };
        assert_eq!(drive(&mut [Failer(false), Failer(true)], window).unwrap_err().to_string(), "failed");
    }

    #[test]
    fn being_late_counts() {
        let mut pacer = Pacer::new(Some(1000), 0, 1);
        pacer.wait();
        thread::sleep(Duration::from_millis(20));
        let begins: Vec<_> = (0..10).map(|_| pacer.wait()).collect();
        assert!(begins[9].elapsed() >= Duration::from_millis(10), "late ones begin when they were due");
        assert!(begins.windows(2).all(|pair| pair[1] - pair[0] == Duration::from_millis(1)), "{begins:?}");
    }
}
