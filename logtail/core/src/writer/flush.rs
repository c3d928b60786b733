//! `Flush`: moves the memtables of a table to objects, step by step.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;

use super::{Writer, flush_error::FlushError};
use crate::{
    block_meta::ObjectMeta,
    catalog::TableSchema,
    flush::{EncodeJob, Encoded, SortJob, TombstoneJob},
    ids::{RowId, TableId},
    log::Log,
    mutants::{self, Mutant},
    object_id::ObjectId,
    record::{self, Flushed, Intent, Tombstones},
    state::Placed,
    store::{Name, ObjectName, StoreError},
    table::{Memtable, Transfer},
    timestamp::Timestamp,
};

/// Moves the memtables of a table to objects, and deletes of rows that are in objects to a tombstone object. The steps,
/// after each of which a crash may come:
///
/// 1. The memtables take no more rows, and all of theirs become committed.
/// 2. The rows are sorted and encoded, and so are the deletes: a [job](EncodeJob) for any thread.
/// 3. An *intent* that names the objects is committed: from here on a crash leaves objects that nobody refers to, and
///    the intent tells which.
/// 4. The objects are put.
/// 5. The record of the flush is committed: it has the objects' metadata, and the rows' deletes at their new places,
///    those included that were committed since the first step. Readers that begin then read the objects; the deletes of
///    the rows leave memory with the next flush.
///
/// Readers and commits go on all the time, and no delete undoes a flush: a transaction that deletes a row by its old
/// place deletes it at the new one. A flush that fails or is dropped leaves the memtables as they are, and objects of
/// which the intent tells.
#[derive(Debug)]
pub struct Flush {
    table: TableId,
    schema: Arc<TableSchema>,
    memtables: Vec<Arc<Memtable>>,
    /// The horizon that is asked for, and then the one by which rows were dropped.
    horizon: Timestamp,
    /// Whether deletes of rows in objects are flushed.
    deletes: bool,
    /// The id of the tombstone object; those of rows have the next numbers.
    objects: ObjectId,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    Frozen,
    /// The job is somebody's.
    Encoding,
    Encoded(Encoded),
    /// The intent has this index in the log.
    Intended(u64, Encoded),
    /// Objects that are not put yet; with those of which the put is somebody's.
    Putting {
        left: VecDeque<(Name, Bytes)>,
        running: usize,
        written: Written,
    },
    /// The record of the flush has this index in the log.
    Recorded(u64, Flushed),
    Ended,
}

/// What the objects have.
#[derive(Debug)]
struct Written {
    metas: Vec<ObjectMeta>,
    transfer: Arc<Transfer>,
    tombstones: Option<Tombstones>,
}

/// What a flush asks for.
#[derive(Debug)]
pub enum FlushStep {
    /// Nothing before the log commits more, or what was asked for before is done.
    Wait,
    /// Encode the rows, and pass the objects to [`Flush::encoded`].
    Encode(EncodeJob),
    /// Put an object, and tell [`Flush::put_done`].
    Put {
        /// Its name in the store.
        name: Name,
        /// Its bytes.
        bytes: Bytes,
    },
    /// The flush is committed, and readers read the objects.
    Done(Box<Flushed>),
}

/// The most bytes of a delete, or of a block's tombstones, in a record.
const PLACE_BYTES_MAX: usize = 25;
/// The most bytes of a block's metadata in a record.
const BLOCK_BYTES_MAX: usize = 256;

impl Flush {
    /// A flush of these memtables, which are of one schema and take no more rows.
    pub(crate) fn new(
        table: TableId,
        schema: Arc<TableSchema>,
        memtables: Vec<Arc<Memtable>>,
        horizon: Timestamp,
        deletes: bool,
        objects: ObjectId,
    ) -> Self {
        Self { table, schema, memtables, horizon, deletes, objects, phase: Phase::Frozen }
    }

    /// The table.
    pub fn table(&self) -> TableId {
        self.table
    }

