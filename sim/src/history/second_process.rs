//! The lock goes away below a running log, and another process opens the directory.

use std::time::Duration;

use logboom::{Durability, Engine, Error, ShardId};
use logboom_wal::marks;

use super::History;
use crate::check::{Check, Failure};

/// Within this time the log must notice that its directory is not its own any more.
const NOTICED: Duration = Duration::from_secs(1);

impl History {
    /// Whether the engine may lose its lock now.
    pub(super) fn may_lose_lock(&mut self) -> bool {
        let is_well = !self.world.has_halted() && !self.world.is_faulty && self.live_damage.is_none();
        is_well && !self.ends && self.choices.percent(self.weights.second_processes)
    }

    /// Removes the lock. The engine ends for it, and another one goes on with all that was acknowledged; whatever the
    /// first one still tries changes nothing.
    pub(super) fn lose_lock(&mut self, old: &Engine) -> Result<Engine, Failure> {
        self.world.lose_lock();
        for _ in 0..self.choices.below(4) {
            self.submit(old)?;
            self.settle(old)?;
        }
        self.world.pass(old, NOTICED)?;
        self.settle(old)?;
        if !self.poisoned {
            return Err(Failure::new(Check::FailStop, "the log goes on, a second after its lock was removed"));
        }
        self.ends = false;
        self.handles.clear();
        self.world.open_beside()?;
        let new = self.reopen()?;
        self.is_over(old)?;
        self.readable(crate::check::differences(&new, self.models(), self.shards(), self.judged()))?;
        marks::hit("lock: another process goes on");
        Ok(new)
    }

    /// Checks that the engine accepts nothing and changes nothing.
    fn is_over(&mut self, old: &Engine) -> Result<(), Failure> {
        let mut batch = old.batch();
        let added = batch.commit_hint(ShardId(0), &[self.choices.byte()]);
        added.map(drop).map_err(|error| Failure::new(Check::Accepted, format!("a batch refuses: {error:#}")))?;
        match old.submit(batch, Durability::Durable) {
            Err(Error::Poisoned { .. }) => {}
            other => return Err(Failure::new(Check::FailStop, format!("a batch without the lock: {other:?}"))),
        }
        for _ in 0..self.choices.below(50) {
            old.drive_once();
        }
        Ok(())
    }
}
