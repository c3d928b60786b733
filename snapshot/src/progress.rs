//! `Progress`: how far a long operation has come.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// The progress of a build, a transfer, a verification or an export. Clones show the same progress, on any thread.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    done: AtomicU64,
    /// [`UNKNOWN`] at first.
    total: AtomicU64,
}

const UNKNOWN: u64 = u64::MAX;

impl Default for Counts {
    fn default() -> Self {
        Self { done: AtomicU64::new(0), total: AtomicU64::new(UNKNOWN) }
    }
}

impl Progress {
    /// The processed bytes of the snapshot's files, before compression.
    pub fn done_bytes(&self) -> u64 {
        self.0.done.load(Ordering::Relaxed)
    }

    /// All bytes of the snapshot's files; `None` while that is not known, as in a build.
    pub fn total_bytes(&self) -> Option<u64> {
        Some(self.0.total.load(Ordering::Relaxed)).filter(|&total| total != UNKNOWN)
    }

    pub(crate) fn of_total(bytes: u64) -> Self {
        let progress = Self::default();
        progress.set_total(bytes);
        progress
    }

    pub(crate) fn set_total(&self, bytes: u64) {
        self.0.total.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn add(&self, bytes: u64) {
        self.0.done.fetch_add(bytes, Ordering::Relaxed);
    }
}
