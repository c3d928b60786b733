//! `Load`: commits rows that are written to objects first, step by step.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;

use super::{PendingRecord, Stopped, Writer, error::CommitError, flushes::OBJECTS_MAX};
use crate::{
    block_meta::{MetaError, ObjectMeta},
    catalog::{TableSchema, is_system},
    ids::TableId,
    load::LoadCheck,
    log::Log,
    mutants::{self, Mutant},
    object_id::ObjectId,
    record::{self, Intent, LOADED_BYTES_MIN, Loaded},
    state::{OpenSnapshot, Placed},
    store::{Name, ObjectName, StoreError},
    table::Version,
    timestamp::Timestamp,
    transaction::OperationError,
    varint,
};

/// Inserts rows of any number into a table, in one transaction: they are written to objects as they come, and its
/// record has the objects' metadata alone. The steps, after each of which a crash may come:
///
/// 1. For objects that were encoded, an *intent* that names them is committed, and they are put. This is repeated.
/// 2. In a table with a key, the keys are looked for among each other, and among the rows that are visible at a
///    snapshot which is opened now: a job that any thread does, beside commits.
/// 3. They are looked for among the rows that were written since, beside commits, until few of those are left.
/// 4. The table is *sealed*: no transaction that writes it gets its place. The keys are looked for among the few rows,
///    which are in memory. If that takes reads of objects all the same, the load [gives way](Load::give_way), and goes
///    on with step 3: transactions do not wait for the store.
/// 5. The record is proposed, and the seal is broken. Readers see the rows when the record is committed.
///
/// A transaction that began before that and writes the table, if it has a key, is refused with
/// [`CommitError::SnapshotTooOld`]: the keys of a load are in objects, where a commit does not look.
///
/// A load that fails or is dropped leaves objects of which the intents tell, and nothing else.
#[derive(Debug)]
pub struct Load {
    schema: Arc<TableSchema>,
    /// Those that are put, or are being put.
    objects: Vec<Arc<ObjectMeta>>,
    /// The length of the record.
    bytes: usize,
    phase: Phase,
    is_sealing: bool,
    /// A check under the seal took reads: the next one is made beside commits.
    has_given_way: bool,
}

#[derive(Debug)]
enum Phase {
    /// Takes objects.
    Open,
    Encoded(Vec<(ObjectMeta, Bytes)>),
    /// The intent has this index in the log.
    Intended(u64, Vec<(ObjectMeta, Bytes)>),
    /// Objects that are not put yet, and how many are being put.
    Putting(VecDeque<(Name, Bytes)>, usize),
    /// All rows are there, and are to be committed.
    Complete,
    /// The caller makes a check beside commits; with what is known once it allows the load.
    Checking(Checked),
    Checked(Checked),
    /// The caller makes a check under the seal; with what was known before.
    CatchingUp(Checked),
    CaughtUp(Option<Checked>),
    /// The record has this index in the log.
    Recorded(u64, Timestamp),
    Ended,
}

/// That no row which was placed up to a timestamp has a key of the load, but for those that were deleted before the
/// first check.
#[derive(Debug)]
struct Checked {
    through: Timestamp,
    /// Where rows were then.
    version: Arc<Version>,
    /// Keeps what the next check looks at.
    _snapshot: OpenSnapshot,
}

/// The most rows that are looked at under the seal.
const SEALED_ROWS_MAX: u32 = 8192;

/// What a load asks for.
#[derive(Debug)]
pub enum LoadStep {
    /// Nothing before the log commits more, or what was asked for before is done.
    Wait,
    /// Nothing: it takes more objects, or is to be [completed](Load::complete).
    Ready,
    /// Put an object, and tell [`Load::put_done`].
    Put {
        /// Its name in the store.
        name: Name,
        /// Its bytes.
        bytes: Bytes,
    },
    /// Look for keys, and say [`Load::checked`] where the load may commit. If the check [is
    /// sealed](LoadCheck::is_sealed), transactions wait for the next step: one that takes reads is [given
    /// up](Load::give_way).
    Check(LoadCheck),
    /// The load is committed, and readers see its rows.
    Done(Timestamp),
}

