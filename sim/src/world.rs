//! The simulated machine that a history happens on: its disk, its clock, and how an engine is opened there.

use std::{
    io::ErrorKind,
    panic::resume_unwind,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use logboom::{
    Clock, Config, Engine, ManualClock, Runtime,
    disk::{Disk, Facts, Fault, FaultKind, SimDisk, SimOptions, SyncMethod},
};
use logboom_wal::marks;

use crate::{
    check::{Check, Failure},
    choices::Choices,
};

/// The usual segment size, the smallest one, so that every history crosses many segments.
pub(crate) const SEGMENT_BYTES: u64 = 256 << 10;

/// The steps after which an engine that still has work is considered never to come to rest.
const STEPS_MAX: usize = 100_000;

/// A machine. Its disk goes on over crashes, its engines do not.
#[derive(Debug)]
pub struct World {
    /// The disk as it is now.
    pub disk: Arc<SimDisk>,
    /// The configuration that engines are opened with.
    pub config: Config,
    clock: Arc<SimClock>,
    /// Whether the device has room for a few segments only.
    pub is_small: bool,
    /// Whether a fault is planned that has not happened yet.
    pub is_faulty: bool,
    /// Power cuts and killed processes so far.
    pub crashes: u64,
}

/// The clock of the machine.
#[derive(Debug)]
struct SimClock {
    time: Arc<ManualClock>,
    /// The number of calls for the time after which the clock panics; 0 for never.
    panics_in: AtomicU64,
}

impl SimClock {
    fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self { time: ManualClock::new(seed), panics_in: AtomicU64::new(0) })
    }
}

impl Clock for SimClock {
    fn now(&self) -> Duration {
        let left = self.panics_in.load(Ordering::Relaxed);
        self.panics_in.store(left.saturating_sub(1), Ordering::Relaxed);
        if left == 1 {
            resume_unwind(Box::new("the clock panics"));
        }
        self.time.now()
    }

    fn unix(&self) -> Duration {
        self.time.unix()
    }

    fn nonce(&self) -> u64 {
        self.time.nonce()
    }
}

impl World {
    /// A random machine with an empty disk.
    pub fn choose(choices: &mut Choices) -> Self {
        let seed = choices.below(u64::MAX);
        let unit = choices.pick(&[4096, 4096, 512]);
        let (is_small, is_bounded) = (choices.percent(10), choices.percent(15));
        let mut config = Config::new("simulated");
        // Several writes are in flight within a segment only: some have room for that.
        config.segment_bytes = choices.pick(&[1, 1, 1, 1, 4]) * SEGMENT_BYTES;
        let mut options = SimOptions {
            pad_unit: unit,
            physical_block: if choices.percent(75) { unit } else { SimDisk::SECTOR },
            sync_method: choices.pick(&[SyncMethod::Rolling, SyncMethod::Rolling, SyncMethod::Dsync]),
            delay_reaps_max: choices.pick(&[0, 3, 3, 8]),
            direct: choices.percent(85),
            torn_per_mille: choices.pick(&[0, 50, 50, 300]),
            ..SimOptions::default()
        };
        options.capacity = if is_small { choices.range(8..14) * config.segment_bytes + (2 << 20) } else { u64::MAX };
        config.space_bytes_max = is_bounded.then(|| choices.range(8..10) * config.segment_bytes);
        config.reserve_segments = choices.pick(&[0, 0, 1, 2]).try_into().unwrap_or_default();
        config.cache_bytes = choices.pick(&[0, 64 << 10, 64 << 20]);
        config.read_ahead_bytes = choices.pick(&[0, 64 << 10, 256 << 10, 64 << 20]);
        config.index_bytes = choices.pick(&[0, 2000, 64 << 20]);
        config.admission_bytes = choices.pick(&[64 << 10, 300 << 10, 64 << 20]);
        let disk = SimDisk::new(seed, options);
        Self { disk, config, clock: SimClock::new(seed), is_small, is_faulty: false, crashes: 0 }
    }

