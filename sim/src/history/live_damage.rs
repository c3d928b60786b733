//! Damage while the log is open: lost and misdirected writes, stale reads, bit rot. No operation fails, and no crash
//! explains the damage.
//!
//! Served data must be right all the same. Data that a later record vouches for is there, or reported as missing; the
//! end of the log, for which none vouches yet, may be lost silently. Then the quarantines are ended, and the history
//! continues.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    time::Duration,
};

use logboom::{
    Durability, Engine, Quarantine, ReadError, ShardId,
    disk::{Disk, Fault},
};
use logboom_disk::{Mode, Rot, SimDisk};
use logboom_wal::marks;

use super::History;
use crate::{
    check::{Check, Entries, Failure, differences, may_lack_snapshots},
    choices::Choices,
    damage,
    model::{Models, Written},
    operation::{Kind, Operation},
    world::World,
};

/// An idle log has promised everything after this.
const PROMISED: Duration = Duration::from_millis(150);

/// Damage that was done and is not healed yet.
#[derive(Debug, Default)]
pub(super) struct LiveDamage {
    /// The first of the states since the last opening that may be recovered.
    floor: usize,
    /// Whether only reads of this engine are hit, and not the disk's content.
    is_passing: bool,
    /// Whether a stale read was used to open the engine: the next opening knows better what is missing.
    is_stale: bool,
    /// Whether everything is healed, as far as a stale opening knows.
    is_healed: bool,
    /// The losses that the last opening reported.
    reported: Option<Reported>,
}

/// The shards in quarantine, and whether those that were never seen are as well.
type Reported = (Vec<(ShardId, Quarantine)>, bool);

/// The kind of damage to the next operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    Lost,
    Misdirected,
    Stale,
    Rot,
}

/// The damage to a log at rest.
enum Hit {
    /// Records of these shards.
    Records(BTreeSet<u64>),
    /// More than can be reported shard by shard.
    Anything,
}

/// Every entry that a shard had at an index at any time.
pub(super) type EverWritten = BTreeMap<(u64, u64), Vec<Written>>;

impl LiveDamage {
    /// For an opening by a stale read.
    pub(super) fn stale() -> Self {
        Self { is_stale: true, ..Self::default() }
    }

    /// The next opening will not say what the last one said.
    pub(super) fn expect_less(&mut self) {
        self.reported = None;
    }

    /// The rest of it when nothing is missing any more.
    pub(super) fn healed(self) -> Option<Self> {
        self.is_stale.then_some(Self { is_healed: true, ..self })
    }
}

impl History {
    /// How the engine's entries are judged.
    pub(super) fn judged(&self) -> Entries {
        if self.live_damage.is_some() { Entries::Damaged } else { Entries::Whole }
    }

    /// Whether something is in quarantine, or may be when the log is opened again.
    pub(super) fn is_hurt(&self) -> bool {
        self.live_damage.as_ref().is_some_and(|damage| !damage.is_passing && !damage.is_healed)
    }

    /// Notes the entries of a batch, accepted or not.
    pub(super) fn note_ever(&mut self, operation: &Operation) {
        if self.weights.damages == 0 {
            return;
        }
        if let Kind::Append { first, entries } | Kind::Overwrite { first, entries } = &operation.kind {
            for (index, written) in (*first..).zip(entries) {
                self.ever_written.entry((operation.shard, index)).or_default().push(*written);
            }
        }
    }

    /// Plans damage during the next batches. Everything acknowledged before is promised.
    pub(super) fn plan_harm(&mut self, engine: &Engine) -> Result<Plan, Failure> {
        self.world.pass(engine, PROMISED)?;
        self.settle(engine)?;
        let plan = self.choices.pick(&[Plan::Lost, Plan::Lost, Plan::Misdirected, Plan::Stale, Plan::Rot]);
        // A misplaced write may hit all that vouches for the end of the log.
        let floor = if plan == Plan::Misdirected { 0 } else { self.past.len() };
        if plan.begin(&self.world, &mut self.choices) {
            self.live_damage = Some(LiveDamage { floor, is_passing: plan == Plan::Stale, ..LiveDamage::default() });
        }
        Ok(plan)
    }

