//! `Writer`: gives transactions their place in the log.

mod checkpointing;
mod conflicts;
mod error;
mod flush;
mod flush_error;
mod flushes;
mod load;
mod writing;

pub use checkpointing::{CheckpointKind, CheckpointStep, Checkpointing};
pub use error::{CommitError, Stopped};
pub use flush::{Flush, FlushStep};
pub use flush_error::FlushError;
pub use load::{Load, LoadStep};

use std::{
    collections::{BTreeSet, VecDeque},
    error::Error,
    sync::Arc,
    time::Duration,
};

use crate::{
    catalog::FIRST_FREE_NUMBER,
    checkpoint::Checkpoint,
    clients::Clients,
    clock::HybridClock,
    flush::FlushLimits,
    ids::{RowId, RowsetId, TableId},
    log::{Log, LogEvent, Refusal},
    mutants::{self, Mutant},
    object_id::ObjectId,
    record::{self, CommitBuilder, Position, Record},
    recovery::Recovered,
    state::{Applier, State},
    tail::TailTable,
    timestamp::Timestamp,
    transaction::Workspace,
};

/// The one writer of a log tail.
///
/// A commit has three stages. It is *prepared* under the writer's lock: [`Writer::commit`] checks it against what
/// committed since its snapshot, gives it the next timestamp, proposes its record, and places its rows beside those of
/// their tables, where no reader sees them yet. The log makes the record *durable*, with those of others. Then it is
/// *applied*: who hears from the log that it is committed calls [`State::publish`], for which the writer is not needed,
/// or passes that on to [`Writer::log_event`], and readers see all transactions up to it. So rows are placed while the
/// log syncs, in the order of their timestamps, and no reader sees a transaction that could still be lost.
///
/// It has no threads, clock or IO: the caller has a lock around it, tells it the time, and waits for the log's tickets.
#[derive(Debug)]
pub struct Writer {
    applier: Applier,
    clock: HybridClock,
    position: Position,
    nonce: u64,
    identity: u64,
    /// Proposed records that are not committed yet, in their order.
    pending: VecDeque<Pending>,
    tail: TailTable,
    clients: Clients,
    /// The last record that is committed.
    committed_index: u64,
    /// The newest checkpoint that is committed.
    checkpoint: Option<Checkpoint>,
    /// Objects that an intent names and no later record.
    intended: BTreeSet<ObjectId>,
    checkpointing: bool,
    /// Tables that are being flushed.
    flushing: BTreeSet<TableId>,
    flush_limits: FlushLimits,
    /// The number that a database, table or memtable gets next.
    next_number: u64,
    serving: bool,
    stopped: Option<Stopped>,
}

#[derive(Debug)]
struct Pending {
    index: u64,
    record: PendingRecord,
}

#[derive(Debug)]
enum PendingRecord {
    Epoch,
    Bound,
    Commit(Timestamp),
    /// One that changes nothing for readers: an intent, a checkpoint.
    Intent,
}

/// A transaction that has its place in the log, and is not durable yet.
#[derive(Debug)]
pub enum Outcome<T> {
    /// It will be committed when its record is.
    Proposed {
        /// When it commits.
        timestamp: Timestamp,
        /// The index of its record.
        index: u64,
        /// Tells of the record's end.
        ticket: T,
    },
    /// A transaction with the same client id has been proposed before: it is committed when readers reach its
    /// timestamp, and this one is not repeated.
    Repeated {
        /// When the first one commits or has committed.
        timestamp: Timestamp,
    },
    /// There is nothing to write.
    Empty,
}

impl Writer {
    /// A writer of a log from which `recovered` was read. It has the next epoch, and `nonce`, a number that no other
    /// opening of this log or of a copy of it has.
    pub fn new(recovered: Recovered, nonce: u64) -> Self {
        let Recovered { applier, bound, epoch, identity, tail, clients, checkpoint, intended } = recovered;
        let bound = if mutants::is_on(Mutant::BoundForgotten) { Timestamp::ZERO } else { bound };
        let forgets = mutants::is_on(Mutant::NumbersForgotten);
        let next_number = if forgets { FIRST_FREE_NUMBER } else { applier.next_number() };
        let position = Position { epoch: epoch.saturating_add(1), sequence: 0 };
        Self {
            clock: HybridClock::recovered(bound.max(applier.last())),
            next_number,
            applier,
            position,
            nonce,
            identity: identity.unwrap_or(nonce),
            pending: VecDeque::new(),
            tail,
            clients,
            committed_index: 0,
            checkpoint,
            intended,
            checkpointing: false,
            flushing: BTreeSet::new(),
            flush_limits: FlushLimits::default(),
            serving: false,
            stopped: None,
        }
    }