    /// The options of a disk with the smallest groups.
    pub(crate) fn small_options() -> SimOptions {
        let unit = SimDisk::SECTOR;
        SimOptions { pad_unit: unit, physical_block: unit, delay_reaps_max: 1, ..SimOptions::default() }
    }

    /// The same machine with another disk.
    pub(crate) fn on(&self, disk: Arc<SimDisk>) -> Self {
        let (config, clock) = (self.config.clone(), Arc::clone(&self.clock));
        Self { disk, config, clock, is_small: false, is_faulty: false, crashes: 0 }
    }

    /// The empty disk of another device, as large as can be.
    pub(crate) fn another_disk(&self, choices: &mut Choices) -> Arc<SimDisk> {
        let Facts { pad_unit, direct, .. } = *self.disk.facts();
        let device = Some("other".to_owned());
        let options = SimOptions { pad_unit, physical_block: pad_unit, direct, device, ..SimOptions::default() };
        SimDisk::new(choices.below(u64::MAX), options)
    }

    /// Opens an engine.
    ///
    /// # Errors
    /// The error of the opening.
    pub fn open(&self) -> logboom::Result<Engine> {
        self.open_with(self.config.clone())
    }

    /// Opens an engine that is configured otherwise.
    ///
    /// # Errors
    /// The error of the opening.
    pub(crate) fn open_with(&self, config: Config) -> logboom::Result<Engine> {
        let disk = Arc::clone(&self.disk);
        let clock = Arc::clone(&self.clock);
        Engine::open_on(disk, config, Runtime::Manual(clock))
    }

    /// Whether the device or the configuration has room for a few segments only.
    pub(crate) fn is_tight(&self) -> bool {
        self.is_small || self.config.space_bytes_max.is_some()
    }

    /// Checks that the log has no more segments than its bound and the one that an opening may add.
    pub(crate) fn check_bound(&self, engine: &Engine) -> Result<(), Failure> {
        let Some(bound) = self.config.space_bytes_max else { return Ok(()) };
        let segments = segment_names(&*self.disk);
        if segments.len() as u64 > bound / self.config.segment_bytes + 1 {
            let what = format!("at most {bound} bytes, and {segments:?}: {:?}", engine.space());
            return Err(Failure::new(Check::Bounded, what));
        }
        Ok(())
    }

