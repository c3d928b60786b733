//! Upkeep: snapshots when they are due, and compaction behind them.

use std::sync::Arc;

use logboom::{Durability, Ticket, snapshot::Built};

use super::Driver;
use crate::{
    error::Result,
    machine::StateMachine,
    policy::{Compaction, Decision, Hold, Holder, ShardStatus, Trigger},
    save::{SaveJob, Saved},
};

/// The result of [`Driver::upkeep`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Upkeep<M> {
    /// The policy's decision. Its compaction is submitted, unless a lease was taken at that moment.
    pub decision: Decision,
    /// The snapshot to save, if one is due.
    pub job: Option<SaveJob<M>>,
}

/// A registered snapshot.
#[derive(Debug)]
#[non_exhaustive]
pub struct Finished {
    /// Its index.
    pub index: u64,
    /// The policy's decision; its compaction is part of the registration.
    pub decision: Decision,
    /// The ticket of the registration. Waiting for it is optional.
    pub ticket: Ticket,
}

impl<M: StateMachine> Driver<M> {
    /// Does what the policy asks for: compacts the log, and returns the job to save a snapshot if one is due. Syncs a
    /// machine that keeps its own state instead, in this call.
    ///
    /// Call it after entries were applied, and when a follower has advanced or a lease has ended.
    ///
    /// # Errors
    /// [`Engine`](crate::Error::Engine); [`Machine`](crate::Error::Machine) when a snapshot could not be prepared,
    /// which is retried later. A sync that fails stops the driver; [`Halted`](crate::Error::Halted).
    pub fn upkeep(&mut self) -> Result<Upkeep<M>> {
        self.check()?;
        let mut decision = self.decide();
        if self.keeping.is_some() && decision.snapshot.is_some_and(|trigger| trigger != Trigger::Request) {
            self.sync().map_err(|error| self.halt(error))?;
            self.saved = self.applied();
            decision = Decision { snapshot: self.requested(), ..self.decide() };
        }
        if let Some(compaction) = &decision.compaction {
            self.compact(compaction)?;
        }
        let job = match decision.snapshot {
            Some(trigger) => self.begin(trigger).inspect_err(|_| self.back_off())?,
            None => None,
        };
        Ok(Upkeep { decision, job })
    }

    /// Requests a snapshot independently of the policy: the next upkeep returns its job, unless the newest snapshot
    /// includes everything applied.
    pub fn request_snapshot(&mut self) {
        self.request_snapshot_from(0);
    }

    /// [`Driver::request_snapshot`] for a snapshot of at least `index`: an upkeep returns its job once that index is
    /// applied. A running job for a lower index does not satisfy the request.
    pub fn request_snapshot_from(&mut self, index: u64) {
        self.requested = self.requested.max(Some(index));
    }

    /// Registers a saved snapshot, in one batch with the compaction that the policy then asks for.
    ///
    /// # Errors
    /// The job's error: no snapshot is left, the machine stays usable, and the policy tries again after some more
    /// entries; a request has to be repeated. [`Engine`](crate::Error::Engine) with `Stale` when a newer one was
    /// installed meanwhile. [`Halted`](crate::Error::Halted).
    pub fn finish(&mut self, saved: Saved) -> Result<Finished> {
        self.check()?;
        if self.job.as_ref().is_some_and(|(job, _)| job.as_ptr() == Arc::as_ptr(&saved.alive)) {
            self.job = None;
        }
        let built = match saved.outcome {
            Ok(built) => built,
            Err(error) => {
                self.back_off();
                return Err(error);
            }
        };
        let index = built.manifest().index;
        let saved = self.saved.replace(index.max(self.saved.unwrap_or(0)));
        let mut decision = self.decide();
        decision.snapshot = None;
        let ticket = self.register(&built, decision.compaction.as_ref()).inspect_err(|_| self.saved = saved)?;
        self.requested = self.requested.filter(|least| index < *least);
        Ok(Finished { index, decision, ticket })
    }

