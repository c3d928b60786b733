//! Closing a log: writes everything, ends the threads, and delivers the remaining notifications.

use std::sync::atomic::Ordering;

use crate::{
    group_commit::{log::Shared, scheduler::Caller, watermark::poisoned},
    runtime::worker::Worker,
    types::error::Error,
};

impl Shared {
    /// Drains, writes a last group which says that nothing follows, and ends the threads.
    pub(crate) fn close(&self) -> Result<(), Error> {
        if self.closing.swap(true, Ordering::AcqRel) {
            self.deliver_if_closed();
            return Ok(());
        }
        self.state.admission.close();
        let outcome = match self.state.watermark.failure() {
            Some(first) => Err(poisoned(first)),
            None => self.drain(),
        };
        self.stop();
        outcome
    }

    /// Writes everything, and the last group if there is room for it.
    fn drain(&self) -> Result<(), Error> {
        let closing = self.add_empty(crate::format::group::FLAG_CLOSE);
        let last = self.state.staging.lock().last_group();
        self.scheduler.request_write(last);
        self.wait(last, Caller::Unlocked).and(closing.map(drop))
    }

    /// Ends the threads, whatever is pending.
    fn stop(&self) {
        for worker in [&self.worker, &self.guard] {
            worker.get().into_iter().for_each(Worker::stop);
        }
        self.scheduler.end();
        self.state.read_ahead.close();
        // Driven by hand, the queue is here: its operations complete before the log can be opened again. After a
        // failure, tickets may keep `self` alive for long.
        self.scheduler.drop_queue();
        // Callbacks and events that are due are still delivered.
        self.close_notices();
    }
}
