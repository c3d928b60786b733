//! `Shared`: the writer, its log, and what waits for both.

use std::{sync::Arc, time::Duration};

use logboom::{Clock, Ticket};
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
    clock: Arc<dyn Clock>,
}

impl Shared {
    pub(crate) fn new(log: ShardLog, writer: Writer, clock: Arc<dyn Clock>) -> Arc<Self> {
        let state = Arc::clone(writer.state());
        Arc::new(Self { log, state, writer: Mutex::new(writer), clock })
    }

    /// Logs the writer's epoch, and waits until it serves.
    pub(crate) fn begin(&self) -> Result<()> {
        let ticket = loop {
            let begun = self.writer.lock().begin(&self.log);
            match begun {
                Err(Refusal::Busy) => self.log.wait_for_room().map_err(Error::Log)?,
                begun => break begun?,
            }
        };
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
            let unix = self.clock.unix();
            let mut writer = self.writer.lock();
            let bound = writer.raise_bound(&self.log, unix);
            let outcome = writer.commit(&self.log, workspace, record, unix);
            drop(writer);
            let bound = bound.map(|ticket| ticket.map(|ticket| self.publish_at(ticket)));
            match (outcome, bound) {
                (Err(CommitError::Log(Refusal::Busy)), _) | (Err(CommitError::Clock(_)), Err(Refusal::Busy)) => {
                    self.settle()?;
                }
                (Err(CommitError::Clock(_)), Err(refusal)) => return Err(refusal.into()),
                // The record of the higher bound is in the log, proposed here or for another transaction. There is no
                // bound above the last timestamp.
                (Err(CommitError::Clock(reached)), Ok(_)) if reached.bound < Timestamp::MAX => self.settle()?,
                (outcome, _) => return Ok(outcome?),
            }
        }
    }

    /// Waits until all that was proposed before is durable, and publishes it. With an engine that is driven by hand,
    /// this drives it.
    pub(crate) fn settle(&self) -> Result<()> {
        self.log.wait_for_room().map_err(Error::Log)?;
        self.publish(None);
        Ok(())
    }

    /// Ends when readers can see `timestamp`, whose record is in the log; `None` if they can now.
    pub(crate) fn ticket_of(&self, timestamp: Timestamp) -> Result<Option<Ticket>> {
        self.publish(None);
        if self.state.watermark() >= timestamp {
            return Ok(None);
        }
        self.log.barrier().map(Some).map_err(Error::Log)
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
    }

    /// A number for a database or a table.
    pub(crate) fn take_number(&self) -> u64 {
        self.writer.lock().take_number()
    }

    pub(crate) fn drift(&self) -> Duration {
        self.writer.lock().drift(self.clock.unix())
    }
}
