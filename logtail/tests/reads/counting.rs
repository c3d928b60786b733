//! `Counting`: a store in memory that counts what is read of it.

use std::{
    ops::Range,
    sync::{Arc, Mutex},
};

use logboom_logtail::{StoreChoice, StoreOptions};
use logboom_logtail_core::store::{Name, ObjectStore, Outcome, Request, StoreHealth};
use logboom_logtail_objects::Objects;

/// A store in memory, with the reads that were asked of it.
#[derive(Clone, Debug)]
pub(crate) struct Counting {
    objects: Arc<Objects>,
    gets: Arc<Mutex<Vec<Get>>>,
}

/// A read of an object.
#[derive(Clone, Debug)]
pub(crate) struct Get {
    pub(crate) name: Name,
    pub(crate) ranges: Vec<Range<u64>>,
}

impl Counting {
    pub(crate) fn new() -> Self {
        let objects = Objects::open("memory:", b"counted", StoreOptions::default()).unwrap();
        Self { objects: Arc::new(objects), gets: Arc::default() }
    }

    pub(crate) fn choice(&self) -> StoreChoice {
        StoreChoice::Given(Arc::new(self.clone()))
    }

    /// The reads since the last call.
    pub(crate) fn take(&self) -> Vec<Get> {
        std::mem::take(&mut self.gets.lock().unwrap())
    }
}

impl Get {
    pub(crate) fn bytes(&self) -> u64 {
        self.ranges.iter().map(|range| range.end - range.start).sum()
    }
}

impl ObjectStore for Counting {
    fn submit(&self, request: Request, done: Box<dyn FnOnce(Outcome) + Send>) {
        if let Request::Get { name, ranges } = &request {
            self.gets.lock().unwrap().push(Get { name: name.clone(), ranges: ranges.clone() });
        }
        ObjectStore::submit(self.objects.as_ref(), request, done);
    }

    fn health(&self) -> StoreHealth {
        ObjectStore::health(self.objects.as_ref())
    }
}
