//! The state of a group in memory, beside its log: applied index, snapshots on their way, the first failure.

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

/// The state that all handles of a group share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Set when something of the group was not saved while its core may have continued: nothing later may be saved
    /// either. Outside the lock, since each round reads it for each of its groups.
    is_left_out: AtomicBool,
    state: Mutex<GroupState>,
}

/// The state that is read and changed under a lock.
#[derive(Debug)]
pub(crate) struct GroupState {
    /// The applied index, as reported by the application.
    pub(crate) applied: u64,
    /// The first failure: see [`crate::Group::failure`].
    pub(crate) failure: Option<Error>,
    /// Entries that were fetched for the core, while it asks for them again.
    pub(crate) fetched: Option<EntryBatch>,
    /// The received snapshots, by index and term, until a `Ready` saves one. The core may have accepted one of them and
    /// refuse the next.
    pub(crate) received: BTreeMap<(u64, u64), Built>,
    /// The snapshots that followers are being sent.
    pub(crate) sending: BTreeMap<u64, Lease>,
    /// The followers for which the core requested a snapshot that did not exist, and the least index that it requested.
    pub(crate) waiting: BTreeMap<u64, u64>,
}

impl Shared {
    pub(crate) fn new(applied: u64) -> Self {
        Self { is_left_out: AtomicBool::new(false), state: Mutex::new(GroupState::new(applied)) }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, GroupState> {
        self.state.lock()
    }

    pub(crate) fn is_left_out(&self) -> bool {
        self.is_left_out.load(Ordering::Acquire)
    }

    /// Excludes the group from everything that is saved later.
    pub(crate) fn leave_out(&self) {
        self.is_left_out.store(true, Ordering::Release);
    }
}

impl GroupState {
    /// Drops received snapshots up to `index`: the log or the application is past them.
    pub(crate) fn applied_to(&mut self, index: u64) {
        self.applied = self.applied.max(index);
        self.received.retain(|(received, _), _| *received > index);
    }

    /// Drops the snapshots of removed members after a change of the configuration: the core stops sending to them
    /// without a report.
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