impl Writer {
    /// Begins a load into a user's table, with the columns that it has now.
    ///
    /// # Errors
    /// [`OperationError::NoTable`], [`OperationError::System`].
    pub fn begin_load(&self, table: TableId) -> Result<Load, OperationError> {
        if is_system(table) {
            return Err(OperationError::System(table));
        }
        let schema = Arc::clone(self.applier.catalog().table(table).ok_or(OperationError::NoTable(table))?);
        let (objects, bytes) = (Vec::new(), LOADED_BYTES_MIN);
        Ok(Load { schema, objects, bytes, phase: Phase::Open, is_sealing: false, has_given_way: false })
    }

    /// Whether transactions that write a table get no place now, as a load of it gets its own.
    pub fn is_sealed(&self, table: TableId) -> bool {
        self.applier.table(table).is_some_and(Placed::is_sealed)
    }

    /// The first of the 65,536 ids that no other objects get.
    pub fn take_objects(&mut self) -> ObjectId {
        let first = ObjectId { nonce: self.nonce, number: self.next_number };
        self.next_number = self.next_number.saturating_add(OBJECTS_MAX);
        first
    }

    /// A load is done, or failed.
    pub fn end_load(&mut self, mut load: Load) {
        load.break_seal(self);
    }

    /// Gives a load its timestamp, proposes its record, and places it. Returns the record's index.
    fn propose_loaded<L: Log>(
        &mut self,
        log: &L,
        loaded: &mut Loaded,
        unix: Duration,
    ) -> Result<u64, CommitError<L::Error>> {
        loaded.timestamp = self.clock.next(unix)?;
        for block in loaded.objects.iter_mut().flat_map(|object| &mut object.blocks) {
            (block.low_commit, block.high_commit) = (loaded.timestamp, loaded.timestamp);
            block.created = loaded.timestamp;
        }
        let record = record::loaded(self.position, loaded)?;
        let (index, _) = log.propose(&record)?;
        self.proposed(index, PendingRecord::Commit(loaded.timestamp));
        loaded.objects.iter().for_each(|object| _ = self.intended.remove(&object.id));
        self.tail.push(loaded.timestamp, index, [loaded.table]);
        if let Err(fault) = self.applier.place_loaded(loaded) {
            let fault = Stopped::Fault(fault.to_string());
            self.stopped = Some(fault.clone());
            return Err(CommitError::Stopped(fault));
        }
        Ok(index)
    }
}

impl Load {
    /// The table, as it was when the load began.
    pub fn schema(&self) -> &Arc<TableSchema> {
        &self.schema
    }

    /// When the load commits, once its record is in the log: dropping it changes nothing then.
    pub fn timestamp(&self) -> Option<Timestamp> {
        if let Phase::Recorded(_, at) = self.phase { Some(at) } else { None }
    }

    /// Adds objects of the load's rows, whose ids were [taken](Writer::take_objects): to a load that is
    /// [ready](LoadStep::Ready) for them.
    ///
    /// # Errors
    /// [`CommitError::TooLarge`] where the log takes no record of so many objects: the load has failed then.
    pub fn add<L: Log>(&mut self, log: &L, objects: Vec<(ObjectMeta, Bytes)>) -> Result<(), CommitError<L::Error>> {
        let len = |(meta, _): &(ObjectMeta, Bytes)| Ok::<_, MetaError>(meta.encode()?.len() + varint::BYTES_MAX);
        for object in &objects {
            self.bytes += len(object)?;
        }
        if self.bytes > log.bytes_max() {
            self.phase = Phase::Ended;
            return Err(CommitError::TooLarge { bytes: self.bytes, max: log.bytes_max() });
        }
        if matches!(self.phase, Phase::Open) && !objects.is_empty() {
            self.phase = Phase::Encoded(objects);
        }
        Ok(())
    }

    /// All rows are there: the next steps commit them. To be called when the load is [ready](LoadStep::Ready).
    pub fn complete(&mut self) {
        if matches!(self.phase, Phase::Open) {
            self.phase = Phase::Complete;
        }
    }