    /// The writer with these limits of flushes, rather than those that they usually have.
    #[must_use]
    pub fn with_flush_limits(self, flush_limits: FlushLimits) -> Self {
        Self { flush_limits, ..self }
    }

    /// Proposes the record of the writer's epoch, before anything else. It [serves](Writer::serves) once that is
    /// committed: from then on no writer of an earlier epoch gets a record in.
    ///
    /// # Errors
    /// [`Refusal`]; call it again after [`Refusal::Busy`].
    pub fn begin<L: Log>(&mut self, log: &L) -> Result<L::Ticket, Refusal<L::Error>> {
        let record = record::epoch(self.position, self.nonce, self.identity);
        self.propose(log, &record, PendingRecord::Epoch).map(|(_, ticket)| ticket)
    }

    /// Proposes a higher bound for the clock, if half of the reserve below it is used up: to be called before each
    /// commit. Returns the ticket of the record, or `None` if none is due.
    ///
    /// # Errors
    /// [`Refusal`]; commits go on up to the bound that there is.
    pub fn raise_bound<L: Log>(&mut self, log: &L, unix: Duration) -> Result<Option<L::Ticket>, Refusal<L::Error>> {
        let Some(bound) = self.clock.bound_to_log(unix) else { return Ok(None) };
        let record = record::bound(self.position, bound);
        let ticket = self.propose(log, &record, PendingRecord::Bound);
        if ticket.is_err() {
            self.clock.bound_is_lost();
        } else if mutants::is_on(Mutant::BoundNotDurable) {
            self.clock.bound_is_durable();
        }
        ticket.map(|(_, ticket)| Some(ticket))
    }

    /// Commits what `workspace` has, whose keys are looked up, and which `record` was encoded from: checks it, gives it
    /// a timestamp, proposes its record, and places its rows. Nothing is durable on return, and readers see nothing of
    /// it before the record is committed and [published](State::publish).
    ///
    /// # Errors
    /// [`CommitError`]; the transaction has no effect then, and can be committed again where the error says so.
    pub fn commit<L: Log>(
        &mut self,
        log: &L,
        workspace: &Workspace,
        record: &mut CommitBuilder<'_>,
        unix: Duration,
    ) -> Result<Outcome<L::Ticket>, CommitError<L::Error>> {
        if let Some(stopped) = &self.stopped {
            return Err(CommitError::Stopped(stopped.clone()));
        }
        if let Some(timestamp) = workspace.client_id().and_then(|id| self.clients.find(id)) {
            return Ok(Outcome::Repeated { timestamp });
        }
        if record.sections().is_empty() {
            return Ok(Outcome::Empty);
        }
        if record.bytes_max() > log.bytes_max() {
            return Err(CommitError::TooLarge { bytes: record.bytes_max(), max: log.bytes_max() });
        }
        conflicts::check(&self.applier, workspace, record)?;
        let next_number = self.assign_places(record);
        let timestamp = self.clock.next(unix)?;
        let bytes = record.finish(self.position, timestamp);
        let (index, ticket) = log.propose(bytes).inspect_err(|refusal| self.refused(refusal))?;
        self.next_number = next_number;
        self.proposed(index, PendingRecord::Commit(timestamp));
        if let Err(fault) = self.place(bytes, index) {
            self.stopped = Some(Stopped::Fault(fault.clone()));
            return Err(CommitError::Stopped(Stopped::Fault(fault)));
        }
        if mutants::is_on(Mutant::VisibleEarly) {
            self.applier.publish(timestamp);
        }
        Ok(Outcome::Proposed { timestamp, index, ticket })
    }

    /// What became of records, as the log says. Events may come late, and one stands for all before it.
    pub fn log_event(&mut self, event: LogEvent) {
        match event {
            LogEvent::Durable(_) => {}
            LogEvent::Committed(index) => self.committed(index),
            LogEvent::Lost(_) => self.stopped = Some(Stopped::Lost),
            LogEvent::Unknown(_) => self.stopped = Some(Stopped::Unknown),
        }
    }

    /// What readers see.
    pub fn state(&self) -> &Arc<State> {
        self.applier.state()
    }

