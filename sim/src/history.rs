//! One history: operations, failures, crashes and openings, and the comparison after each.

use std::time::Duration;

use logboom::{Durability, Engine, Error, Reason, Ticket, disk::FaultKind};
use logboom_wal::marks;

use crate::{
    check::{Check, Entries, Failure, differences, read_some},
    choices::Choices,
    foreign::{Act, Foreign},
    model::Models,
    operation::{Author, OpMix, Operation},
    tickets::Tickets,
    world::{World, rest},
};

mod copies;
mod snapshot_handles;
mod endings;
mod live_damage;
mod identity;
mod weights;
mod heal;
mod restarts;
mod second_process;
mod snapshots;

use copies::Copy;
use live_damage::{EverWritten, LiveDamage};
use snapshot_handles::SnapshotHandles;
use weights::Weights;

/// What may happen in a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Operations, and the log closed and opened again.
    Operations,
    /// The above, and crashes.
    Crashes,
    /// The above, and failures of the device and damage that the log must survive.
    Everything,
}

/// The counts of a history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Batches submitted.
    pub batches: u64,
    /// Operations in them.
    pub operations: u64,
    /// Power cuts and killed processes.
    pub crashes: u64,
    /// Openings that succeeded on a log that was there before.
    pub recoveries: u64,
    /// Openings that were cut short.
    pub interrupted: u64,
    /// A hash of everything that the disk was asked for.
    pub trace: u64,
}

/// Runs the history that the choices make.
///
/// # Errors
/// The first invariant that did not hold.
pub fn run(choices: Choices, scope: Scope) -> Result<Counts, Failure> {
    let mut history = History::new(choices, scope);
    let outcome = history.run();
    history.counts.crashes = history.world.crashes;
    match outcome {
        Ok(()) => {
            history.counts.trace = history.world.disk.trace_hash();
            Ok(history.counts)
        }
        Err(failure) => Err(Failure { trace: history.world.disk.trace(), ..failure }),
    }
}

struct History {
    choices: Choices,
    scope: Scope,
    weights: Weights,
    world: World,
    author: Author,
    /// The shards after the last batch that is acknowledged, and after each one since.
    states: Vec<Models>,
    /// The number of the batch after which `states` begins.
    base: u64,
    tickets: Tickets,
    foreign: Foreign,
    poisoned: bool,
    handles: SnapshotHandles,
    copy: Option<Copy>,
    /// The power is cut next, before what was released can become durable.
    ends: bool,
    /// The process died while it moved records: the next one is killed by a power cut when it has done little.
    hurries: bool,
    /// Where damage is done: the states since the last opening that come before `states`.
    past: Vec<Models>,
    ever_written: EverWritten,
    live_damage: Option<LiveDamage>,
    /// Whether anything was ever damaged: the disk then holds content that no crash explains.
    is_scarred: bool,
    counts: Counts,
}

impl History {
    fn new(mut choices: Choices, scope: Scope) -> Self {
        let mut world = World::choose(&mut choices);
        let weights = Weights::choose(&mut choices, scope);
        if weights.damages > 0 {
            // What is mended wants more room than there may be.
            world.config.space_bytes_max = None;
        }
        let mix = OpMix { unique_terms: weights.unique_terms, ..OpMix::choose(&mut choices) };
        let author = Author::new(mix);
        Self {
            choices,
            scope,
            weights,
            world,
            author,
            states: vec![Models::new()],
            base: 0,
            tickets: Tickets::default(),
            foreign: Foreign::default(),
            poisoned: false,
            handles: SnapshotHandles::default(),
            copy: None,
            ends: false,
            hurries: false,
            past: Vec::new(),
            ever_written: EverWritten::new(),
            live_damage: None,
            is_scarred: false,
            counts: Counts::default(),
        }
    }

    fn run(&mut self) -> Result<(), Failure> {
        let opened = self.world.open();
        let mut engine = opened.map_err(|error| Failure::new(Check::Opens, format!("anew: {error:#}")))?;
        for _ in 0..self.weights.rounds {
            if self.choices.are_over() {
                break;
            }
            self.foreign.enter(&engine);
            self.round(&engine)?;
            engine = self.end_and_reopen(engine)?;
            if self.choices.percent(self.weights.restarts) && self.live_damage.is_none() {
                engine = self.restart_often(engine)?;
            }
        }
        self.finish(engine)
    }

    fn models(&self) -> &Models {
        &self.states[self.states.len() - 1]
    }

    fn shards(&self) -> u64 {
        self.author.mix.shards
    }

