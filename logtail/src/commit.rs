//! `Commit`: a transaction on its way to the disk.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use logboom::Ticket;
use logboom_logtail_core::{
    Timestamp,
    log::LogEvent,
    mutants::{self, Mutant},
};

use crate::{
    error::{Error, Result},
    shared::Shared,
};

/// A transaction that has its timestamp and its place in the log: committed once its record is durable. To be waited
/// for or awaited; dropped, it is committed all the same.
#[derive(Debug)]
#[must_use = "a transaction is durable when this has been waited for"]
pub struct Commit {
    shared: Arc<Shared>,
    timestamp: Timestamp,
    /// Ends when the record is durable; `None` once readers see it.
    ticket: Option<Ticket>,
}

impl Commit {
    pub(crate) fn new(shared: Arc<Shared>, timestamp: Timestamp, ticket: Option<Ticket>) -> Self {
        Self { shared, timestamp, ticket }
    }

    /// Has the log's threads write the record: by then no lock is held.
    pub(crate) fn begin(&mut self) {
        self.ticket.iter_mut().for_each(Ticket::begin);
    }

    /// The timestamp at which the transaction commits.
    pub fn timestamp(&self) -> Timestamp {
        self.timestamp
    }

    /// Waits until the transaction is durable, and every reader that begins then sees it. Returns its timestamp.
    ///
    /// # Errors
    /// [`Error::Unknown`] where the engine failed before the record was durable.
    pub fn wait(mut self) -> Result<Timestamp> {
        match self.ticket.take() {
            Some(_) if mutants::is_on(Mutant::AcknowledgedEarly) => Ok(self.timestamp),
            Some(ticket) => self.end(ticket.wait()),
            None => Ok(self.timestamp),
        }
    }

    /// Publishes the transaction, with all before it.
    fn end(&self, outcome: logboom::Result<()>) -> Result<Timestamp> {
        match outcome {
            Ok(()) => self.shared.publish_commit(self.timestamp),
            Err(source) => {
                self.shared.publish(Some(LogEvent::Unknown(0)));
                return Err(Error::Unknown { timestamp: self.timestamp, source });
            }
        }
        Ok(self.timestamp)
    }
}

impl Future for Commit {
    type Output = Result<Timestamp>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<Timestamp>> {
        let Some(ticket) = &mut self.ticket else { return Poll::Ready(Ok(self.timestamp)) };
        let outcome = ready!(Pin::new(ticket).poll(context));
        self.ticket = None;
        Poll::Ready(self.end(outcome))
    }
}

impl Drop for Commit {
    fn drop(&mut self) {
        // Nobody waits for it, but readers do.
        if let Some(ticket) = self.ticket.take() {
            let (shared, timestamp) = (Arc::clone(&self.shared), self.timestamp);
            ticket.on_complete(move |outcome| match outcome {
                Ok(()) => shared.publish_commit(timestamp),
                Err(_) => shared.publish(Some(LogEvent::Unknown(0))),
            });
        }
    }
}
