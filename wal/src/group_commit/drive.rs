//! A log that is driven by hand does in its caller's thread, step by step, what threads of its own do otherwise.

use crate::{
    group_commit::{log::Shared, tail::Caller},
    runtime::worker::Worker,
};

impl Shared {
    /// One step of everything, in the caller's thread; false when there was nothing to do.
    pub(crate) fn drive(&self) -> bool {
        self.attend_if_closed();
        self.drive_for(Caller::Free)
    }

    /// [`Shared::drive`], without foreign code for a caller that has something locked.
    pub(crate) fn drive_for(&self, caller: Caller) -> bool {
        let committed = self.drive_commit();
        let worked = self.worker.get().is_some_and(Worker::step);
        let worked = self.guard.get().is_some_and(Worker::step) | worked;
        let tellers = [&self.notices.notifier, &self.notices.watcher].into_iter().filter(|_| caller == Caller::Free);
        let told = tellers.filter_map(|teller| teller.get()).fold(false, |told, teller| told | teller.step());
        // What a machine wants written is the next step's.
        committed | worked | told | self.is_undone()
    }
}
