//! Short scripts, with every crash and every failure tried.

use std::time::Duration;

use logboom::{
    Durability, Engine, Ticket,
    disk::{Fault, FaultKind, SimDisk},
};
use logboom_disk::Fate;
use logboom_wal::marks;

use crate::{
    check::{Check, Entries, Failure, differences},
    choices::Choices,
    model::Models,
    operation::{Author, OpMix, Operation},
    runner::guarded,
    world::World,
};

/// The most unsynced items for which all combinations of outcomes are tried; of more, only the last ones.
const UNDECIDED_MAX: usize = 6;

/// The counts of a script.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tried {
    /// Places at which the machine was stopped, or an operation failed.
    pub places: u64,
    /// The outcomes tried at them: combinations of old, new and torn.
    pub outcomes: u64,
}

/// A few batches, with an opening in between.
struct Script {
    seed: u64,
    acts: Vec<Act>,
}

enum Act {
    /// Submits a batch.
    Submit(Vec<Operation>, Durability),
    /// Steps the engine, and waits for everything at the end if that is wanted.
    Steps(u64),
    Barrier,
    Pass,
    /// Ends the engine without closing it, and opens the log again.
    Reopen,
}

/// How far a script came.
struct Progress {
    world: World,
    /// The shards before the first batch, and after each.
    states: Vec<Models>,
    acknowledged: usize,
    /// The operation in which the machine stops.
    halts_at: Option<u64>,
}

/// Stops a short script in each of its operations, and finds each of the states that a power cut could leave then.
///
/// # Errors
/// The first invariant that did not hold, with the place and the fates.
pub fn every_crash(seed: u64) -> Result<Tried, Failure> {
    guarded(|| {
        let script = Script::choose(seed);
        let mut tried = Tried::default();
        for place in 1.. {
            let mut world = script.world();
            world.disk.halt_after(place);
            world.is_faulty = true;
            let progress = script.run(world, Some(place))?;
            if !progress.world.has_halted() {
                break;
            }
            tried.places += 1;
            tried.outcomes += every_fate(&progress, seed, place)?;
        }
        Ok(tried)
    })
}

/// Has each operation of a short script fail, alone and with all behind it. What was acknowledged is found again.
///
/// # Errors
/// The first invariant that did not hold.
pub fn every_failure(seed: u64) -> Result<Tried, Failure> {
    guarded(|| {
        let script = Script::choose(seed);
        let whole = script.run(script.world(), None)?;
        let operations = whole.world.disk.operations();
        let mut tried = Tried::default();
        for kind in FaultKind::ALL {
            let count = operations.iter().filter(|operation| operation.kind == kind).count() as u64;
            for nth in 1..=count {
                for sticky in [false, true] {
                    let fault = Fault::error(kind, std::io::ErrorKind::Other).nth(nth);
                    let mut world = script.world();
                    world.disk.inject(if sticky { fault.sticky() } else { fault });
                    world.is_faulty = true;
                    let what = format!("{kind:?} {nth}{}", if sticky { " and all behind it" } else { "" });
                    let in_place = |failure: Failure| Failure { what: format!("{what}: {}", failure.what), ..failure };
                    let mut progress = script.run(world, None).map_err(in_place)?;
                    progress.world.power_cut();
                    progress.is_found(&progress.world).map_err(in_place)?;
                    tried.places += 1;
                    tried.outcomes += 1;
                }
            }
        }
        Ok(tried)
    })
}

fn every_fate(progress: &Progress, seed: u64, place: u64) -> Result<u64, Failure> {
    let disk = &progress.world.disk;
    let undecided = disk.undecided();
    let fixed = undecided.len().saturating_sub(UNDECIDED_MAX);
    let mut choices = Choices::seeded(seed ^ place << 32);
    let mut fates: Vec<Fate> = undecided.iter().map(|what| what.fates()[0]).collect();
    for (fate, what) in fates.iter_mut().zip(&undecided).take(fixed) {
        *fate = choices.pick(what.fates());
    }
    let mut turns = vec![0; undecided.len() - fixed];
    let mut outcomes = 0;
    loop {
        for ((fate, what), &turn) in fates[fixed..].iter_mut().zip(&undecided[fixed..]).zip(&turns) {
            *fate = what.fates()[turn];
        }
        let found = disk.fork(place).power_cut_with(&fates);
        let world = progress.world.on(found);
        let in_place = |failure: Failure| {
            let what = format!("script {seed}, stopped at {place}, {undecided:?} {fates:?}: {}", failure.what);
            Failure { what, trace: world.disk.trace(), ..failure }
        };
        progress.is_found(&world).map_err(in_place)?;
        outcomes += 1;
        marks::hit("script: a chosen power cut");
        // The next combination, as a number counts.
        let Some(at) = (0..turns.len()).find(|&at| turns[at] + 1 < undecided[fixed + at].fates().len()) else {
            return Ok(outcomes);
        };
        turns[at] += 1;
        turns[..at].fill(0);
    }
}

impl Script {
    fn choose(seed: u64) -> Self {
        let mut choices = Choices::seeded(seed);
        let mut mix = OpMix::choose(&mut choices);
        mix.shards = 2;
        mix.payload_max = choices.pick(&[20, 300, 700]);
        mix.entries_max = 3;
        let mut author = Author::new(mix);
        let (mut models, mut acts) = (Models::new(), Vec::new());
        for _ in 0..choices.range(4..8) {
            let lazy = choices.percent(30);
            let mut operations = Vec::new();
            for _ in 0..choices.range(1..3) {
                let Some(operation) = author.choose(&mut choices, &models, lazy) else { continue };
                operation.apply(&mut models);
                operations.push(operation);
            }
            if !operations.is_empty() {
                acts.push(Act::Submit(operations, if lazy { Durability::Lazy } else { Durability::Durable }));
            }
            acts.push(match choices.below(6) {
                0 => Act::Barrier,
                1 => Act::Pass,
                2 => Act::Reopen,
                _ => Act::Steps(choices.below(4)),
            });
        }
        Self { seed, acts }
    }