    /// What to do next. Called again when that is done, and, after [`LoadStep::Wait`], when the log has committed more.
    ///
    /// # Errors
    /// [`CommitError`]. After [`CommitError::Clock`] and [`CommitError::Log`] the step may be called again; otherwise
    /// the load has failed, and is to be [ended](Writer::end_load).
    pub fn step<L: Log>(
        &mut self,
        writer: &mut Writer,
        log: &L,
        unix: Duration,
    ) -> Result<LoadStep, CommitError<L::Error>> {
        // Readers see it, whatever has become of the writer since.
        if let Phase::Recorded(index, at) = self.phase
            && writer.committed_index() >= index
        {
            return Ok(LoadStep::Done(at));
        }
        if let Some(stopped) = &writer.stopped {
            return Err(CommitError::Stopped(stopped.clone()));
        }
        match std::mem::replace(&mut self.phase, Phase::Ended) {
            Phase::Encoded(objects) => self.intend(writer, log, objects),
            Phase::Intended(index, objects) if writer.committed_index() >= index => Ok(self.put_objects(objects)),
            Phase::Putting(mut left, running) => Ok(match left.pop_front() {
                Some((name, bytes)) => {
                    self.phase = Phase::Putting(left, running + 1);
                    LoadStep::Put { name, bytes }
                }
                None if running == 0 => self.ready(),
                None => {
                    self.phase = Phase::Putting(left, running);
                    LoadStep::Wait
                }
            }),
            Phase::Open => Ok(self.ready()),
            Phase::Complete => Ok(self.check(writer)),
            Phase::Checked(checked) => self.catch_up(writer, checked),
            Phase::CaughtUp(checked) => self.record(writer, log, unix, checked),
            waiting => {
                self.phase = waiting;
                Ok(LoadStep::Wait)
            }
        }
    }

    /// An object was put, or not.
    ///
    /// # Errors
    /// The outcome's: the load has failed then.
    pub fn put_done(&mut self, outcome: Result<(), StoreError>) -> Result<(), StoreError> {
        if let Phase::Putting(_, running) = &mut self.phase {
            *running = running.saturating_sub(1);
        }
        outcome.inspect_err(|_| self.phase = Phase::Ended)
    }

    /// What was to be [checked](LoadStep::Check) allows the load. One that is not allowed is to be ended.
    pub fn checked(&mut self) {
        self.phase = match std::mem::replace(&mut self.phase, Phase::Ended) {
            Phase::Checking(checked) => Phase::Checked(checked),
            Phase::CatchingUp(checked) => Phase::CaughtUp(Some(checked)),
            other => other,
        }
    }

    /// A check under the seal takes reads. The seal is broken, and the next check is of the same rows and of those that
    /// were written since, beside commits.
    pub fn give_way(&mut self, writer: &mut Writer) {
        self.break_seal(writer);
        self.has_given_way = true;
        self.phase = match std::mem::replace(&mut self.phase, Phase::Ended) {
            Phase::CatchingUp(checked) => Phase::Checked(checked),
            other => other,
        }
    }

    fn ready(&mut self) -> LoadStep {
        self.phase = Phase::Open;
        LoadStep::Ready
    }

    fn table(&self) -> TableId {
        self.schema.id()
    }

    fn intend<L: Log>(
        &mut self,
        writer: &mut Writer,
        log: &L,
        objects: Vec<(ObjectMeta, Bytes)>,
    ) -> Result<LoadStep, CommitError<L::Error>> {
        let ids = objects.iter().map(|(meta, _)| meta.id).collect();
        match writer.propose_intent(log, &Intent { table: self.table(), objects: ids }) {
            Ok(index) => {
                self.phase = Phase::Intended(index, objects);
                Ok(LoadStep::Wait)
            }
            Err(refusal) => {
                self.phase = Phase::Encoded(objects);
                Err(refusal.into())
            }
        }
    }

    fn put_objects(&mut self, objects: Vec<(ObjectMeta, Bytes)>) -> LoadStep {
        let table = self.table();
        let name = |meta: &ObjectMeta| ObjectName { table, id: meta.id }.name();
        let mut left: VecDeque<_> = objects.iter().map(|(meta, bytes)| (name(meta), bytes.clone())).collect();
        self.objects.extend(objects.into_iter().map(|(meta, _)| Arc::new(meta)));
        let next = left.pop_front();
        self.phase = Phase::Putting(left, usize::from(next.is_some()));
        next.map_or(LoadStep::Wait, |(name, bytes)| LoadStep::Put { name, bytes })
    }