    /// The identity of the log: the same at each opening, and in copies of the log.
    pub fn identity(&self) -> u64 {
        self.identity
    }

    /// The writer's epoch, which is above those of all writers before it.
    pub fn epoch(&self) -> u64 {
        self.position.epoch
    }

    /// The transactions whose records are in the log.
    pub fn tail(&self) -> &TailTable {
        &self.tail
    }

    /// The timestamp of the last transaction that has its place in the log.
    pub fn last_placed(&self) -> Timestamp {
        self.applier.last()
    }

    /// Whether the record of the writer's epoch is committed, and the writer has not stopped.
    pub fn serves(&self) -> bool {
        self.serving && self.stopped.is_none()
    }

    /// Why the writer has stopped, if it has.
    pub fn stopped(&self) -> Option<&Stopped> {
        self.stopped.as_ref()
    }

    /// How far timestamps are ahead of the wall clock ([`HybridClock::drift`]).
    pub fn drift(&self, unix: Duration) -> Duration {
        self.clock.drift(unix)
    }

    /// A number for a database or a table: no other one gets it.
    pub fn take_number(&mut self) -> u64 {
        let number = self.next_number;
        self.next_number = number.saturating_add(1);
        number
    }

    /// Lets go of tables that were dropped before this horizon, which is raised for that as far as open snapshots
    /// allow: otherwise a flush raises it, and where that of the dropped table fails, none may come.
    pub fn let_go_of_dropped(&mut self, horizon: Timestamp) {
        if self.applier.has_dropped() {
            self.state().raise_horizon(horizon);
            self.applier.prune();
        }
    }

    /// Proposes a record that has no timestamp. Returns its index.
    fn propose<L: Log>(
        &mut self,
        log: &L,
        record: &[u8],
        pending: PendingRecord,
    ) -> Result<(u64, L::Ticket), Refusal<L::Error>> {
        let (index, ticket) = log.propose(record).inspect_err(|refusal| self.refused(refusal))?;
        self.proposed(index, pending);
        Ok((index, ticket))
    }

    /// The log refused a record: for good where it is another writer's.
    fn refused<E: Error>(&mut self, refusal: &Refusal<E>) {
        if matches!(refusal, Refusal::Lost) {
            self.stopped = Some(Stopped::Lost);
        }
    }

    fn proposed(&mut self, index: u64, record: PendingRecord) {
        self.position.sequence += 1;
        self.pending.push_back(Pending { index, record });
    }

    /// Gives the inserted rows their places. Returns the number after those that new memtables get.
    fn assign_places(&self, record: &mut CommitBuilder<'_>) -> u64 {
        let mut next_number = self.next_number;
        let sections = record.sections();
        for at in 0..sections.len() {
            let (before, rest) = sections.split_at_mut(at);
            let Some(section) = rest.first_mut().filter(|section| section.inserted > 0) else { continue };
            let last = before.iter().rev().find(|other| other.table == section.table && other.inserted > 0);
            section.first = match last {
                Some(last) => RowId { rowset: last.first.rowset, row: last.first.row.saturating_add(last.inserted) },
                None => self.applier.next_row(section.table).unwrap_or_else(|| {
                    next_number += 1;
                    RowId { rowset: RowsetId(next_number - 1), row: 0 }
                }),
            };
        }
        next_number
    }

    /// Places the transaction of a record that is in the log.
    fn place(&mut self, bytes: &[u8], index: u64) -> Result<(), String> {
        let Ok((_, Record::Commit(commit))) = Record::decode(bytes) else {
            return Err("it is no transaction".to_owned());
        };
        self.tail.push(commit.timestamp, index, commit.sections.iter().map(|section| section.table));
        if let Some(id) = commit.client_id {
            self.clients.insert(id, commit.timestamp);
        }
        self.applier.place(&commit).map_err(|error| error.to_string())
    }

    fn committed(&mut self, index: u64) {
        self.committed_index = self.committed_index.max(index);
        let mut published = None;
        while self.pending.front().is_some_and(|pending| pending.index <= index) {
            let Some(pending) = self.pending.pop_front() else { break };
            match pending.record {
                PendingRecord::Epoch => self.serving = true,
                PendingRecord::Bound => self.clock.bound_is_durable(),
                PendingRecord::Intent => {}
                PendingRecord::Commit(timestamp) => published = Some(timestamp),
            }
        }
        if let Some(timestamp) = published {
            self.applier.publish(timestamp);
            self.applier.prune();
        }
    }
}