    fn world(&self) -> World {
        World::small(self.seed)
    }

    /// Runs the script until it ends or the machine stops.
    fn run(&self, world: World, halts_at: Option<u64>) -> Result<Progress, Failure> {
        let mut progress = Progress { world, states: vec![Models::new()], acknowledged: 0, halts_at };
        let Some(mut engine) = progress.open()? else { return Ok(progress) };
        let mut tickets: Vec<(usize, Ticket)> = Vec::new();
        for act in &self.acts {
            match act {
                Act::Submit(operations, durability) => {
                    if let Some(ticket) = progress.submit(&engine, operations, *durability)? {
                        tickets.push((progress.states.len() - 1, ticket));
                    }
                }
                Act::Steps(steps) => {
                    for _ in 0..*steps {
                        engine.drive_once();
                    }
                }
                Act::Barrier => drop(engine.barrier().and_then(Ticket::wait)),
                Act::Pass => progress.world.pass(&engine, Duration::from_millis(150))?,
                Act::Reopen => {
                    progress.acknowledge(&mut tickets)?;
                    progress.die();
                    drop(engine);
                    let Some(next) = progress.open()? else { return Ok(progress) };
                    engine = next;
                    if !progress.resume(&engine)? {
                        return Ok(progress);
                    }
                    tickets.clear();
                }
            }
            progress.acknowledge(&mut tickets)?;
            if progress.world.has_halted() || engine.health().poisoned().is_some() {
                break;
            }
        }
        Ok(progress)
    }
}

impl Progress {
    /// Ends the process; a machine that is planned to stop still stops.
    fn die(&mut self) {
        let done = self.world.disk.operations().len() as u64;
        self.world.disk = self.world.disk.process_crash();
        if let Some(left) = self.halts_at.and_then(|place| place.checked_sub(done)) {
            self.world.disk.halt_after(left);
        }
    }

    /// `None` where the machine stopped, or what was to fail has failed.
    fn open(&self) -> Result<Option<Engine>, Failure> {
        match self.world.open() {
            Ok(engine) => Ok(Some(engine)),
            Err(_) if self.world.has_halted() || self.world.is_faulty => Ok(None),
            Err(error) => Err(Failure::new(Check::Opens, format!("{error:#}"))),
        }
    }

    fn submit(
        &mut self,
        engine: &Engine,
        operations: &[Operation],
        durability: Durability,
    ) -> Result<Option<Ticket>, Failure> {
        let mut models = self.states[self.states.len() - 1].clone();
        let mut batch = engine.batch();
        for operation in operations {
            operation.apply(&mut models);
            let added = operation.add(&mut batch);
            added.map_err(|error| Failure::new(Check::Accepted, format!("{error:#}")))?;
        }
        match engine.submit(batch, durability) {
            Ok(ticket) => {
                self.states.push(models);
                Ok(Some(ticket))
            }
            Err(_) if self.world.is_faulty => Ok(None),
            // What crashed away before an opening is missed by what was written for behind it.
            Err(error) => Err(Failure::new(Check::Accepted, format!("{error:#}"))),
        }
    }

    fn acknowledge(&mut self, tickets: &mut Vec<(usize, Ticket)>) -> Result<(), Failure> {
        let waiting = std::mem::take(tickets);
        for (state, ticket) in waiting {
            if !ticket.is_done() {
                tickets.push((state, ticket));
            } else if ticket.wait().is_ok() {
                self.acknowledged = self.acknowledged.max(state);
            }
        }
        Ok(())
    }

    /// Goes on from what an opening found; false if that was not the last state, for which the script was written.
    fn resume(&mut self, engine: &Engine) -> Result<bool, Failure> {
        let found = self.found(engine);
        if self.world.has_halted() {
            return Ok(false);
        }
        // Reads that fail are to be seen by the opening, not here.
        self.world.disk.clear_faults();
        let found = found.or_else(|| self.found(engine));
        let Some(found) = found else {
            return Err(Failure::new(Check::Prefix, "no possible state was recovered"));
        };
        // It is durable now, acknowledged or not; what was not found is gone.
        let was_last = found + 1 == self.states.len();
        self.acknowledged = found;
        self.states.truncate(found + 1);
        Ok(was_last)
    }

    fn found(&self, engine: &Engine) -> Option<usize> {
        let same = |state: &usize| differences(engine, &self.states[*state], 2, Entries::Whole).is_none();
        (self.acknowledged..self.states.len()).find(same)
    }

    fn is_found(&self, world: &World) -> Result<(), Failure> {
        world.disk.clear_faults();
        let opened = world.open();
        let engine = opened.map_err(|error| Failure::new(Check::Opens, format!("{error:#}")))?;
        if self.found(&engine).is_some() {
            return Ok(());
        }
        let last = differences(&engine, &self.states[self.states.len() - 1], 2, Entries::Whole);
        let range = self.acknowledged..self.states.len();
        Err(Failure::new(Check::Prefix, format!("none of the states {range:?}; against the last: {last:?}")))
    }
}

impl World {
    /// A machine with small blocks, for scripts.
    fn small(seed: u64) -> Self {
        let mut choices = Choices::seeded(seed);
        let mut world = Self::choose(&mut choices);
        world.config.reserve_segments = 0;
        world.config.space_bytes_max = None;
        world.disk = SimDisk::new(seed, Self::small_options());
        world.is_small = false;
        world
    }
}