    fn round(&mut self, engine: &Engine) -> Result<(), Failure> {
        if self.hurries {
            for _ in 0..self.choices.below(24) {
                engine.drive_once();
            }
            return self.settle(engine);
        }
        if self.is_hurt() {
            return if self.choices.percent(70) { self.heal_all(engine) } else { self.live_with_it(engine) };
        }
        if !self.world.is_faulty && self.choices.percent(self.weights.damages) {
            let plan = self.plan_harm(engine)?;
            self.batches(engine)?;
            self.end_harm(engine, plan)?;
            return self.compare(engine);
        }
        if self.choices.percent(self.weights.faults) {
            let kinds = [FaultKind::Write, FaultKind::Sync, FaultKind::Allocate];
            self.world.plan_fault(&mut self.choices, &kinds, 60);
        }
        if self.weights.bursts > 0 && self.choices.percent(self.weights.faults) {
            self.world.plan_foreign_fault(&mut self.choices);
        }
        if self.weights.foreign == 0 && self.choices.percent(self.weights.faults / 5) {
            self.end_a_machine(engine)?;
        }
        if self.choices.percent(self.weights.halts) {
            let within = self.choices.pick(&[20, 100, 400]);
            self.world.plan_halt(&mut self.choices, within);
        }
        self.batches(engine)?;
        if self.world.has_halted() { Ok(()) } else { self.compare(engine) }
    }

    /// Makes a thread or a machine of the log end in a panic, or a read fail with one. The log must not serve any more
    /// when something of it has ended.
    fn end_a_machine(&mut self, engine: &Engine) -> Result<(), Failure> {
        self.world.plan_panic(&mut self.choices);
        self.world.pass(engine, Duration::from_millis(300))?;
        let has_panicked = self.world.end_panic();
        let health = engine.health();
        let ended = |reason: &Reason| if let Reason::Ended(ended) = reason { Some(ended.poisons) } else { None };
        let poisons = health.reasons.iter().filter_map(ended).max();
        marks::hit_if(poisons.is_some(), "health: a thread or a machine has ended");
        // Below a read of the disk it is a read that failed.
        marks::hit_if(has_panicked && health.serves(), "health: the disk has panicked, and the log serves");
        let is_poisoned = health.poisoned().is_some();
        if poisons.is_some() && health.serves() || poisons == Some(true) && !is_poisoned {
            return Err(Failure::new(Check::FailStop, format!("a thread has ended, and: {health:?}")));
        }
        self.settle(engine)
    }

    fn batches(&mut self, engine: &Engine) -> Result<(), Failure> {
        for _ in 0..self.choices.below(self.weights.batches_max) {
            if self.choices.are_over() {
                break;
            }
            self.submit(engine)?;
            if self.ends {
                for _ in 0..self.choices.below(5) {
                    engine.drive_once();
                }
                break;
            }
            if self.choices.percent(self.weights.snapshots) {
                self.snapshots(engine)?;
            }
            if self.choices.percent(self.weights.copies) {
                self.copy(engine)?;
            }
            if self.choices.percent(self.weights.bursts) {
                for _ in 0..self.choices.below(10) {
                    self.submit(engine)?;
                }
            }
            if self.world.has_halted() {
                marks::hit("crash: in the middle of an operation");
                return Ok(());
            }
            for _ in 0..self.choices.below(self.weights.steps_max) {
                engine.drive_once();
            }
            if self.choices.percent(self.weights.pauses) {
                self.world.pass(engine, Duration::from_millis(60))?;
                self.check_foreign(engine)?;
            }
            if self.choices.percent(2) {
                // Everything that waits for a time is due at once.
                self.world.jump(Duration::from_secs(12));
                engine.drive_once();
            }
            if self.choices.percent(self.weights.reclaims) {
                if self.weights.damages == 0 && self.choices.percent(self.weights.halts / 4) {
                    // Copies that are written and not synced are what its next opening has to sync.
                    self.world.plan_halt(&mut self.choices, 12);
                }
                self.reclaim(engine)?;
                if self.world.has_halted() {
                    marks::hit("crash: in the middle of reclaiming");
                    self.hurries = self.choices.percent(60);
                    return Ok(());
                }
            }
            if self.choices.percent(self.weights.waits) {
                self.tickets.wait_for_some(engine, &mut self.choices)?;
            }
            if self.choices.percent(15) {
                let models = &self.states[self.states.len() - 1];
                let judged = if self.live_damage.is_some() { Entries::Damaged } else { Entries::Whole };
                let wrong = read_some(engine, models, self.author.mix.shards, &mut self.choices, judged);
                self.readable(wrong)?;
            }
            self.settle(engine)?;
        }
        Ok(())
    }