    /// What to do next. Called again when that is done, and, after [`FlushStep::Wait`], when the log has committed
    /// more.
    ///
    /// # Errors
    /// [`FlushError`]. After [`FlushError::Clock`] and [`FlushError::Log`] the step may be called again; otherwise the
    /// flush has failed, and is to be [ended](Writer::end_flush).
    pub fn step<L: Log>(
        &mut self,
        writer: &mut Writer,
        log: &L,
        unix: Duration,
    ) -> Result<FlushStep, FlushError<L::Error>> {
        match std::mem::replace(&mut self.phase, Phase::Ended) {
            Phase::Frozen => self.encode(writer),
            Phase::Encoded(encoded) => self.intend(writer, log, encoded),
            Phase::Intended(index, encoded) if writer.committed_index() >= index => Ok(self.put_objects(encoded)),
            Phase::Putting { left, running: 0, written } if left.is_empty() => self.record(writer, log, unix, written),
            Phase::Putting { mut left, running, written } => {
                let next = left.pop_front();
                let running = running + usize::from(next.is_some());
                self.phase = Phase::Putting { left, running, written };
                Ok(next.map_or(FlushStep::Wait, |(name, bytes)| FlushStep::Put { name, bytes }))
            }
            Phase::Recorded(index, flushed) if writer.committed_index() >= index => {
                Ok(FlushStep::Done(Box::new(flushed)))
            }
            waiting => {
                self.phase = waiting;
                Ok(FlushStep::Wait)
            }
        }
    }

    /// The rows are encoded.
    pub fn encoded(&mut self, encoded: Encoded) {
        if matches!(self.phase, Phase::Encoding) {
            self.phase = Phase::Encoded(encoded);
        }
    }

    /// An object was put, or not.
    ///
    /// # Errors
    /// The outcome's: the flush has failed then.
    pub fn put_done(&mut self, outcome: Result<(), StoreError>) -> Result<(), StoreError> {
        if let Phase::Putting { running, .. } = &mut self.phase {
            *running = running.saturating_sub(1);
        }
        outcome.inspect_err(|_| self.phase = Phase::Ended)
    }

    fn encode<E: std::error::Error>(&mut self, writer: &Writer) -> Result<FlushStep, FlushError<E>> {
        let last = self.memtables.iter().map(|memtable| memtable.last_commit()).max().unwrap_or_default();
        if writer.state().watermark() < last {
            self.phase = Phase::Frozen;
            return Ok(FlushStep::Wait);
        }
        let wanted = if self.memtables.is_empty() { Timestamp::ZERO } else { self.horizon };
        self.horizon = writer.state().raise_horizon(wanted);
        let sort = SortJob::new(Arc::clone(&self.schema), &self.memtables, self.horizon)?;
        let placed = writer.applier.table(self.table).filter(|_| self.deletes);
        let through = writer.state().watermark();
        let job = |placed: &Placed| TombstoneJob::new(self.objects, placed.objects().cloned(), through);
        let tombstones = placed.and_then(job);
        self.phase = Phase::Encoding;
        let first = ObjectId { nonce: self.objects.nonce, number: self.objects.number.saturating_add(1) };
        Ok(FlushStep::Encode(EncodeJob { table: self.table, first, sort, tombstones }))
    }

    fn intend<L: Log>(
        &mut self,
        writer: &mut Writer,
        log: &L,
        encoded: Encoded,
    ) -> Result<FlushStep, FlushError<L::Error>> {
        self.check_size(writer, log, &encoded)?;
        let tombstones = encoded.tombstones.iter().map(|(tombstones, _)| tombstones.object.id);
        let objects = encoded.objects.iter().map(|(meta, _)| meta.id).chain(tombstones).collect();
        match writer.propose_intent(log, &Intent { table: self.table, objects }) {
            Ok(index) => {
                self.phase = Phase::Intended(index, encoded);
                Ok(FlushStep::Wait)
            }
            Err(refusal) => {
                self.phase = Phase::Encoded(encoded);
                Err(refusal.into())
            }
        }
    }

