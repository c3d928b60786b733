//! One history: what clients do to a tail, crashes and openings, and the comparison after each.

mod changes;
mod clock;
mod commits;
mod flushes;
mod loads;
mod observe;
mod openings;
mod transactions;

use std::{ops::AddAssign, sync::Arc, time::Duration};

use logboom::disk::FaultKind;
use logboom_logtail::{FlushLimits, Options, StoreChoice};
use logboom_sim::{Choices, Failure, World};
use logboom_wal::marks;

use crate::{life::Life, model::Model, objects::SimObjects, records::Epoch};

use clock::WallClock;

/// The counts of a history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Transactions that got a timestamp.
    pub transactions: u64,
    /// Changes of the catalog that were made.
    pub changes: u64,
    /// Flushes that came to their end.
    pub flushes: u64,
    /// Checkpoints.
    pub checkpoints: u64,
    /// Loads that were committed.
    pub loads: u64,
    /// Comparisons at a timestamp.
    pub comparisons: u64,
    /// Power cuts and killed processes.
    pub crashes: u64,
    /// Openings of a tail that succeeded.
    pub openings: u64,
    /// A hash of everything that the disk was asked for.
    pub trace: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.transactions += other.transactions;
        self.changes += other.changes;
        self.flushes += other.flushes;
        self.checkpoints += other.checkpoints;
        self.loads += other.loads;
        self.comparisons += other.comparisons;
        self.crashes += other.crashes;
        self.openings += other.openings;
        self.trace ^= other.trace;
    }
}

/// Runs the history of a seed.
///
/// # Errors
/// The first invariant that did not hold.
pub fn run_seed(seed: u64) -> Result<Counts, Failure> {
    History::new(Choices::seeded(seed)).run().map(|(counts, _)| counts)
}

/// Runs a short history again and again, and stops the machine one operation of the disk later each time. Returns how
/// many there are.
///
/// # Errors
/// The first invariant that did not hold, with the operation.
pub fn every_crash(seed: u64) -> Result<u64, Failure> {
    for place in 1.. {
        let mut history = History::new(Choices::seeded(seed));
        history.weights = Weights { rounds: 3, steps: 30, halts: 0, faults: 0, interruptions: 0, ..history.weights };
        history.world.disk.halt_after(place);
        history.world.is_faulty = true;
        let ran = history.run();
        let in_place = |failure: Failure| Failure { what: format!("stopped at {place}: {}", failure.what), ..failure };
        let (_, has_halted) = ran.map_err(in_place)?;
        if !has_halted {
            return Ok(place);
        }
    }
    Ok(0)
}

/// How often things happen in a history: in percent, where nothing else is said.
#[derive(Clone, Copy, Debug)]
struct Weights {
    /// Lives of a process.
    rounds: u64,
    /// The most steps of a life.
    steps: u64,
    halts: u64,
    faults: u64,
    /// Openings that are cut short.
    interruptions: u64,
    /// Deletes between two steps of a flush.
    deletes_beside: u64,
    /// By weight: begin, operate, commit, retry, wait, drive, change, clock, flush, store, checkpoint, load, take over.
    kinds: [u64; 13],
}

impl Weights {
    fn choose(choices: &mut Choices) -> Self {
        let few_or_many = |choices: &mut Choices, few, many| choices.pick(&[few, few, many]);
        Self {
            rounds: choices.range(2..6),
            steps: choices.pick(&[20, 60, 60, 120]),
            halts: choices.pick(&[0, 40, 80]),
            faults: choices.pick(&[0, 0, 30]),
            interruptions: choices.pick(&[0, 30]),
            deletes_beside: choices.pick(&[0, 10, 40]),
            kinds: [
                20,
                10,
                few_or_many(choices, 20, 40),
                few_or_many(choices, 2, 10),
                few_or_many(choices, 6, 20),
                few_or_many(choices, 8, 20),
                few_or_many(choices, 4, 10),
                few_or_many(choices, 3, 10),
                few_or_many(choices, 8, 30),
                few_or_many(choices, 1, 5),
                few_or_many(choices, 2, 6),
                few_or_many(choices, 10, 40),
                1,
            ],
        }
    }
}

/// Options of a tail that is driven by hand, whose objects are small, and whose horizon is near or far.
fn options(world: &World, objects: &SimObjects, choices: &mut Choices) -> Options {
    let mut options = Options::new("given");
    options.store = StoreChoice::Given(Arc::new(objects.clone()));
    options.threads = false;
    options.clock = Some(world.clock());
    options.history = Duration::from_millis(choices.pick(&[0, 2000, 300_000]));
    options.pinned = Duration::from_millis(choices.pick(&[0, 5000, 600_000]));
    options.objects.object_bytes = choices.pick(&[1, 2000, 1 << 20]);
    options.objects.row_group_bytes = choices.pick(&[1, 2000, 1 << 20]);
    options.flush_limits = limits(choices);
    options.load_bytes = choices.pick(&[1, 300, 1 << 20]);
    options
}

