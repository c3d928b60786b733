//! A simulated store with the queue of a caller before it.

use std::time::Duration;

use super::{
    super::{
        queue::{IdInUse, QueueOptions, StoreQueue},
        request::{Outcome, Request, RequestId},
    },
    SimStore,
    faults::Choices,
};

/// A caller's queue, and the simulated store that its attempts go to: what a simulated writer has in place of a driver.
#[derive(Debug)]
pub struct SimClient<C> {
    /// The requests that have no outcome yet.
    pub queue: StoreQueue,
    /// The store.
    pub store: SimStore<C>,
}

impl<C: Choices> SimClient<C> {
    /// A new caller of a store.
    pub fn new(store: SimStore<C>, options: QueueOptions) -> Self {
        Self { queue: StoreQueue::new(options), store }
    }

    /// Takes a request; [`step`](Self::step) begins it.
    ///
    /// # Errors
    /// [`IdInUse`].
    pub fn submit(&mut self, id: RequestId, request: Request) -> Result<(), IdInUse> {
        self.queue.submit(id, request)
    }

    /// Does all that is due at `now`, and returns the outcomes.
    pub fn step(&mut self, now: Duration) -> Vec<(RequestId, Outcome)> {
        let mut outcomes = Vec::new();
        loop {
            let begun = self.queue.step(now);
            let answers = self.store.answers(now);
            if begun.is_empty() && answers.is_empty() {
                return outcomes;
            }
            for (id, attempt) in begun {
                self.store.begin(id, attempt, now);
            }
            for (id, answer) in answers {
                outcomes.extend(self.queue.done(id, answer, now).map(|outcome| (id, outcome)));
            }
        }
    }

    /// When there is something to do next; `None` where nothing is on its way, and nothing pauses.
    pub fn wake_at(&self) -> Option<Duration> {
        [self.queue.wake_at(), self.store.wake_at()].into_iter().flatten().min()
    }

    /// The caller crashed and begins anew: what it had asked for has no outcome, and may happen.
    pub fn restart(&mut self, options: QueueOptions) {
        self.store.disconnect();
        self.queue = StoreQueue::new(options);
    }

    /// Steps through virtual time from `now` until the request has its outcome; the outcome, and when that was.
    /// Outcomes of others on the way are dropped.
    ///
    /// # Panics
    /// If it gets none: nothing is on its way any more.
    pub fn finish(&mut self, id: RequestId, mut now: Duration) -> (Outcome, Duration) {
        loop {
            if let Some((_, outcome)) = self.step(now).into_iter().find(|(of, _)| *of == id) {
                return (outcome, now);
            }
            #[expect(clippy::expect_used, reason = "of a simulation: a hang is what it is to find")]
            let next = self.wake_at().expect("a request without an outcome is on its way, or pauses");
            now = next.max(now);
        }
    }
}
