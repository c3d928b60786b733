//! `VirtualStore`: a store in memory and in virtual time.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use fastrand::Rng;
use logboom_logtail_core::store::{
    Name, ObjectStore, Outcome, QueueOptions, Request, RequestId, StoreHealth,
    sim::{Faults, SimClient, SimStore},
};

type Callback = Box<dyn FnOnce(Outcome) + Send>;

/// A simulated store, with the queue of the process that uses it. What it is asked for is done at once, unless it holds
/// requests or takes no credentials.
#[derive(Clone)]
pub(crate) struct VirtualStore(Arc<Mutex<State>>);

struct State {
    client: SimClient<Rng>,
    now: Duration,
    requests: u64,
    callbacks: BTreeMap<RequestId, Callback>,
    puts: Vec<Name>,
    holds: bool,
}

impl VirtualStore {
    pub(crate) fn new() -> Self {
        let store = SimStore::new(Rng::with_seed(1), Faults::each(0));
        let client = SimClient::new(store, options());
        let (now, callbacks) = (Duration::ZERO, BTreeMap::new());
        Self(Arc::new(Mutex::new(State { client, now, requests: 0, callbacks, puts: Vec::new(), holds: false })))
    }

    /// The process that uses it has ended: it gets no answers, and what is on its way arrives.
    pub(crate) fn restart(&self) {
        let mut state = self.0.lock().unwrap();
        state.client.restart(options());
        let callbacks = std::mem::take(&mut state.callbacks);
        drop(state);
        drop(callbacks);
    }

    /// From now on, requests wait for [`Self::pass`]; or they are done at once again.
    pub(crate) fn hold(&self, holds: bool) {
        self.0.lock().unwrap().holds = holds;
    }

    /// The store takes no credentials for a while.
    pub(crate) fn expire_credentials(&self, time: Duration) {
        let mut state = self.0.lock().unwrap();
        let until = state.now + time;
        state.client.store.expire_credentials(until);
        state.holds = true;
    }

    /// The objects that were asked to be put, of all processes.
    pub(crate) fn puts(&self) -> Vec<Name> {
        self.0.lock().unwrap().puts.clone()
    }

    /// How many objects there are.
    pub(crate) fn objects(&self) -> usize {
        self.0.lock().unwrap().client.store.objects().len()
    }

    /// Lets time pass, and answers what is due.
    pub(crate) fn pass(&self, time: Duration) {
        let mut state = self.0.lock().unwrap();
        let end = state.now + time;
        let mut called = Vec::new();
        loop {
            let now = state.now;
            let outcomes = state.client.step(now);
            called
                .extend(outcomes.into_iter().filter_map(|(id, outcome)| Some((state.callbacks.remove(&id)?, outcome))));
            match state.client.wake_at() {
                Some(next) if next <= end => state.now = next.max(now),
                _ => break,
            }
        }
        state.now = end;
        drop(state);
        called.into_iter().for_each(|(callback, outcome)| callback(outcome));
    }
}

fn options() -> QueueOptions {
    let mut options = QueueOptions::default();
    options.reads.patience = None;
    options
}

impl ObjectStore for VirtualStore {
    fn submit(&self, request: Request, done: Callback) {
        let mut state = self.0.lock().unwrap();
        if let Request::Put { name, .. } = &request {
            state.puts.push(name.clone());
        }
        let id = RequestId(state.requests);
        state.requests += 1;
        state.client.submit(id, request).unwrap();
        state.callbacks.insert(id, done);
        let holds = state.holds;
        drop(state);
        if !holds {
            while self.0.lock().unwrap().callbacks.contains_key(&id) {
                self.pass(Duration::from_millis(100));
            }
        }
    }

    fn health(&self) -> StoreHealth {
        self.0.lock().unwrap().client.queue.health()
    }
}

impl fmt::Debug for VirtualStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VirtualStore").finish_non_exhaustive()
    }
}
