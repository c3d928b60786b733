//! `SimObjects`: a store in memory and in virtual time, behind which faults are.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    time::Duration,
};

use fastrand::Rng;
use logboom_logtail_core::store::{
    ObjectStore, Outcome, QueueOptions, Request, RequestId, StoreHealth,
    sim::{Faults, SimClient, SimStore},
};
use logboom_sim::Choices;
use logboom_wal::marks;

type Callback = Box<dyn FnOnce(Outcome) + Send>;

/// A simulated store, with the queue of the process that uses it. Its time is its own: it passes when it is told to,
/// and while somebody waits for an answer.
#[derive(Clone)]
pub(crate) struct SimObjects(Arc<Mutex<State>>);

struct State {
    client: SimClient<Rng>,
    now: Duration,
    requests: u64,
    callbacks: BTreeMap<RequestId, Callback>,
    /// A request is answered before its call returns.
    hurries: bool,
}

impl SimObjects {
    /// An empty store, with faults in some histories.
    pub(crate) fn choose(choices: &mut Choices) -> Self {
        let faults = choices.pick(&[Faults::each(0), Faults::each(3), Faults::each(12)]);
        let store = SimStore::new(Rng::with_seed(choices.below(u64::MAX)), faults);
        let client = SimClient::new(store, options(choices));
        let (now, callbacks) = (Duration::ZERO, BTreeMap::new());
        Self(Arc::new(Mutex::new(State { client, now, requests: 0, callbacks, hurries: false })))
    }

    /// The process that uses it has ended: it gets no answers, and what it asked for may still happen.
    pub(crate) fn restart(&self, choices: &mut Choices) {
        let mut state = self.state();
        state.client.restart(options(choices));
        let callbacks = std::mem::take(&mut state.callbacks);
        drop(state);
        marks::hit_if(!callbacks.is_empty(), "store: requests are on their way at a crash");
    }

    /// Calls what waits for the store without letting time pass: each request is answered at once, for it.
    pub(crate) fn hurry<T>(&self, call: impl FnOnce() -> T) -> T {
        self.state().hurries = true;
        let done = call();
        self.state().hurries = false;
        done
    }

    /// Nothing reaches the store for a while.
    pub(crate) fn cut_off(&self, time: Duration) {
        let mut state = self.state();
        let until = state.now + time;
        state.client.store.cut_off(until);
    }

    /// Lets time pass, and answers what is due.
    pub(crate) fn pass(&self, time: Duration) {
        let now = self.state().now + time;
        self.step(now);
    }

    /// Has the queue begin what it was given.
    fn begin(&self) {
        let now = self.state().now;
        self.step(now);
    }

    /// Goes on to the time at which something happens.
    fn skip(&self) {
        let state = self.state();
        let next = state.client.wake_at().expect("a request without an answer is on its way, or pauses");
        let next = next.max(state.now);
        drop(state);
        self.step(next);
    }

    fn step(&self, now: Duration) {
        let mut state = self.state();
        state.now = now;
        let outcomes = state.client.step(now);
        let called: Vec<_> =
            outcomes.into_iter().filter_map(|(id, outcome)| Some((state.callbacks.remove(&id)?, outcome))).collect();
        drop(state);
        called.into_iter().for_each(|(callback, outcome)| callback(outcome));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn options(choices: &mut Choices) -> QueueOptions {
    let mut options = QueueOptions::default();
    options.in_flight_max = choices.pick(&[1, 2, 16]);
    options.seed = choices.below(u64::MAX);
    // A read that is given up says nothing.
    options.reads.patience = None;
    options
}

impl ObjectStore for SimObjects {
    fn submit(&self, request: Request, done: Box<dyn FnOnce(Outcome) + Send>) {
        let mut state = self.state();
        let id = RequestId(state.requests);
        state.requests += 1;
        let submitted = state.client.submit(id, request);
        submitted.expect("each request has an id of its own");
        state.callbacks.insert(id, done);
        let hurries = state.hurries;
        drop(state);
        while hurries && self.state().callbacks.contains_key(&id) {
            self.begin();
            self.skip();
        }
    }

    fn health(&self) -> StoreHealth {
        self.state().client.queue.health()
    }

    fn wait(&self, outcome: &mpsc::Receiver<Outcome>) -> Result<Outcome, mpsc::RecvError> {
        self.begin();
        loop {
            match outcome.try_recv() {
                Ok(outcome) => return Ok(outcome),
                Err(mpsc::TryRecvError::Disconnected) => return Err(mpsc::RecvError),
                Err(mpsc::TryRecvError::Empty) => self.skip(),
            }
        }
    }
}

impl fmt::Debug for SimObjects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimObjects").field("requests", &self.state().requests).finish_non_exhaustive()
    }
}
