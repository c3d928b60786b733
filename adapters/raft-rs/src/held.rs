//! What a group keeps in memory beside its log.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
};

use logboom::{
    EntryBatch,
    snapshot::{Built, Lease},
};
use parking_lot::{Mutex, MutexGuard};
use raft::eraftpb::ConfState;

use crate::{error::Error, state::is_member};

/// What all handles of a group share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Something of the group was not saved, while its core may have gone on: nothing that follows may be either.
    /// Beside the lock, as each round asks it of each of its groups.
    is_left_out: AtomicBool,
    held: Mutex<Held>,
}

/// What of it is found and changed under a lock.
#[derive(Debug)]
pub(crate) struct Held {
    /// What the application has applied, as far as it has said.
    pub(crate) applied: u64,
    /// The first failure that was answered to the core, or for which a round was saved without the group.
    pub(crate) failure: Option<Error>,
    /// Entries that were fetched for the core, while it asks for them again.
    pub(crate) fetched: Option<EntryBatch>,
    /// The snapshots that were received, by index and term, until a `Ready` has one saved. The core may have one of
    /// them and refuse the next.
    pub(crate) received: BTreeMap<(u64, u64), Built>,
    /// The snapshots that followers are being sent.
    pub(crate) sending: BTreeMap<u64, Lease>,
    /// The followers that the core had no snapshot for when it asked, and the least index that it asked for.
    pub(crate) waiting: BTreeMap<u64, u64>,
}

impl Shared {
    pub(crate) fn new(applied: u64) -> Self {
        Self { is_left_out: AtomicBool::new(false), held: Mutex::new(Held::new(applied)) }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock()
    }

    pub(crate) fn is_left_out(&self) -> bool {
        self.is_left_out.load(Ordering::Acquire)
    }

    /// Leaves the group out of what is saved from now on.
    pub(crate) fn leave_out(&self) {
        self.is_left_out.store(true, Ordering::Release);
    }
}

impl Held {
    /// The log goes on behind `index`, or the application does: a snapshot up to there is of no use any more.
    pub(crate) fn applied_to(&mut self, index: u64) {
        self.applied = self.applied.max(index);
        self.received.retain(|(received, _), _| *received > index);
    }

    /// The configuration has changed: the core sends nothing any more to the members that it has lost, and does not say
    /// so.
    pub(crate) fn configured(&mut self, conf_state: &ConfState) {
        self.waiting.retain(|follower, _| is_member(conf_state, *follower));
        self.sending.retain(|follower, _| is_member(conf_state, *follower));
    }

    fn new(applied: u64) -> Self {
        Self {
            applied,
            failure: None,
            fetched: None,
            received: BTreeMap::new(),
            sending: BTreeMap::new(),
            waiting: BTreeMap::new(),
        }
    }
}
