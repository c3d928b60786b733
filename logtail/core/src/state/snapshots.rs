//! `Snapshots`: the timestamps at which somebody reads.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;

use crate::timestamp::Timestamp;

/// The timestamps of transactions and scans that are open. What they may ask for is kept.
#[derive(Debug, Default)]
pub(super) struct Snapshots(Mutex<BTreeMap<Timestamp, usize>>);

/// Keeps what is visible at a timestamp, until it is dropped.
#[derive(Debug)]
pub struct OpenSnapshot {
    timestamp: Timestamp,
    open: Arc<Snapshots>,
}

impl Snapshots {
    /// Opens a snapshot at the timestamp that `choose` gives; no older one is found to be the oldest from before that
    /// on.
    pub(super) fn open<E>(self: &Arc<Self>, choose: impl FnOnce() -> Result<Timestamp, E>) -> Result<OpenSnapshot, E> {
        let mut open = self.0.lock();
        let timestamp = choose()?;
        *open.entry(timestamp).or_default() += 1;
        Ok(OpenSnapshot { timestamp, open: Arc::clone(self) })
    }

    /// Calls `raise` with the oldest timestamp that is open: none below what it raises the horizon to is opened then.
    pub(super) fn with_oldest<R>(&self, raise: impl FnOnce(Option<Timestamp>) -> R) -> R {
        let open = self.0.lock();
        raise(open.keys().next().copied())
    }

    /// The oldest timestamp that is open.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        self.0.lock().keys().next().copied()
    }
}

impl OpenSnapshot {
    /// The timestamp.
    pub fn timestamp(&self) -> Timestamp {
        self.timestamp
    }
}

impl Drop for OpenSnapshot {
    fn drop(&mut self) {
        let mut open = self.open.0.lock();
        if let Some(count) = open.get_mut(&self.timestamp) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.timestamp);
            }
        }
    }
}
