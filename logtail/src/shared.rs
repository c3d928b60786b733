//! `Shared`: the writer, its log, and what waits for both.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use event_listener::{Event, Listener};
use logboom::{Clock, Ticket};
use logboom_logtail_blocks::ObjectMemory;
use logboom_logtail_core::{
    TableId, Timestamp,
    catalog::is_system,
    flush::{MemoryUse, TableMemory},
    log::{LogEvent, Refusal},
    mutants::{self, Mutant},
    record::CommitBuilder,
    state::State,
    table::Table,
    transaction::Workspace,
    writer::{CommitError, Outcome, Writer},
};
use parking_lot::{Mutex, MutexGuard};

use crate::{
    ages::{Ages, Part},
    error::{Error, Result},
    memory_bound::{Full, MemoryBound},
    metrics::Counts,
    options::Options,
    past::Past,
    shard_log::ShardLog,
    store::Store,
};

/// What the handles of a tail share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) log: ShardLog,
    pub(crate) state: Arc<State>,
    pub(crate) store: Store,
    pub(crate) options: Options,
    writer: Mutex<Writer>,
    clock: Arc<dyn Clock>,
    memory_bound: MemoryBound,
    /// For the objects of flushes.
    pub(crate) object_memory: ObjectMemory,
    ages: Mutex<Ages>,
    /// What timestamps were when the history of now began, and when rows were committed that are pinned now.
    past: Mutex<(Past, Past)>,
    /// A load has its place, or has failed.
    load_placed: Event,
    /// The last failure of a flush, by table, until one succeeds.
    failures: Mutex<BTreeMap<TableId, Arc<Error>>>,
    checkpoint_failure: Mutex<Option<Arc<Error>>>,
    pub(crate) counts: Counts,
}

impl Shared {
    pub(crate) fn new(
        log: ShardLog,
        writer: Writer,
        store: Store,
        clock: Arc<dyn Clock>,
        options: Options,
    ) -> Arc<Self> {
        // Before the tail was open, time was the wall clock's where that is ahead.
        let newest = writer.state().watermark().max(Timestamp::from_unix(clock.unix()));
        let past = |span| Past::new(span, clock.now(), newest);
        let past = (past(options.history), past(options.pinned));
        Arc::new(Self {
            log,
            past: Mutex::new(past),
            state: Arc::clone(writer.state()),
            store,
            memory_bound: MemoryBound::new(&options),
            object_memory: ObjectMemory::default(),
            ages: Mutex::default(),
            options,
            writer: Mutex::new(writer),
            clock,
            load_placed: Event::new(),
            failures: Mutex::default(),
            checkpoint_failure: Mutex::default(),
            counts: Counts::default(),
        })
    }