    /// Begins the first check. Nothing can be found in a table without a key, nor of a load without rows.
    fn check(&mut self, writer: &Writer) -> LoadStep {
        let snapshot = writer.state().open_newest();
        if self.objects.is_empty() {
            return LoadStep::Done(snapshot.timestamp());
        }
        let table = writer.state().table(self.table()).filter(|_| self.schema.key_columns().is_some());
        let Some(version) = table.map(|table| table.version()) else {
            self.phase = Phase::CaughtUp(None);
            return LoadStep::Wait;
        };
        let through = snapshot.timestamp();
        let check = self.check_of(None, through, &version, &version);
        self.phase = Phase::Checking(Checked { through, version, _snapshot: snapshot });
        LoadStep::Check(check)
    }

    /// Begins the next check, of what was placed since the last one: under a seal where that is little and in memory,
    /// and beside commits otherwise.
    fn catch_up<E: std::error::Error>(
        &mut self,
        writer: &mut Writer,
        checked: Checked,
    ) -> Result<LoadStep, CommitError<E>> {
        let table = self.table();
        self.check_schema(writer)?;
        let (through, snapshot) = (writer.last_placed(), writer.state().open_newest());
        let Some(placed) = writer.applier.table_mut(table) else { return Err(CommitError::SchemaChanged(table)) };
        let unseen = placed.loaded() > checked.through && placed.loaded() > snapshot.timestamp();
        if placed.is_sealed() || unseen {
            // Another load gets its place, or readers do not see its objects yet.
            self.phase = Phase::Checked(checked);
            return Ok(LoadStep::Wait);
        }
        let version = placed.version();
        let mut check = self.check_of(Some(checked.through), through, &version, &checked.version);
        let has_given_way = std::mem::take(&mut self.has_given_way);
        check.is_sealed = !has_given_way && check.rows_max().is_some_and(|rows| rows <= SEALED_ROWS_MAX);
        if check.is_sealed {
            placed.set_sealed(true);
            self.is_sealing = true;
            self.phase = Phase::CatchingUp(checked);
        } else {
            self.phase = Phase::Checking(Checked { through, version, _snapshot: snapshot });
        }
        Ok(LoadStep::Check(check))
    }

    fn check_of(
        &self,
        after: Option<Timestamp>,
        through: Timestamp,
        version: &Arc<Version>,
        before: &Arc<Version>,
    ) -> LoadCheck {
        let (version, before) = (Arc::clone(version), Arc::clone(before));
        let (schema, objects) = (Arc::clone(&self.schema), self.objects.clone());
        LoadCheck { schema, objects, after, through, version, before, is_sealed: false }
    }

    /// Proposes the record, and breaks the seal. Where the log has no room, the last check is made again: who waits for
    /// room does not keep others waiting.
    fn record<L: Log>(
        &mut self,
        writer: &mut Writer,
        log: &L,
        unix: Duration,
        checked: Option<Checked>,
    ) -> Result<LoadStep, CommitError<L::Error>> {
        self.check_schema(writer)?;
        let objects = self.objects.iter().map(|meta| meta.as_ref().clone()).collect();
        let mut loaded = Loaded { table: self.table(), timestamp: Timestamp::ZERO, objects };
        let proposed = writer.propose_loaded(log, &mut loaded, unix);
        self.break_seal(writer);
        match proposed {
            Ok(index) => {
                self.phase = Phase::Recorded(index, loaded.timestamp);
                Ok(LoadStep::Wait)
            }
            Err(error) => {
                self.phase = checked.map_or(Phase::CaughtUp(None), Phase::Checked);
                Err(error)
            }
        }
    }

    fn check_schema<E: std::error::Error>(&self, writer: &Writer) -> Result<(), CommitError<E>> {
        let now = writer.applier.catalog().table(self.table());
        let same = now.is_some_and(|now| now.version() == self.schema.version());
        if same || mutants::is_on(Mutant::SchemaNotChecked) {
            Ok(())
        } else {
            Err(CommitError::SchemaChanged(self.table()))
        }
    }

    fn break_seal(&mut self, writer: &mut Writer) {
        if std::mem::take(&mut self.is_sealing)
            && let Some(placed) = writer.applier.table_mut(self.table())
        {
            placed.set_sealed(false);
        }
    }
}
