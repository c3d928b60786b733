//! A log that is driven by hand does in its caller's thread, step by step, what threads of its own do otherwise.

use logboom_disk::Wait;

use crate::{
    group_commit::{
        committer::{Lane, Next},
        log::{Caller, Shared},
    },
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

    fn drive_commit(&self) -> bool {
        let Some(mut tail) = self.tail.try_lock() else { return false };
        let Some(mut queue) = tail.queue.take() else { return false };
        let driven = self.outlive(|| {
            let next = self.pump(&mut tail, &mut *queue, Lane::Queued);
            if let Some(Next::Completion) = next {
                queue.reap(Wait::Forever, tail.committer.completions());
            }
            matches!(next, Some(Next::Pump | Next::Completion))
        });
        // One that has panicked is not asked again: nothing is written any more.
        if driven.is_some() {
            tail.queue = Some(queue);
        }
        driven.unwrap_or(false)
    }
}