    /// The writer, which has heard of all that is durable: commits publish themselves without it, and a flush or a load
    /// may be all that is written. Nothing that waits may be done meanwhile.
    pub(crate) fn writer(&self) -> MutexGuard<'_, Writer> {
        let mut writer = self.writer.lock();
        writer.log_event(LogEvent::Committed(self.log.durable()));
        writer
    }

    /// The time since some start.
    pub(crate) fn monotonic(&self) -> Duration {
        self.clock.now()
    }

    /// The wall clock.
    pub(crate) fn unix(&self) -> Duration {
        self.clock.unix()
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
        if !mutants::is_on(Mutant::EpochNotDurable) {
            ticket.wait().map_err(Error::Log)?;
        }
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
            let unix = self.unix();
            let mut writer = self.writer();
            let bound = writer.raise_bound(&self.log, unix);
            let outcome = writer.commit(&self.log, workspace, record, unix);
            drop(writer);
            let bound = bound.map(|ticket| ticket.map(|ticket| self.publish_at(ticket)));
            match (outcome, bound) {
                (Err(CommitError::Log(Refusal::Busy)), _) | (Err(CommitError::Clock(_)), Err(Refusal::Busy)) => {
                    self.settle()?;
                }
                (Err(CommitError::Clock(_)), Err(refusal)) => return Err(refusal.into()),
                (Err(CommitError::Loading(table)), _) => self.wait_for_load(table),
                // The record of the higher bound is in the log, proposed here or for another transaction. There is no
                // bound above the last timestamp.
                (Err(CommitError::Clock(reached)), Ok(_)) if reached.bound < Timestamp::MAX => self.settle()?,
                (Ok(outcome), _) => {
                    // About what the rows take, until the flusher looks again.
                    self.memory_bound.add(record.bytes_max());
                    if matches!(outcome, Outcome::Proposed { .. }) {
                        self.counts.transactions.add(1);
                        self.counts.bytes.add(record.bytes_max() as u64);
                    }
                    return Ok(outcome);
                }
                (Err(error), _) => return Err(error.into()),
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

    /// Refuses where the engine is closed or has failed: nothing becomes durable any more.
    pub(crate) fn check_log(&self) -> Result<()> {
        self.log.check().map_err(Error::Log)
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

    /// Publishes a transaction that is durable. The writer hears of it later, with the next one: threads that wait for
    /// one sync wake at once, and would queue for its lock.
    pub(crate) fn publish_commit(&self, timestamp: Timestamp) {
        if !self.state.publish(timestamp) {
            self.publish(None);
        }
    }

    /// Publishes what is durable; with an event that ends the writer, that too.
    pub(crate) fn publish(&self, end: Option<LogEvent>) {
        let mut writer = self.writer();
        if let Some(end) = end {
            writer.log_event(end);
        }
    }

    /// Proposes a higher bound of the clock, if one is due.
    pub(crate) fn raise_bound(self: &Arc<Self>) {
        let bound = self.writer.lock().raise_bound(&self.log, self.unix());
        if let Ok(Some(ticket)) = bound {
            self.publish_at(ticket);
        }
    }

    /// What tables have in memory: those that are to be flushed one day.
    pub(crate) fn memory(&self) -> Vec<TableMemory> {
        let (now, unix) = (self.monotonic(), self.unix());
        // What is newest now is noted, as the flusher asks for the memory again and again.
        self.past();
        let mut ages = self.ages.lock();
        let mut part = |part: Part, bytes: usize, oldest: Option<Timestamp>| {
            let of = |oldest| MemoryUse { bytes, age: ages.look(part, oldest, now, unix) };
            oldest.map_or_else(MemoryUse::default, of)
        };
        let memory = |table: &Arc<Table>| {
            let (version, table) = (table.version(), table.id());
            TableMemory {
                table,
                rows: part(Part::Rows(table), version.row_bytes(), version.oldest_row()),
                deletes: part(Part::Deletes(table), version.delete_bytes(), version.oldest_delete()),
            }
        };
        let tables = self.state.tables();
        let memory = tables.iter().filter(|table| !is_system(table.id())).map(memory);
        let memory: Vec<_> = memory.filter(|memory| memory.bytes() > 0).collect();
        ages.forget_others();
        drop(ages);
        // Who waits for memory may have a snapshot that keeps a dropped table: it must not wait for that one.
        let (kept, dropped): (Vec<_>, Vec<_>) = memory.iter().partition(|memory| !self.is_dropped(memory.table));
        if !dropped.is_empty() {
            let horizon = self.horizon_now();
            self.writer.lock().let_go_of_dropped(horizon);
        }
        self.memory_bound.look(kept.into_iter().map(TableMemory::bytes).sum());
        memory
    }

    /// Whether readers see that a table was dropped.
    fn is_dropped(&self, table: TableId) -> bool {
        self.state.catalog(self.state.watermark()).is_ok_and(|catalog| catalog.table(table).is_none())
    }

    /// The timestamp of the oldest row or delete that a table has in memory.
    pub(crate) fn oldest_in_memory(&self, table: TableId) -> Option<Timestamp> {
        let version = self.state.table(table)?.version();
        version.oldest_row().into_iter().chain(version.oldest_delete()).min()
    }

    pub(crate) fn last_placed(&self) -> Timestamp {
        self.writer.lock().last_placed()
    }

    /// The horizon that the options ask for now.
    pub(crate) fn horizon_now(&self) -> Timestamp {
        self.past().0
    }

    /// Rows in memory from up to this timestamp are written to checkpoints.
    pub(crate) fn pinned_now(&self) -> Timestamp {
        self.past().1
    }

    fn past(&self) -> (Timestamp, Timestamp) {
        let (now, unix, newest) = (self.monotonic(), self.unix(), self.state.watermark());
        let mut past = self.past.lock();
        (past.0.look(now, newest, unix), past.1.look(now, newest, unix))
    }

    /// Notes how a flush ended.
    pub(crate) fn flush_ended(&self, table: TableId, outcome: Result<(), Arc<Error>>) {
        let mut failures = self.failures.lock();
        match outcome {
            Ok(()) => failures.remove(&table),
            Err(error) => failures.insert(table, error),
        };
    }

    /// Notes how a checkpoint ended.
    pub(crate) fn checkpoint_ended(&self, outcome: Result<()>) {
        *self.checkpoint_failure.lock() = outcome.err().map(Arc::new);
    }

    /// Why the last checkpoint failed, if it did.
    pub(crate) fn checkpoint_failure(&self) -> Option<Arc<Error>> {
        self.checkpoint_failure.lock().clone()
    }

    /// The tables whose last flush failed, and why.
    pub(crate) fn failures(&self) -> Vec<(TableId, Arc<Error>)> {
        self.failures.lock().iter().map(|(table, error)| (*table, Arc::clone(error))).collect()
    }

    pub(crate) fn memory_bound(&self) -> &MemoryBound {
        &self.memory_bound
    }

    /// What a transaction that writes `tables` has to wait for before it gets its place, if anything.
    ///
    /// # Errors
    /// [`Error::Stopped`], [`Error::Log`], [`Error::Closed`] and, for a table that was dropped,
    /// [`Error::SchemaChanged`], where it would wait in vain.
    pub(crate) fn full(&self, tables: impl Iterator<Item = TableId> + Clone) -> Result<Option<Full>> {
        let mut tables = tables.filter(|table| !is_system(*table));
        let full = self.memory_bound.full(tables.clone().filter_map(|table| self.state.table(table)));
        if full.is_some() {
            if let Some(dropped) = tables.find(|table| self.is_dropped(*table)) {
                return Err(Error::SchemaChanged(dropped));
            }
            if let Some(stopped) = self.writer.lock().stopped() {
                return Err(Error::Stopped(stopped.clone()));
            }
            if self.memory_bound.is_closed() {
                return Err(Error::Closed);
            }
            // Nothing is flushed any more where the engine is closed or has failed.
            self.check_log()?;
        }
        Ok(full)
    }

    /// Waits while a load of a table is being committed, until it has its place.
    fn wait_for_load(&self, table: TableId) {
        let listener = self.load_placed.listen();
        if self.writer.lock().is_sealed(table) {
            listener.wait();
        }
    }

    /// A load has its place, or has failed.
    pub(crate) fn load_placed(&self) {
        self.load_placed.notify(usize::MAX);
    }

    /// A number for a database or a table.
    pub(crate) fn take_number(&self) -> u64 {
        self.writer.lock().take_number()
    }

    pub(crate) fn drift(&self) -> Duration {
        self.writer.lock().drift(self.unix())
    }
}