    /// Refuses a flush whose record would be too long with the deletes that there are, before its objects are put.
    fn check_size<L: Log>(&self, writer: &Writer, log: &L, encoded: &Encoded) -> Result<(), FlushError<L::Error>> {
        let deletes: usize = self.memtables.iter().map(|memtable| memtable.deletes().len()).sum();
        let blocks: usize = encoded.objects.iter().map(|(meta, _)| meta.blocks.len()).sum();
        let persisted = encoded.tombstones.as_ref().map_or(0, |(tombstones, _)| tombstones.blocks.len());
        // What each takes at most; it is seldom needed to know it exactly.
        if (deletes + persisted) * PLACE_BYTES_MAX + blocks * BLOCK_BYTES_MAX < log.bytes_max() / 2 {
            return Ok(());
        }
        let flushed = Flushed {
            table: self.table,
            timestamp: Timestamp::MAX,
            horizon: self.horizon,
            memtables: self.memtables.iter().map(|memtable| memtable.id()).collect(),
            objects: encoded.objects.iter().map(|(meta, _)| meta.clone()).collect(),
            deletes: self.moved_deletes(&encoded.transfer),
            tombstones: encoded.tombstones.as_ref().map(|(tombstones, _)| tombstones.clone()),
        };
        let bytes = record::flushed(writer.position, &flushed)?.len();
        if bytes > log.bytes_max() { Err(FlushError::TooLarge { bytes, max: log.bytes_max() }) } else { Ok(()) }
    }

    /// The deletes of the flushed rows, at their new places.
    fn moved_deletes(&self, transfer: &Transfer) -> Vec<(RowId, Timestamp)> {
        let mut deletes = Vec::new();
        for memtable in &self.memtables {
            for (row, deleted) in memtable.deletes().iter() {
                let old = RowId { rowset: memtable.id(), row };
                if !mutants::is_on(Mutant::DeletesNotMoved) {
                    deletes.extend(transfer.get(old).map(|row| (row, deleted)));
                }
            }
        }
        deletes
    }

    fn put_objects(&mut self, encoded: Encoded) -> FlushStep {
        let name = |meta: &ObjectMeta| ObjectName { table: self.table, id: meta.id }.name();
        let mut left = VecDeque::with_capacity(encoded.objects.len() + 1);
        let mut metas = Vec::with_capacity(encoded.objects.len());
        for (meta, bytes) in encoded.objects {
            left.push_back((name(&meta), bytes));
            metas.push(meta);
        }
        let tombstones = encoded.tombstones.map(|(tombstones, bytes)| {
            left.push_back((name(&tombstones.object), bytes));
            tombstones
        });
        let written = Written { metas, transfer: Arc::new(encoded.transfer), tombstones };
        let next = left.pop_front();
        let running = usize::from(next.is_some());
        self.phase = Phase::Putting { left, running, written };
        next.map_or(FlushStep::Wait, |(name, bytes)| FlushStep::Put { name, bytes })
    }

    /// Proposes the record of the flush, with all deletes that were placed before it.
    fn record<L: Log>(
        &mut self,
        writer: &mut Writer,
        log: &L,
        unix: Duration,
        written: Written,
    ) -> Result<FlushStep, FlushError<L::Error>> {
        let Written { metas, transfer, tombstones } = written;
        let deletes = self.moved_deletes(&transfer);
        let mut flushed = Flushed {
            table: self.table,
            timestamp: Timestamp::ZERO,
            horizon: self.horizon,
            memtables: self.memtables.iter().map(|memtable| memtable.id()).collect(),
            objects: metas,
            deletes,
            tombstones,
        };
        match writer.propose_flushed(log, &mut flushed, &transfer, unix) {
            Ok(index) => {
                self.phase = Phase::Recorded(index, flushed);
                Ok(FlushStep::Wait)
            }
            Err(error) => {
                let (left, running) = (VecDeque::new(), 0);
                let written = Written { metas: flushed.objects, transfer, tombstones: flushed.tombstones };
                self.phase = Phase::Putting { left, running, written };
                Err(error)
            }
        }
    }
}