    fn submit(&mut self, engine: &Engine) -> Result<(), Failure> {
        let mut models = self.models().clone();
        let releases = self.choices.percent(self.weights.releases);
        let lazy = releases || self.choices.percent(self.weights.lazy);
        self.ends = releases && self.scope != Scope::Operations && self.choices.percent(40);
        let uniform = self.author.mix.uniform && !lazy && self.choices.percent(97);
        let mut operations = match () {
            () if releases => self.author.release(&models),
            () if uniform => self.author.uniform(&mut self.choices),
            () => Vec::new(),
        };
        for operation in &operations {
            operation.apply(&mut models);
            self.note_ever(operation);
        }
        let mut batch = engine.batch();
        let refused = |error: Error| Failure::new(Check::Accepted, format!("a batch refuses: {error:#}"));
        operations.iter().try_for_each(|operation| operation.add(&mut batch)).map_err(refused)?;
        let more = if releases || uniform { 0 } else { self.choices.range(1..6) };
        for _ in 0..more {
            // A batch takes a quarter of a segment; an operation some 12 KB and the rest of its last entry.
            if !batch.is_empty() && batch.bytes() + 12_000 + self.author.mix.payload_max > 40_000 {
                break;
            }
            let Some(operation) = self.author.choose(&mut self.choices, &models, lazy) else { continue };
            operation.apply(&mut models);
            self.note_ever(&operation);
            operation.add(&mut batch).map_err(refused)?;
            operations.push(operation);
            self.counts.operations += 1;
        }
        if batch.is_empty() {
            return Ok(());
        }
        self.counts.batches += 1;
        let durability = if lazy { Durability::Lazy } else { Durability::Durable };
        let outcome = match self.choices.percent(15) {
            true => self.world.drive(engine, engine.submit_async(batch, durability))?,
            false => engine.submit(batch, durability),
        };
        self.submitted_or_held(engine, outcome, models, &operations)?;
        self.world.check_bound(engine)
    }

    fn submitted(
        &mut self,
        engine: &Engine,
        outcome: logboom::Result<logboom::Ticket>,
        models: Models,
    ) -> Result<(), Failure> {
        match outcome {
            Ok(_) if self.poisoned => Err(Failure::new(Check::FailStop, "a batch was accepted after a failure")),
            Ok(ticket) => {
                self.take(ticket, models);
                Ok(())
            }
            Err(Error::Full { .. }) if self.world.is_tight() || self.world.is_faulty => {
                let is_bounded = self.world.config.space_bytes_max.is_some();
                marks::hit(if is_bounded {
                    "submit: the log has all the space that it may"
                } else {
                    "submit: the device is full"
                });
                self.drain(engine)
            }
            Err(Error::Quarantined { .. }) if self.is_hurt() => {
                marks::hit("damage: what is found while the log is open puts its shard in quarantine");
                self.make_good(engine).map(drop)
            }
            Err(Error::Poisoned { .. }) if self.world.is_faulty => Ok(()),
            Err(Error::Io { .. }) if self.world.is_faulty => Ok(()),
            Err(error) => Err(Failure::new(Check::Accepted, format!("a batch is refused: {error:#}"))),
        }
    }

    /// Continues with the state after an accepted batch.
    fn take(&mut self, ticket: Ticket, models: Models) {
        let act = Act::choose(&mut self.choices, self.weights.foreign);
        self.tickets.push(ticket, &mut self.choices, &self.foreign, act);
        self.states.push(models);
    }

    fn reclaim(&self, engine: &Engine) -> Result<(), Failure> {
        match engine.reclaim() {
            Ok(_) => Ok(()),
            Err(Error::Full { .. }) if self.world.is_tight() || self.world.is_faulty => Ok(()),
            Err(Error::Poisoned { .. } | Error::Io { .. }) if self.world.is_faulty || self.world.has_halted() => Ok(()),
            Err(error) => Err(Failure::new(Check::Accepted, format!("reclaiming: {error:#}"))),
        }
    }

    /// Checks that a full device still accepts batches that free space.
    fn drain(&mut self, engine: &Engine) -> Result<(), Failure> {
        let mut models = self.models().clone();
        let operations = self.author.release(&models);
        if operations.is_empty() {
            return self.world.pass(engine, Duration::from_millis(600));
        }
        let mut batch = engine.batch();
        operations.iter().for_each(|operation| operation.apply(&mut models));
        let added = operations.iter().try_for_each(|operation| operation.add(&mut batch));
        added.map_err(|error| Failure::new(Check::Accepted, format!("a batch refuses: {error:#}")))?;
        if let Ok(ticket) = engine.submit(batch, Durability::Durable) {
            self.take(ticket, models);
        }
        self.settle(engine)?;
        self.world.pass(engine, Duration::from_millis(600))
    }