    /// The policy's decision for the current state, without doing anything.
    pub fn decide(&self) -> Decision {
        let holds = self.holds();
        let status = ShardStatus {
            first: self.first(),
            applied: self.applied(),
            saved: self.saved,
            // A snapshot for another replica does not make the sync superfluous.
            saving: self.is_saving() && self.keeping.is_none(),
            holds: &holds,
            log: &self.sizes,
        };
        let mut decision = self.options.policy.decide(&status);
        if self.applied() < Some(self.retry_at) {
            decision.snapshot = None;
        }
        decision.snapshot = self.requested().or(decision.snapshot);
        decision
    }

    /// Whether a job is under way that was neither finished nor dropped.
    pub fn is_saving(&self) -> bool {
        self.job.as_ref().is_some_and(|(job, _)| job.strong_count() > 0)
    }

    /// Delays the next save after a failure: on a full device, say, immediate retries would never end.
    fn back_off(&mut self) {
        let pause = self.options.policy.every_entries.unwrap_or(0) / 8;
        self.retry_at = self.applied().unwrap_or(0).saturating_add(pause.max(1));
        self.requested = None;
    }

    fn requested(&self) -> Option<Trigger> {
        let is_applied = self.requested.is_some_and(|least| self.applied() >= Some(least));
        let wanted = is_applied && !self.is_saving() && self.applied() > self.registered();
        wanted.then_some(Trigger::Request)
    }

    /// The index of the newest registered snapshot.
    pub(super) fn registered(&self) -> Option<u64> {
        self.engine.snapshots().list(self.shard.id()).last().map(|newest| newest.index)
    }

    fn holds(&self) -> Vec<Hold> {
        let leased = self.engine.snapshots().held(self.shard.id());
        let lease = leased.map(|index| Hold { needs: index.saturating_add(1), holder: Holder::Lease(index) });
        let follower = |(id, needs): (&u64, &u64)| Hold { needs: *needs, holder: Holder::Follower(*id) };
        self.followers.iter().map(follower).chain(lease).collect()
    }

    fn begin(&mut self, trigger: Trigger) -> Result<Option<SaveJob<M>>> {
        let (id, codec) = (self.shard.id(), self.options.codec);
        let job = SaveJob::new(&self.engine, id, codec, &self.cell, &self.saving, trigger)?;
        self.job = job.as_ref().map(|job| (Arc::downgrade(job.alive()), job.stop_signal()));
        Ok(job)
    }

    /// Compacts the log. A lease that was taken since the decision postpones it.
    fn compact(&mut self, compaction: &Compaction) -> Result<()> {
        let mut batch = self.engine.batch();
        self.add_compaction(&mut batch, compaction)?;
        match self.engine.submit(batch, Durability::Lazy) {
            Ok(_) | Err(logboom::Error::Leased { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        self.sizes.forget_below(self.first());
        Ok(())
    }

    fn register(&mut self, built: &Built, compaction: Option<&Compaction>) -> Result<Ticket> {
        let mut batch = self.engine.batch();
        batch.register_snapshot(self.shard.id(), built)?;
        if let Some(compaction) = compaction {
            self.add_compaction(&mut batch, compaction)?;
        }
        match self.engine.submit(batch, Durability::Durable) {
            Err(logboom::Error::Leased { .. }) if compaction.is_some() => self.register(built, None),
            Err(error) => Err(error.into()),
            Ok(ticket) => {
                self.sizes.forget_below(self.first());
                Ok(ticket)
            }
        }
    }

    fn add_compaction(&self, batch: &mut logboom::Batch<'_>, compaction: &Compaction) -> Result<()> {
        let shard = self.shard.id();
        match compaction.overridden.iter().any(|hold| matches!(hold.holder, Holder::Lease(_))) {
            true => batch.compact_past_leases(shard, compaction.through)?,
            false => batch.compact_through(shard, compaction.through)?,
        };
        Ok(())
    }
}
