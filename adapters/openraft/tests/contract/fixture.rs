//! A simulated disk, an engine without threads on it, and futures that are driven by hand.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    thread,
    time::{Duration, Instant},
};

use logboom::{
    Config, Engine, ManualClock, Runtime,
    disk::{SimDisk, SimOptions},
};

/// An answer that is on its way.
pub(crate) type Answer<T> = Pin<Box<dyn Future<Output = Result<T, String>>>>;

pub(crate) struct Fixture {
    pub(crate) disk: Arc<SimDisk>,
    clock: Arc<ManualClock>,
    seed: u64,
}

impl Fixture {
    pub(crate) fn new(seed: u64) -> Self {
        Self::on(SimDisk::new(seed, SimOptions::default()), seed)
    }

    pub(crate) fn on(disk: Arc<SimDisk>, seed: u64) -> Self {
        Self { disk, clock: ManualClock::new(seed), seed }
    }

    /// Opens what is on the disk.
    pub(crate) fn open(&self) -> Engine {
        let mut config = Config::new("simulated");
        config.segment_bytes = 256 << 10;
        config.reserve_segments = 1;
        Engine::open_on(Arc::clone(&self.disk) as _, config, Runtime::Manual(self.clock.clone())).unwrap()
    }

    /// What a power cut at this moment leaves, in one of the ways that `seed` decides; this fixture goes on.
    pub(crate) fn cut(&self, seed: u64) -> Self {
        Self::on(self.disk.fork(seed).power_cut(), self.seed)
    }

    /// Lets the background do one thing, or time pass.
    pub(crate) fn step(&self, engine: &Engine) {
        if !engine.drive_once() {
            self.clock.advance(Duration::from_millis(1));
        }
    }

    /// Drives the engine until the answer is there.
    pub(crate) fn wait<T>(&self, engine: &Engine, mut answer: Answer<T>) -> Result<T, String> {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(20) {
            for _ in 0..1000 {
                if let Some(outcome) = poll(&mut answer) {
                    return outcome;
                }
                self.step(engine);
            }
            // Snapshots have threads of their own, which take real time.
            thread::sleep(Duration::from_micros(100));
        }
        panic!("waited in vain: {:?}", engine.metrics());
    }
}

/// The answer, if it is there.
pub(crate) fn poll<T>(answer: &mut Answer<T>) -> Option<Result<T, String>> {
    match answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => Some(outcome),
        Poll::Pending => None,
    }
}

/// The answer, which must be there at once.
pub(crate) fn now<T>(mut answer: Answer<T>) -> Result<T, String> {
    poll(&mut answer).expect("it waits for nothing")
}