    /// Notes the acknowledged batches.
    fn settle(&mut self, engine: &Engine) -> Result<(), Failure> {
        let poisoned = engine.health().poisoned().is_some();
        if poisoned && !self.world.is_faulty {
            let what = format!("poisoned without a failure: {:?}", engine.health().poisoned());
            return Err(Failure::new(Check::FailStop, what));
        }
        if poisoned && !self.poisoned {
            marks::hit("the log is poisoned");
            // Callbacks have their answers too when the machines have run.
            rest(engine)?;
        }
        let acknowledged = self.tickets.settle(poisoned)?;
        if self.poisoned && acknowledged > self.base {
            let what = format!("batches {} to {acknowledged} after a failure", self.base);
            return Err(Failure::new(Check::FailStop, what));
        }
        self.poisoned = poisoned;
        self.forget(usize::try_from(acknowledged - self.base).unwrap_or_default());
        self.base = acknowledged;
        Ok(())
    }

    /// Drops the first `count` states: recovery must not find them any more, unless something is damaged.
    fn forget(&mut self, count: usize) {
        let gone = self.states.drain(..count);
        if self.weights.damages > 0 {
            self.past.extend(gone);
        }
    }

    /// Goes on from this state, which an opening found.
    fn begin_anew(&mut self, models: Models) {
        self.states = vec![models];
        self.past.clear();
        self.base = 0;
        self.tickets = Tickets::default();
        self.poisoned = false;
    }

    /// Checks an engine at rest: every callback was called, and its writes are as expected.
    fn check_foreign(&mut self, engine: &Engine) -> Result<(), Failure> {
        self.settle(engine)?;
        self.tickets.check_called()?;
        self.foreign.check_panics(engine)
    }

    /// Checks that everything submitted can be read, durable or not, even if the log failed.
    fn compare(&self, engine: &Engine) -> Result<(), Failure> {
        self.readable(differences(engine, self.models(), self.shards(), self.judged()))
    }

    /// A difference is a failure, unless the machine stopped while it was looked for.
    fn readable(&self, difference: Option<String>) -> Result<(), Failure> {
        match difference {
            Some(what) if !self.world.has_halted() => Err(Failure::new(Check::Readable, what)),
            _ => Ok(()),
        }
    }

    fn finish(&mut self, engine: Engine) -> Result<(), Failure> {
        match self.choices.below(10) {
            0 | 1 if !self.world.is_faulty && !self.world.is_tight() && self.live_damage.is_none() => {
                self.space_returns(&engine)
            }
            // What callbacks have written is in no model, by which it could be mended.
            2 | 4..=6
                if self.scope == Scope::Everything
                    && !self.world.is_faulty
                    && self.live_damage.is_none()
                    && self.weights.foreign == 0
                    && self.weights.unique_terms =>
            {
                self.hurt_at_rest(engine)
            }
            3 if self.scope == Scope::Everything && !self.world.is_faulty && !self.is_scarred => {
                self.hit_the_identity(engine)
            }
            _ => Ok(()),
        }
    }

    /// Checks that almost no segment is in use when nothing is live.
    fn space_returns(&mut self, engine: &Engine) -> Result<(), Failure> {
        self.handles.clear();
        let mut models = self.models().clone();
        let operations: Vec<Operation> = self.author.release(&models);
        let mut batch = engine.batch();
        operations.iter().for_each(|operation| operation.apply(&mut models));
        let added = operations.iter().try_for_each(|operation| operation.add(&mut batch));
        let written = added.and_then(|()| if batch.is_empty() { Ok(()) } else { engine.write(batch) });
        written.map_err(|error| Failure::new(Check::Accepted, format!("releasing everything: {error:#}")))?;
        self.states = vec![models];
        for _ in 0..40 {
            self.world.pass(engine, Duration::from_millis(100))?;
        }
        let segments = engine.segments();
        if segments.len() > SEGMENTS_LEFT {
            return Err(Failure::new(Check::SpaceReturns, format!("{} segments: {segments:?}", segments.len())));
        }
        marks::hit("space has returned");
        self.check_leftovers()?;
        self.compare(engine)
    }
}

/// The segments that a log without entries may have in use until the next checkpoint.
const SEGMENTS_LEFT: usize = 10;