/// So that a few deletes while a flush is under way are too many for its record, or for a tombstone object.
fn limits(choices: &mut Choices) -> FlushLimits {
    let usual = FlushLimits::default();
    FlushLimits {
        record_deletes_max: choices.pick(&[0, 0, 1, usual.record_deletes_max]),
        object_tombstones: choices.pick(&[1, 3, usual.object_tombstones]),
    }
}

struct History {
    choices: Choices,
    weights: Weights,
    world: World,
    objects: SimObjects,
    /// How the tail is opened.
    options: Options,
    clock: WallClock,
    model: Model,
    /// Whether the machine has ever stopped in the middle of an operation.
    has_halted: bool,
    /// The epoch of the last opening that succeeded.
    epoch: Epoch,
    /// The number of the last row of a table without a key.
    serial: i64,
    /// The ids that clients have given to transactions.
    client_ids: Vec<u128>,
    counts: Counts,
    /// What was done, for who looks into a failure.
    steps: Vec<String>,
}

impl History {
    fn new(mut choices: Choices) -> Self {
        let mut world = World::choose(&mut choices);
        // Nothing frees the log's space yet.
        world.config.space_bytes_max = None;
        world.free_space();
        let objects = SimObjects::choose(&mut choices);
        let options = options(&world, &objects, &mut choices);
        let weights = Weights::choose(&mut choices);
        Self {
            choices,
            weights,
            clock: WallClock::new(&world),
            world,
            objects,
            options,
            model: Model::new(),
            has_halted: false,
            epoch: Epoch::default(),
            serial: 0,
            client_ids: Vec::new(),
            counts: Counts::default(),
            steps: Vec::new(),
        }
    }

    /// Returns whether the machine has ever stopped in the middle of an operation, too.
    fn run(mut self) -> Result<(Counts, bool), Failure> {
        match self.lives() {
            Ok(()) => {
                self.counts.crashes = self.world.crashes;
                self.counts.trace = self.world.disk.trace_hash();
                Ok((self.counts, self.has_halted))
            }
            Err(failure) => Err(Failure { trace: self.steps, ..failure }),
        }
    }

    fn lives(&mut self) -> Result<(), Failure> {
        let mut life = self.open()?;
        for _ in 0..self.weights.rounds {
            self.live(&mut life)?;
            life = self.end_and_reopen(life)?;
        }
        self.compare_all(&life)?;
        life.end();
        Ok(())
    }

    fn live(&mut self, life: &mut Life) -> Result<(), Failure> {
        if self.choices.percent(self.weights.halts) {
            let within = self.choices.pick(&[20, 80, 300]);
            self.world.plan_halt(&mut self.choices, within);
        }
        if self.choices.percent(self.weights.faults) {
            let kinds = [FaultKind::Write, FaultKind::Sync, FaultKind::Allocate];
            self.world.plan_fault(&mut self.choices, &kinds, 40);
        }
        for _ in 0..self.choices.below(self.weights.steps) {
            self.step(life)?;
            self.observe(life)?;
            if self.world.has_halted() {
                marks::hit("crash: in the middle of an operation");
                self.note("the machine stops");
                self.has_halted = true;
                break;
            }
        }
        self.compare_all(life)
    }

    fn step(&mut self, life: &mut Life) -> Result<(), Failure> {
        self.clock.runs(&self.world);
        if self.model.last_catalog().tables.is_empty() && self.choices.percent(60) {
            return self.change(life);
        }
        match self.choices.weighted(&self.weights.kinds) {
            0 => self.begin(life),
            1 => self.operate(life),
            2 => self.submit_one(life),
            3 => self.retry(life),
            4 => self.wait_for_one(life),
            5 => self.drive(life),
            6 => self.change(life),
            7 => self.clock.jump(&self.world, &mut self.choices),
            8 => self.flush(life),
            9 => self.store(),
            10 => self.checkpoint(life),
            11 => self.load(life),
            _ => self.take_over(life),
        }
    }

    fn note(&mut self, step: impl Into<String>) {
        self.steps.push(step.into());
    }

    /// Whether calls may fail since the disk does.
    fn is_troubled(&self) -> bool {
        self.world.is_faulty || self.world.has_halted()
    }
}
