//! `Fetch`: a read of an object that is under way.

use std::{ops::Range, sync::mpsc};

use bytes::Bytes;
use logboom_logtail_core::store::{Name, ObjectStore, Outcome, Reply, Request, StoreError, StoreErrorKind};

use crate::error::{Error, Result};

/// Ranges of an object that a store was asked for. Dropped, their bytes are thrown away when they come.
pub(crate) struct Fetch {
    ranges: Vec<Range<u64>>,
    answer: mpsc::Receiver<Outcome>,
    outcome: Option<Outcome>,
    /// Where the store is closed before it answers.
    closed: StoreError,
}

impl Fetch {
    /// Asks the store, and returns at once.
    pub(crate) fn submit(store: &dyn ObjectStore, name: Name, ranges: Vec<Range<u64>>) -> Self {
        let (sender, answer) = mpsc::channel();
        let request = Request::Get { name, ranges: ranges.clone() };
        let closed = StoreError::new(&request, StoreErrorKind::Closed);
        // The receiver may have gone.
        store.submit(request, Box::new(move |outcome| _ = sender.send(outcome)));
        Self { ranges, answer, outcome: None, closed }
    }

    /// The ranges.
    pub(crate) fn ranges(&self) -> &[Range<u64>] {
        &self.ranges
    }

    /// How many bytes they have.
    pub(crate) fn bytes(&self) -> u64 {
        self.ranges.iter().map(|range| range.end.saturating_sub(range.start)).sum()
    }

    /// Whether the answer is there.
    pub(crate) fn is_there(&mut self) -> bool {
        self.outcome = self.outcome.take().or_else(|| self.answer.try_recv().ok());
        self.outcome.is_some()
    }

    /// Waits for the answer. Returns the ranges and the bytes of each.
    pub(crate) fn wait(self, store: &dyn ObjectStore) -> Result<(Vec<Range<u64>>, Vec<Bytes>)> {
        let outcome = match self.outcome {
            Some(outcome) => outcome,
            None => store.wait(&self.answer).unwrap_or(Err(self.closed)),
        };
        match outcome? {
            Reply::Got(bytes) => Ok((self.ranges, bytes)),
            other => Err(Error::Bug(format!("the store answered a get with {other:?}"))),
        }
    }
}