    /// Ends the planned damage. If it happened, a later record vouches for the data that it hit, in most cases.
    pub(super) fn end_harm(&mut self, engine: &Engine, plan: Plan) -> Result<(), Failure> {
        if plan == Plan::Stale {
            // Reads what is not in memory.
            self.compare(engine)?;
        }
        let is_hit = self.world.disk.pending_faults() == 0;
        self.world.stop_faults();
        if is_hit {
            marks::hit(plan.mark());
        } else {
            self.live_damage = None;
        }
        self.is_scarred |= self.is_hurt();
        if self.is_hurt() && self.choices.percent(75) {
            // What is on its way lands first.
            self.world.pass(engine, PROMISED)?;
            let hint = Kind::CommitHint { hint: vec![self.choices.byte()] };
            self.hand_in(engine, &[Operation { shard: 0, kind: hint }])?;
            self.wait(engine)?;
            self.world.pass(engine, PROMISED)?;
            self.settle(engine)?;
            let last = self.past.len() + self.states.len() - 1;
            self.live_damage.iter_mut().for_each(|damage| damage.floor = last);
            marks::hit("damage: something vouches for what is hit");
        }
        Ok(())
    }

    /// Damages the log after it was closed or killed, and continues with the rest.
    pub(super) fn hurt_at_rest(&mut self, engine: Engine) -> Result<(), Failure> {
        let kind = self.choices.below(4);
        if kind == 2 && self.choices.percent(70) {
            self.cross_a_segment(&engine)?;
        }
        if kind < 2 || self.choices.percent(50) {
            if engine.close().is_err() {
                return Ok(());
            }
            let last = self.models().clone();
            self.begin_anew(last);
        } else {
            self.settle(&engine)?;
            self.past.clear();
            self.world.power_cut();
            drop(engine);
        }
        let (world, choices) = (&self.world, &mut self.choices);
        let hit = match kind {
            0 | 1 => damage::hurt_a_segment(world, choices).map(Hit::Records),
            2 => damage::lose_the_newest(world, choices).then_some(Hit::Anything),
            _ => damage::unread_a_segment(world, choices).then_some(Hit::Anything),
        };
        let Some(hit) = hit else { return Ok(()) };
        // An opening that begins a segment, and damage that keeps others, want more room than there may be.
        self.world.free_space();
        self.live_damage = Some(LiveDamage::default());
        self.is_scarred = true;
        for _ in 0..2 {
            let engine = self.reopen()?;
            if self.is_hurt() {
                self.check_hit(&engine, &hit)?;
                self.heal_all(&engine)?;
            }
            self.compare(&engine)?;
            self.crash();
        }
        Ok(())
    }

    /// Writes on until a segment is begun and the one before names it in its footer: something is lost with the newest
    /// one then, and no checkpoint need know of it.
    fn cross_a_segment(&mut self, engine: &Engine) -> Result<(), Failure> {
        let newest = |engine: &Engine| engine.segments().iter().map(|one| one.info.id).filter(|id| !id.is_cold()).max();
        let before = newest(engine);
        for _ in 0..60 {
            if newest(engine) != before || self.ends {
                break;
            }
            self.submit(engine)?;
            engine.drive_once();
        }
        // The one before is sealed.
        self.wait(engine)?;
        for _ in 0..self.choices.below(12) {
            engine.drive_once();
        }
        self.submit(engine)?;
        self.wait(engine)?;
        self.settle(engine)
    }

