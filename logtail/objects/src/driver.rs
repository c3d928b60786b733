//! The thread of a store: makes the attempts that the queue asks for.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use logboom_logtail_core::store::{
    Answer, Attempt, Outcome, QueueOptions, Request, RequestId, StoreError, StoreErrorKind, StoreHealth, StoreQueue,
};
use parking_lot::Mutex;
use tokio::{sync::Notify, task::JoinSet};

use crate::{backend::Backend, options::Access};

/// What becomes of an outcome.
pub(crate) type Callback = Box<dyn FnOnce(Outcome) + Send>;

/// What callers and the thread share. No callback is called under the lock.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    /// That there is something to begin, or that the store is closed.
    changed: Notify,
    access: Access,
    start: Instant,
}

struct State {
    queue: StoreQueue,
    callbacks: HashMap<RequestId, Callback>,
    count: u64,
    is_closed: bool,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("queue", &self.queue).field("is_closed", &self.is_closed).finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn new(options: QueueOptions, access: Access) -> Self {
        let queue = StoreQueue::new(options);
        let state = State { queue, callbacks: HashMap::new(), count: 0, is_closed: false };
        Self { state: Mutex::new(state), changed: Notify::new(), access, start: Instant::now() }
    }

    /// Takes a request. One that cannot be carried out is answered at once.
    pub(crate) fn submit(&self, request: Request, callback: Callback) {
        let refusal = |kind| StoreError::new(&request, kind);
        let is_write = !matches!(request, Request::Get { .. } | Request::List { .. });
        let refused = if is_write && self.access == Access::Read {
            refusal(StoreErrorKind::ReadOnly)
        } else {
            let mut state = self.state.lock();
            let id = RequestId(state.count);
            if !state.is_closed && state.queue.submit(id, request.clone()).is_ok() {
                state.count += 1;
                state.callbacks.insert(id, callback);
                drop(state);
                self.changed.notify_one();
                return;
            }
            refusal(StoreErrorKind::Closed)
        };
        call(callback, Err(refused));
    }

    pub(crate) fn health(&self) -> StoreHealth {
        self.state.lock().queue.health()
    }

    /// Since the start of the clock of the queue.
    pub(crate) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Ends the thread, which ends all requests.
    pub(crate) fn close(&self) {
        self.state.lock().is_closed = true;
        self.changed.notify_one();
    }

    /// Until the store is closed.
    pub(crate) async fn closed(&self) {
        while !self.state.lock().is_closed {
            self.changed.notified().await;
        }
    }

    /// Makes attempts until the store is closed.
    pub(crate) async fn run(self: Arc<Self>, backend: Backend) {
        let _end = End(&self);
        let mut in_flight = JoinSet::new();
        loop {
            let (begun, wake_at) = {
                let mut state = self.state.lock();
                if state.is_closed {
                    return;
                }
                (state.queue.step(self.now()), state.queue.wake_at())
            };
            for (id, attempt) in begun {
                let backend = backend.clone();
                in_flight.spawn(async move { (id, answer(&backend, attempt).await) });
            }
            let pause = wake_at.map(|at| at.saturating_sub(self.now()));
            tokio::select! {
                () = self.changed.notified() => {}
                Some(answered) = in_flight.join_next() => {
                    // The task catches panics, and nobody aborts it.
                    if let Ok((id, answer)) = answered {
                        self.answered(id, answer);
                    }
                }
                () = tokio::time::sleep(pause.unwrap_or_default()), if pause.is_some() => {}
            }
        }
    }

    fn answered(&self, id: RequestId, answer: Answer) {
        let mut state = self.state.lock();
        let Some(outcome) = state.queue.done(id, answer, self.now()) else { return };
        let callback = state.callbacks.remove(&id);
        drop(state);
        if let Some(callback) = callback {
            call(callback, outcome);
        }
    }
}

/// Answers what is open when the thread ends, however it does.
struct End<'a>(&'a Shared);

impl Drop for End<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.is_closed = true;
        let closed = state.queue.close();
        let mut callbacks = std::mem::take(&mut state.callbacks);
        drop(state);
        for (id, outcome) in closed {
            if let Some(callback) = callbacks.remove(&id) {
                call(callback, outcome);
            }
        }
    }
}

/// A panic of the client below is one more way for a store not to answer.
async fn answer(backend: &Backend, attempt: Attempt) -> Answer {
    let answer = AssertUnwindSafe(backend.carry_out(&attempt)).catch_unwind().await;
    answer.unwrap_or_else(|_| {
        Answer::Failed(attempt.error(StoreErrorKind::Unavailable).because("the client of the store has panicked"))
    })
}

/// A callback is the caller's code: its panic must not end the thread that answers the others.
fn call(callback: Callback, outcome: Outcome) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| callback(outcome))) {
        // Dropping the payload would run foreign code again.
        std::mem::forget(panic);
    }
}
