//! `Put`: an object that is being put.

use std::{sync::mpsc, time::Duration};

use bytes::Bytes;
use logboom_logtail_core::store::{Name, ObjectStore, Outcome, Request, StoreError, StoreErrorKind, Urgency};

/// An object that is being put.
#[derive(Debug)]
pub(crate) struct Put {
    outcome: mpsc::Receiver<Outcome>,
    /// What the outcome is when the store says nothing any more.
    closed: StoreError,
}

impl Put {
    pub(crate) fn begin(store: &dyn ObjectStore, name: Name, bytes: Bytes, urgency: Urgency) -> Self {
        let request = Request::Put { name, bytes, urgency };
        let (sender, outcome) = mpsc::channel();
        let closed = StoreError::new(&request, StoreErrorKind::Closed);
        store.submit(request, Box::new(move |outcome| _ = sender.send(outcome)));
        Self { outcome, closed }
    }

    /// Waits for its outcome, for so long.
    pub(crate) fn wait_for(&self, patience: Duration) -> Option<Result<(), StoreError>> {
        match self.outcome.recv_timeout(patience) {
            Ok(outcome) => Some(outcome.map(|_| ())),
            Err(mpsc::RecvTimeoutError::Timeout) => None,
            Err(mpsc::RecvTimeoutError::Disconnected) => Some(Err(self.closed.clone())),
        }
    }

    /// Its outcome, if there is one by now.
    pub(crate) fn outcome(&self) -> Option<Result<(), StoreError>> {
        self.wait_for(Duration::ZERO)
    }
}
