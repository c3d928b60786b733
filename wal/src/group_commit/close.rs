//! The end of a log: everything is written, the threads end, and what is still to be told is told.

use std::sync::atomic::Ordering;

use crate::{
    group_commit::{log::Shared, tail::Caller, watermark::poisoned},
    runtime::worker::Worker,
    types::error::Error,
};

impl Shared {
    /// Drains, says in a last group that nothing follows, and ends the threads. Another attends to what came since.
    pub(crate) fn close(&self) -> Result<(), Error> {
        if self.closing.swap(true, Ordering::AcqRel) {
            self.attend_if_closed();
            return Ok(());
        }
        self.state.admission.shut();
        let outcome = match self.state.watermark.failure() {
            Some(first) => Err(poisoned(first)),
            None => self.drain(),
        };
        self.stop();
        outcome
    }

    /// Has everything written, and the group that says that nothing follows if there is room for it.
    fn drain(&self) -> Result<(), Error> {
        let closing = self.add_empty(crate::format::group::FLAG_CLOSE);
        let last = self.state.staging.lock().last_group();
        self.tail.want(last);
        self.wait(last, Caller::Free).and(closing.map(drop))
    }

    /// Ends the threads, whatever is pending.
    fn stop(&self) {
        for worker in [&self.worker, &self.guard] {
            worker.get().into_iter().for_each(Worker::stop);
        }
        self.tail.end();
        self.state.read_ahead.close();
        // By hand, the queue is here: what is in flight lands before anybody else can open the log. After a failure
        // tickets may keep this alive for long.
        self.tail.drop_queue();
        // What is due is still called back, and told.
        self.close_notices();
    }
}
