//! `Shared`: the writer, its log, and what waits for both.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use event_listener::{Event, EventListener, Listener};
use logboom::Ticket;
use logboom_logtail_core::{
    Timestamp,
    log::{LogEvent, Refusal},
    record::CommitBuilder,
    state::State,
    transaction::Workspace,
    writer::{CommitError, Outcome, Writer},
};
use parking_lot::Mutex;

use crate::{
    error::{Error, Result},
    shard_log::ShardLog,
};

/// What the handles of a tail share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) log: ShardLog,
    pub(crate) state: Arc<State>,
    writer: Mutex<Writer>,
    /// Something was published, or the writer stopped.
    published: Event,
}

impl Shared {
    pub(crate) fn new(log: ShardLog, writer: Writer) -> Arc<Self> {
        let state = Arc::clone(writer.state());
        Arc::new(Self { log, state, writer: Mutex::new(writer), published: Event::new() })
    }

    /// Logs the writer's epoch, and waits until it serves.
    pub(crate) fn begin(self: &Arc<Self>) -> Result<()> {
        let ticket = self.writer.lock().begin(&self.log)?;
        ticket.wait().map_err(Error::Log)?;
        self.publish(None);
        Ok(())
    }

    /// Gives a transaction its place in the log. Waits while the log has no room, or the clock needs a higher bound.
    pub(crate) fn commit(
        self: &Arc<Self>,
        workspace: &Workspace,
        record: &mut CommitBuilder<'_>,
    ) -> Result<Outcome<Ticket>> {
        loop {
            let unix = unix();
            let mut writer = self.writer.lock();
            let bound = writer.raise_bound(&self.log, unix);
            let outcome = writer.commit(&self.log, workspace, record, unix);
            drop(writer);
            let bound = bound.map(|ticket| ticket.map(|ticket| self.publish_at(ticket)));
            match (outcome, bound) {
                (Err(CommitError::Log(Refusal::Busy)), _) | (Err(CommitError::Clock(_)), Err(Refusal::Busy)) => {
                    self.log.wait_for_room().map_err(Error::Log)?;
                }
                (Err(CommitError::Clock(_)), Err(refusal)) => return Err(refusal.into()),
                (Err(CommitError::Clock(_)), Ok(_)) => self.wait_for_bound(unix)?,
                (outcome, _) => return Ok(outcome?),
            }
        }
    }

    /// Publishes what is durable when `ticket` ends. Not under the writer's lock: that may be now.
    pub(crate) fn publish_at(self: &Arc<Self>, ticket: Ticket) {
        let shared = Arc::clone(self);
        ticket.on_complete(move |outcome| shared.publish(outcome.err().map(|_| LogEvent::Unknown(0))));
    }

    /// Publishes what is durable; with an event that ends the writer, that too.
    pub(crate) fn publish(&self, end: Option<LogEvent>) {
        let durable = self.log.durable();
        let mut writer = self.writer.lock();
        writer.log_event(LogEvent::Committed(durable));
        if let Some(end) = end {
            writer.log_event(end);
        }
        drop(writer);
        self.published.notify(usize::MAX);
    }

    /// `None` once readers see all up to `timestamp`, and before that what to wait for until asking again.
    pub(crate) fn listen_for(&self, timestamp: Timestamp) -> Result<Option<EventListener>> {
        // Listening begins before the check, so that nothing is published in between.
        let listener = self.published.listen();
        if self.state.watermark() >= timestamp {
            return Ok(None);
        }
        match self.writer.lock().stopped() {
            Some(stopped) => Err(Error::Stopped(stopped.clone())),
            None => Ok(Some(listener)),
        }
    }

    /// A number for a database or a table.
    pub(crate) fn take_number(&self) -> u64 {
        self.writer.lock().take_number()
    }

    pub(crate) fn drift(&self) -> Duration {
        self.writer.lock().drift(unix())
    }

    /// Waits until something is published, if the clock may not go on from `unix` before.
    fn wait_for_bound(&self, unix: Duration) -> Result<()> {
        let listener = self.published.listen();
        let writer = self.writer.lock();
        if let Some(stopped) = writer.stopped() {
            return Err(Error::Stopped(stopped.clone()));
        }
        if !writer.has_bound(unix) {
            drop(writer);
            listener.wait();
        }
        Ok(())
    }
}

/// The wall clock.
fn unix() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
