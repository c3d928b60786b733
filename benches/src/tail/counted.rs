//! `CountedStore`: objects in a directory, and how often they are read.

use std::{
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use logboom_logtail_core::store::{ObjectStore, Outcome, Request, StoreHealth};
use logboom_logtail_objects::{Objects, Options};

use crate::Result;

/// Objects in a directory, with a count of the reads.
#[derive(Debug)]
pub(super) struct CountedStore {
    objects: Objects,
    gets: AtomicU64,
}

impl CountedStore {
    pub(super) fn open(dir: &Path) -> Result<Self> {
        let objects = Objects::open(&dir.to_string_lossy(), b"logboom-bench", Options::default())?;
        Ok(Self { objects, gets: AtomicU64::new(0) })
    }

    /// The reads so far.
    pub(super) fn gets(&self) -> u64 {
        self.gets.load(Ordering::Relaxed)
    }
}

impl ObjectStore for CountedStore {
    fn submit(&self, request: Request, done: Box<dyn FnOnce(Outcome) + Send>) {
        if matches!(request, Request::Get { .. }) {
            self.gets.fetch_add(1, Ordering::Relaxed);
        }
        ObjectStore::submit(&self.objects, request, done);
    }

    fn health(&self) -> StoreHealth {
        self.objects.health()
    }
}