    /// Checks that damage which can be reported by shard is reported for exactly the shards whose records were hit.
    fn check_hit(&self, engine: &Engine, hit: &Hit) -> Result<(), Failure> {
        let Hit::Records(hit) = hit else { return Ok(()) };
        let is_other = |(id, _): &(ShardId, Quarantine)| !hit.contains(&id.0);
        let others: Vec<(ShardId, Quarantine)> = engine.quarantined().into_iter().filter(is_other).collect();
        // A stale opening misses other things.
        if self.weights.damages > 0 || others.is_empty() && !engine.has_unknown_losses() {
            return Ok(());
        }
        let what = format!("records of {hit:?} were hit, and besides {others:?}\n{}", engine.open_report());
        Err(Failure::new(Check::DamageShows, what))
    }

    /// Makes one read of the next opening return earlier content.
    pub(super) fn plan_stale_opening(&mut self, is_possible: bool) -> bool {
        // What hit the engine that has ended hits no more.
        self.live_damage.take_if(|damage| damage.is_passing);
        self.live_damage.iter_mut().for_each(|damage| damage.is_stale = false);
        let is_planned = is_possible && !self.world.is_faulty && self.choices.percent(self.weights.damages / 2);
        if is_planned {
            let name = self.choices.pick(&["", "segment", "checkpoint"]);
            let nth = 1 + self.choices.below(if name.is_empty() { 30 } else { 10 });
            self.world.disk.inject(Fault::stale_read().on(name).nth(nth));
        }
        is_planned
    }

    /// Ends a planned stale read, and returns whether it happened.
    pub(super) fn end_stale_opening(&mut self) -> bool {
        let is_hit = self.world.disk.pending_faults() == 0;
        self.world.stop_faults();
        marks::hit_if(is_hit, "damage: an opening reads what was there earlier");
        is_hit
    }

    /// Finds the possible states that agree with the engine, except for the data that it reports missing.
    pub(super) fn resume_hurt(&mut self, engine: &Engine) -> Result<(), Failure> {
        let shards = self.shards();
        let (floor, before) =
            self.live_damage.as_ref().map_or((0, None), |damage| (damage.floor, damage.reported.as_ref()));
        let all: Vec<&Models> = self.past.iter().chain(&self.states).collect();
        let fits = |nth: &usize| differences(engine, all[*nth], shards, Entries::Damaged).is_none();
        let found: Vec<usize> = (floor..all.len()).filter(fits).collect();
        let Some(&newest) = found.last() else {
            let last = differences(engine, all[all.len() - 1], shards, Entries::Damaged).unwrap_or_default();
            let first = differences(engine, all[floor], shards, Entries::Damaged).unwrap_or_default();
            let states = format!("none of the states {floor}..{}", all.len());
            let what = format!("{states}: not the first: {first}; nor the last: {last}\n{}", engine.open_report());
            return Err(Failure::new(Check::DamageShows, what));
        };
        marks::hit_if(newest + 1 < all.len(), "damage: the end of the log is gone without a word");
        let mut found: Vec<Models> = found.into_iter().map(|nth| all[nth].clone()).collect();
        found.iter_mut().for_each(|models| forget_lost(engine, models));
        self.check_held_back(engine)?;
        let reported = (engine.quarantined(), engine.has_unknown_losses());
        if self.world.has_halted() {
            // It is looked at again.
            return Ok(());
        }
        if before.is_some_and(|before| *before != reported) {
            return Err(Failure::new(Check::Stable, format!("now {reported:?}, before {before:?}")));
        }
        marks::hit_if(before.is_some(), "damage: what is missing is found missing again");
        // Where nothing is reported of, entries may be damaged that only reading them finds.
        let is_stale = self.live_damage.as_ref().is_some_and(|damage| damage.is_stale);
        self.live_damage =
            Some(LiveDamage { is_stale, reported: (!is_stale).then_some(reported), ..LiveDamage::default() });
        if self.world.is_small {
            // What is mended wants more room than there may be.
            self.world.free_space();
        }
        // Of a shard that is held back nobody knows which of them it is, until an opening knows better.
        if let Some(newest) = found.pop() {
            self.begin_anew(newest);
        }
        self.past = found;
        Ok(())
    }