    /// The machine's clock.
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock) as _
    }

    /// Sets the machine's wall clock.
    pub fn set_unix(&self, unix: Duration) {
        self.clock.time.set_unix(unix);
    }

    /// Polls a future to its end, and does the background work that it waits for.
    pub(crate) fn drive<F: Future>(&self, engine: &Engine, future: F) -> Result<F::Output, Failure> {
        let mut future = pin!(future);
        for _ in 0..STEPS_MAX {
            if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                return Ok(output);
            }
            self.pass(engine, Duration::from_millis(100))?;
        }
        Err(Failure::new(Check::Rests, "a future does not end"))
    }

    /// Advances the clock, and does the background work.
    ///
    /// # Errors
    /// [`Check::Rests`], which names what did not hold.
    pub fn pass(&self, engine: &Engine, time: Duration) -> Result<(), Failure> {
        for _ in 0..5 {
            self.clock.time.advance(time / 5);
            rest(engine)?;
        }
        Ok(())
    }

    /// Cuts the power.
    pub fn power_cut(&mut self) {
        marks::hit("crash: power cut");
        self.disk = self.disk.power_cut();
        self.heal();
    }

    /// Kills the process.
    pub fn process_crash(&mut self) {
        marks::hit("crash: process killed");
        self.disk.clear_faults();
        // The directory's lock outlives what is in flight: it has landed before the next opening writes, but perhaps
        // after it has read. An opening looks at each segment twice, and at eleven other things.
        let segments = segment_names(&*self.disk).len();
        let late_ops = if segments < 3 { 8 } else { 2 * segments + 10 };
        self.disk.set_late_ops_max(u32::try_from(late_ops).unwrap_or(8));
        self.disk = self.disk.process_crash();
        self.heal();
    }

    /// Plans a failure of one of the next operations of a kind, or of all from some point on.
    pub fn plan_fault(&mut self, choices: &mut Choices, kinds: &[FaultKind], within: u64) {
        let kind = choices.pick(kinds);
        let full = kind == FaultKind::Allocate || kind == FaultKind::Write && choices.percent(20);
        let error = if full { ErrorKind::StorageFull } else { ErrorKind::Other };
        let fault = match choices.below(8) {
            0 => {
                marks::hit("the code of the disk is to panic");
                Fault::panic(kind)
            }
            1 | 2 if kind == FaultKind::Write => Fault::short_write(choices.size(20), error),
            3 | 4 => Fault::error(kind, error).sticky(),
            _ => Fault::error(kind, error),
        };
        self.disk.inject(fault.nth(1 + choices.below(within)));
        self.is_faulty = true;
    }

    /// Plans the failure of a sync of another file: its flush is the whole device's.
    pub(crate) fn plan_foreign_fault(&mut self, choices: &mut Choices) {
        let fault = Fault::error(FaultKind::Sync, ErrorKind::Other).on(choices.pick(&[
            "prefill",
            "checkpoint",
            "building-",
            "receiving-",
        ]));
        self.disk.inject(fault.nth(1 + choices.below(6)));
        self.is_faulty = true;
    }

    /// Removes the lock while an engine has the directory open.
    pub(crate) fn lose_lock(&mut self) {
        self.disk.lose_lock();
        self.is_faulty = true;
    }

    /// Opens the directory from another process, after the lock was lost.
    pub(crate) fn open_beside(&mut self) -> Result<(), Failure> {
        let opened = self.disk.open_beside();
        self.disk = opened.map_err(|error| Failure::new(Check::Opens, format!("{error:#}")))?;
        self.is_faulty = false;
        Ok(())
    }

    /// Advances the clock, and does nothing else.
    pub(crate) fn jump(&self, time: Duration) {
        self.clock.time.advance(time);
    }

    /// Plans a panic of the clock in one of the next calls for the time.
    pub(crate) fn plan_panic(&mut self, choices: &mut Choices) {
        self.clock.panics_in.store(1 + choices.below(60), Ordering::Relaxed);
        self.is_faulty = true;
    }

    /// Ends that plan, and returns whether the clock has panicked.
    pub(crate) fn end_panic(&self) -> bool {
        self.clock.panics_in.swap(0, Ordering::Relaxed) == 0
    }

    /// Plans that the machine stops in the middle of one of its next operations.
    pub fn plan_halt(&mut self, choices: &mut Choices, within: u64) {
        self.disk.halt_after(1 + choices.below(within));
        self.is_faulty = true;
    }

    /// Whether the machine has stopped.
    pub fn has_halted(&self) -> bool {
        self.disk.has_halted()
    }

    /// Frees space on the device.
    pub fn free_space(&mut self) {
        marks::hit("the device gets more room");
        self.disk.set_capacity(u64::MAX);
        self.is_small = false;
    }

    /// Cancels planned failures that have not happened yet; a planned stop of the machine stays.
    pub fn stop_faults(&mut self) {
        self.disk.clear_faults();
    }

    /// Ends all failures of the device.
    fn heal(&mut self) {
        self.disk.clear_faults();
        self.is_faulty = false;
        self.crashes += 1;
    }
}

/// The existing segment files; none if the disk fails to list them.
pub(crate) fn segment_names(disk: &dyn Disk) -> Vec<String> {
    let names = disk.list().unwrap_or_default();
    names.into_iter().filter(|name| name.starts_with("segment-")).collect()
}

/// Drives an engine until it has nothing to do.
///
/// # Errors
/// [`Check::Rests`].
pub(crate) fn rest(engine: &Engine) -> Result<(), Failure> {
    for _ in 0..STEPS_MAX {
        if !engine.drive_once() {
            return Ok(());
        }
    }
    Err(Failure::new(Check::Rests, format!("it still works after {STEPS_MAX} steps: {:?}", engine.metrics())))
}
