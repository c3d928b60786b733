//! Ends an engine in one of several ways, and opens its log again.

use logboom::{Engine, Error, disk::FaultKind};
use logboom_wal::marks;

use super::{History, Scope, live_damage::LiveDamage};
use crate::{
    check::{Check, Entries, Failure, differences},
    damage,
};

impl History {
    /// Ends the engine in one of the ways in which engines end, and opens the log again.
    pub(super) fn end_and_reopen(&mut self, engine: Engine) -> Result<Engine, Failure> {
        self.settle(&engine)?;
        self.foreign.leave();
        if self.may_lose_lock() {
            self.drop_copy()?;
            return self.lose_lock(&engine);
        }
        let mut engine = Some(engine);
        let dies = if self.world.has_halted() { 2 } else { 0 };
        let ends = std::mem::take(&mut self.ends);
        self.drop_copy()?;
        let hurries = self.hurries && !self.world.has_halted();
        self.hurries &= !hurries;
        let how = if ends || hurries {
            9
        } else if self.hurries {
            2
        } else {
            self.choices.range(dies..if self.scope == Scope::Operations { 2 } else { 10 })
        };
        if how < 2 {
            self.handles.clear();
        }
        match how {
            0 => engine.take().map_or(Ok(()), |engine| self.close(engine))?,
            // Closes, and says nothing.
            1 => drop(engine.take()),
            2..6 => self.world.process_crash(),
            _ => self.world.power_cut(),
        }
        // A dead one can do nothing any more.
        self.handles.clear();
        drop(engine);
        self.world.config.snapshots_kept = self.choices.pick(&[1, 1, 2, 3]);
        if how == 5 {
            marks::hit("crash: process killed, then power cut");
            self.world.power_cut();
        }
        // While nothing of a killed process is still on its way.
        let is_settled = !(2..5).contains(&how) && !self.world.is_faulty && !self.is_scarred;
        if is_settled && self.choices.percent(self.weights.rots) {
            damage::rot_a_checkpoint(&self.world, &mut self.choices)?;
        } else if is_settled && self.choices.percent(self.weights.rots / 2) {
            damage::exchange_names(&self.world, &mut self.choices);
        } else if is_settled && (hurries || self.choices.percent(20)) {
            damage::verify(&self.world)?;
        }
        self.reopen()
    }

    fn close(&mut self, engine: Engine) -> Result<(), Failure> {
        match engine.close() {
            Ok(()) => self.forget_but_last(),
            // Everything is durable; only the next opening takes longer.
            Err(Error::Io { .. } | Error::Full { .. }) if self.world.is_faulty || self.world.is_tight() => {
                marks::hit("closing without a checkpoint");
                if !self.poisoned {
                    self.forget_but_last();
                }
            }
            Err(Error::Poisoned { .. }) if self.world.is_faulty => {}
            Err(error) => return Err(Failure::new(Check::Accepted, format!("closing: {error:#}"))),
        }
        Ok(())
    }

    fn forget_but_last(&mut self) {
        self.forget(self.states.len() - 1);
    }

    /// Opens the log, with openings before that are cut short.
    pub(super) fn reopen(&mut self) -> Result<Engine, Failure> {
        let mut left = if self.choices.percent(self.weights.interruptions) { self.choices.range(1..4) } else { 0 };
        let mut refused = false;
        loop {
            let mut reads_fail = false;
            self.mark_leftovers();
            if left > 0 && self.choices.percent(50) {
                self.world.plan_halt(&mut self.choices, 60);
            } else if left > 0 {
                reads_fail = true;
                self.world.plan_fault(&mut self.choices, &FaultKind::ALL, 30);
            }
            let is_stale = self.plan_stale_opening(left == 0 && !refused);
            let opened = self.world.open();
            let is_stale = is_stale && self.end_stale_opening();
            match opened {
                Ok(engine) => {
                    self.counts.recoveries += 1;
                    if is_stale {
                        self.live_damage = Some(LiveDamage::stale());
                        self.is_scarred = true;
                    }
                    if reads_fail || self.live_damage.is_some() {
                        // What could not be read then can be now.
                        self.world.stop_faults();
                    }
                    let resumed = self.resume(&engine);
                    if !self.world.has_halted() {
                        return resumed.map(|()| engine);
                    }
                    // It stopped while it was looked at.
                    left = 0;
                    self.crash();
                    drop(engine);
                }
                Err(Error::Full { .. }) if self.world.is_small => self.world.free_space(),
                // Nothing has changed: the next one reads what is there.
                Err(Error::Corruption { .. } | Error::Foreign { .. } | Error::Identity { .. }) if is_stale => {
                    marks::hit("damage: an opening refuses what it reads");
                    // Choices that have run out would have every opening read it.
                    refused = true;
                }
                Err(Error::Io { .. } | Error::Full { .. } | Error::Poisoned { .. } | Error::Identity { .. })
                    if self.world.is_faulty =>
                {
                    marks::hit_if(self.world.has_halted(), "recovery: crashed in the middle of an operation");
                    marks::hit("recovery: cut short, and begun again");
                    self.counts.interrupted += 1;
                    left = left.saturating_sub(1);
                    self.crash();
                }
                Err(error) => return Err(Failure::new(Check::Opens, format!("{error:#}"))),
            }
        }
    }

    pub(super) fn crash(&mut self) {
        match self.choices.below(3) {
            0 => self.world.process_crash(),
            _ => self.world.power_cut(),
        }
    }

    /// Finds which of the possible states was recovered, and goes on from it.
    fn resume(&mut self, engine: &Engine) -> Result<(), Failure> {
        if self.live_damage.is_some() {
            self.resume_hurt(engine)?;
            return self.check_snapshots(engine);
        }
        let shards = self.shards();
        let found = self.states.iter().position(|models| differences(engine, models, shards, Entries::Whole).is_none());
        let Some(found) = found else {
            let last = differences(engine, self.models(), shards, Entries::Whole).unwrap_or_default();
            let first = differences(engine, &self.states[0], shards, Entries::Whole).unwrap_or_default();
            let check = if self.states.len() == 1 { Check::Stable } else { Check::Prefix };
            let what = format!("none of {} states: not the first: {first}; nor the last: {last}", self.states.len());
            return Err(Failure::new(check, what));
        };
        marks::hit_if(found + 1 < self.states.len(), "recovery: batches without an answer are gone");
        marks::hit_if(found > 0, "recovery: batches without an answer are there");
        let models = self.states.swap_remove(found);
        self.begin_anew(models);
        self.foreign.check_written(engine)?;
        self.check_snapshots(engine)?;
        self.check_leftovers()
    }
}
