//! Driving a log by hand: the caller's thread does, step by step, what the log's threads do otherwise.

use crate::{
    group_commit::{log::Shared, scheduler::Caller},
    runtime::worker::Worker,
};

impl Shared {
    /// Steps everything once, in the caller's thread; false if there was nothing to do.
    pub(crate) fn drive(&self) -> bool {
        self.deliver_if_closed();
        self.drive_for(Caller::Unlocked)
    }

    /// [`Shared::drive`] for `caller`: runs no foreign code if that holds locks.
    pub(crate) fn drive_for(&self, caller: Caller) -> bool {
        // Writes that a machine requests are for the next step.
        self.step(caller) | self.has_undurable_requests()
    }

    /// [`Shared::drive_for`], true only if something was done: requested writes may wait for another thread.
    pub(crate) fn step(&self, caller: Caller) -> bool {
        let committed = self.drive_commit();
        let worked = self.worker.get().is_some_and(Worker::step);
        let worked = self.guard.get().is_some_and(Worker::step) | worked;
        let workers =
            [&self.notices.notifier, &self.notices.watcher].into_iter().filter(|_| caller == Caller::Unlocked);
        let delivered =
            workers.filter_map(|worker| worker.get()).fold(false, |delivered, worker| delivered | worker.step());
        committed | worked | delivered
    }
}
