//! `Commit`: a transaction on its way to the disk.

use std::{
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use event_listener::{EventListener, Listener};
use logboom::Ticket;
use logboom_logtail_core::{Timestamp, log::LogEvent};

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
    state: State,
}

#[derive(Debug)]
enum State {
    Logged(Ticket),
    /// The record is another transaction's, or there is none: readers will reach the timestamp, or have.
    Awaited(Option<EventListener>),
    Ended,
}

impl Commit {
    pub(crate) fn new(shared: Arc<Shared>, timestamp: Timestamp, ticket: Option<Ticket>) -> Self {
        Self { shared, timestamp, state: ticket.map_or(State::Awaited(None), State::Logged) }
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
        match mem::replace(&mut self.state, State::Ended) {
            State::Logged(ticket) => self.end(ticket.wait()),
            State::Awaited(_) => {
                while let Some(listener) = self.shared.listen_for(self.timestamp)? {
                    listener.wait();
                }
                Ok(self.timestamp)
            }
            State::Ended => Ok(self.timestamp),
        }
    }

    fn poll_published(&mut self, context: &mut Context<'_>) -> Poll<Result<Timestamp>> {
        loop {
            if let State::Awaited(Some(listener)) = &mut self.state {
                ready!(Pin::new(listener).poll(context));
            }
            match self.shared.listen_for(self.timestamp) {
                Ok(Some(listener)) => self.state = State::Awaited(Some(listener)),
                ended => {
                    self.state = State::Ended;
                    return Poll::Ready(ended.map(|_| self.timestamp));
                }
            }
        }
    }

    /// Publishes the transaction, with all others that are durable.
    fn end(&self, outcome: logboom::Result<()>) -> Result<Timestamp> {
        match outcome {
            // Another one's end may have published this one.
            Ok(()) if self.shared.state.watermark() >= self.timestamp => {}
            Ok(()) => self.shared.publish(None),
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
        match &mut self.state {
            State::Logged(ticket) => match Pin::new(ticket).poll(context) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(outcome) => {
                    self.state = State::Ended;
                    Poll::Ready(self.end(outcome))
                }
            },
            State::Awaited(_) => self.poll_published(context),
            State::Ended => Poll::Ready(Ok(self.timestamp)),
        }
    }
}

impl Drop for Commit {
    fn drop(&mut self) {
        // Nobody waits for it, but readers do.
        if let State::Logged(ticket) = mem::replace(&mut self.state, State::Ended) {
            self.shared.publish_at(ticket);
        }
    }
}