    /// Checks that a shard serves only data that it had at some time.
    fn check_held_back(&self, engine: &Engine) -> Result<(), Failure> {
        for (id, missing) in engine.quarantined() {
            let shard = engine.shard(id);
            let bounds = shard.bounds();
            let (Some(first), Some(last), true) = (bounds.first, bounds.last, missing.suffix) else { continue };
            for index in first..=last {
                let had = match shard.entries(index..index + 1, u64::MAX) {
                    Ok(_) if self.weights.damages == 0 => true,
                    Ok(entries) => {
                        let had = self.ever_written.get(&(id.0, index)).map_or(&[][..], |had| had);
                        entries.get(index).is_some_and(|entry| had.iter().any(|written| written.is(&entry)))
                    }
                    Err(ReadError::Corrupted { .. }) => true,
                    Err(_) => self.world.is_faulty,
                };
                if !had {
                    let what = format!("{id:?} never had its entry {index}");
                    return Err(Failure::new(Check::DamageShows, what));
                }
            }
        }
        Ok(())
    }

    /// Submits a batch of these operations.
    pub(super) fn hand_in(&mut self, engine: &Engine, operations: &[Operation]) -> Result<(), Failure> {
        let mut models = self.models().clone();
        let mut batch = engine.batch();
        operations.iter().for_each(|operation| operation.apply(&mut models));
        let added = operations.iter().try_for_each(|operation| operation.add(&mut batch));
        added.map_err(|error| Failure::new(Check::Accepted, format!("a batch refuses: {error:#}")))?;
        self.submitted(engine, engine.submit(batch, Durability::Durable), models)
    }
}

/// A commit hint is but a hint, and may be lost without a trace, or found again by an opening that reads better than
/// the one before; an older snapshot than the newest may be lost as well.
fn forget_lost(engine: &Engine, models: &mut Models) {
    for (id, model) in models {
        if !may_lack_snapshots(engine, ShardId(*id)) {
            let there = engine.snapshots().list(ShardId(*id));
            Rc::make_mut(model).snapshots.retain(|ours| there.iter().any(|one| one.id == ours.id));
        }
        if let Ok(hint) = engine.shard(ShardId(*id)).commit_hint() {
            Rc::make_mut(model).commit_hint = hint.map(Vec::from);
        }
    }
}

impl Plan {
    fn mark(self) -> &'static str {
        match self {
            Plan::Lost => "damage: a write is lost",
            Plan::Misdirected => "damage: a write goes elsewhere",
            Plan::Stale => "damage: a read is stale",
            Plan::Rot => "damage: bytes rot",
        }
    }

    /// Does the damage, or plans it for the operation that it hits; false if there is nothing to hit.
    fn begin(self, world: &World, choices: &mut Choices) -> bool {
        let disk = &world.disk;
        let names: Vec<String> = disk.list().unwrap_or_default();
        let names: Vec<&String> =
            names.iter().filter(|name| name.starts_with("segment") || name.starts_with("checkpoint")).collect();
        let name = names[choices.size(names.len())];
        let kind = choices.pick(&["", "segment", "segment", "checkpoint"]);
        let nth = 1 + choices.below(if kind == "checkpoint" { 4 } else { 30 });
        match self {
            Plan::Lost => disk.inject(Fault::lost_write().on(kind).nth(nth)),
            Plan::Misdirected => {
                let size = disk.open(name, Mode::Read).and_then(|file| file.size()).unwrap_or_default();
                let sector = SimDisk::SECTOR as u64;
                let at = choices.below(size / sector) * sector;
                disk.inject(Fault::misdirected_write(name.as_str(), at).on(kind).nth(nth));
            }
            // Most reads are answered from memory.
            Plan::Stale => disk.inject(Fault::stale_read().nth(1 + nth % 3)),
            Plan::Rot => {
                // As much as one group may lose: what vouches for it is another.
                let rot = if disk.facts().pad_unit < 4096 { Rot::Sector } else { Rot::Block };
                return disk.rot(name, choices.pick(&[Rot::Bit, Rot::Sector, rot])).is_ok();
            }
        }
        true
    }
}
