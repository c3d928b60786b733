//! `Flush`: moves the memtables of a table to objects, step by step.

use std::{collections::VecDeque, error::Error, sync::Arc, time::Duration};

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
/// 2. The rows are sorted, and so are the deletes: a [job](EncodeJob) for any thread, which gives the objects one after
///    the other.
/// 3. An *intent* that names an object is committed: from here on a crash leaves an object to which no record refers,
///    and the intent tells which.
/// 4. The object is put, while the next one is encoded. So it goes on with each.
/// 5. The record of the flush is committed: it has the objects' metadata, and the rows' deletes at their new places,
///    those included that were committed since the first step. Readers that begin then read the objects; the deletes of
///    the rows leave memory with the next flush.
///
/// Readers and commits go on all the time, and no delete undoes a flush: a transaction that deletes a row by its old
/// place deletes it at the new one. A flush that fails or is dropped leaves the memtables as they are, and objects of
/// which the intents tell.
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
    Writing(Writing),
    /// The record of the flush has this index in the log.
    Recorded(u64, Flushed),
    Ended,
}

/// Objects, on their way from the job to the store.
#[derive(Debug, Default)]
struct Writing {
    /// Those of rows that are encoded.
    metas: Vec<ObjectMeta>,
    /// The bytes of all metadata in the record, as far as they are known.
    meta_bytes: usize,
    /// The most blocks whose tombstones the record has.
    blocks_max: usize,
    /// Those without an intent.
    encoded: Vec<(ObjectId, Bytes)>,
    /// Those with an intent that are not put yet. It has this index in the log.
    intended: (u64, VecDeque<(ObjectId, Bytes)>),
    /// How many are being put.
    running: usize,
    /// Where the rows are, once all are encoded.
    transfer: Option<Arc<Transfer>>,
    tombstones: Option<Tombstones>,
}

/// What a flush is to do next.
#[derive(Debug)]
pub enum FlushStep {
    /// Nothing before the log commits more, or an object is put.
    Wait,
    /// Begin to encode the rows: the objects will be asked for.
    Encode(EncodeJob),
    /// Pass the next object to [`Flush::object`], or what else was written to [`Flush::encoded`] behind the last.
    NextObject,
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

/// The most bytes of a delete, or of a block's tombstones, in a record; or of a memtable's id.
const PLACE_BYTES_MAX: usize = 25;

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
            Phase::Writing(writing) => self.write(writer, log, unix, writing),
            Phase::Recorded(index, flushed) if writer.committed_index() >= index => {
                Ok(FlushStep::Done(Box::new(flushed)))
            }
            waiting => {
                self.phase = waiting;
                Ok(FlushStep::Wait)
            }
        }
    }

    /// The next object of rows is encoded.
    pub fn object(&mut self, meta: ObjectMeta, bytes: Bytes) {
        if let Phase::Writing(writing) = &mut self.phase {
            writing.meta_bytes += encoded_len(&meta);
            writing.encoded.push((meta.id, bytes));
            writing.metas.push(meta);
        }
    }

    /// All objects of rows are encoded, and the deletes are.
    pub fn encoded(&mut self, encoded: Encoded) {
        if let Phase::Writing(writing) = &mut self.phase {
            writing.transfer = Some(Arc::new(encoded.transfer));
            writing.tombstones = encoded.tombstones.map(|(tombstones, bytes)| {
                writing.meta_bytes += encoded_len(&tombstones.object);
                writing.encoded.push((tombstones.object.id, bytes));
                tombstones
            });
        }
    }

    /// An object was put, or not.
    ///
    /// # Errors
    /// The outcome's: the flush has failed then.
    pub fn put_done(&mut self, outcome: Result<(), StoreError>) -> Result<(), StoreError> {
        if let Phase::Writing(writing) = &mut self.phase {
            writing.running = writing.running.saturating_sub(1);
        }
        outcome.inspect_err(|_| self.phase = Phase::Ended)
    }

    fn encode<E: Error + 'static>(&mut self, writer: &Writer) -> Result<FlushStep, FlushError<E>> {
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
        let blocks_max = tombstones.as_ref().map_or(0, TombstoneJob::blocks_max);
        self.phase = Phase::Writing(Writing { blocks_max, ..Writing::default() });
        let first = ObjectId { nonce: self.objects.nonce, number: self.objects.number.saturating_add(1) };
        Ok(FlushStep::Encode(EncodeJob { table: self.table, first, sort, tombstones }))
    }

    /// Moves objects on: an intent for those that are encoded, the next put, or the record.
    fn write<L: Log>(
        &mut self,
        writer: &mut Writer,
        log: &L,
        unix: Duration,
        mut writing: Writing,
    ) -> Result<FlushStep, FlushError<L::Error>> {
        let (index, left) = &mut writing.intended;
        let next = if writer.committed_index() >= *index { left.pop_front() } else { None };
        let step = if let Some((id, bytes)) = next {
            writing.running += 1;
            Ok(FlushStep::Put { name: ObjectName { table: self.table, id }.name(), bytes })
        } else if writing.running > 0 || !left.is_empty() {
            Ok(FlushStep::Wait)
        } else if writing.encoded.is_empty() && writing.transfer.is_some() {
            return self.record(writer, log, unix, writing);
        } else if writing.encoded.is_empty() || !self.may_put(writer, log, &writing)? {
            Ok(FlushStep::NextObject)
        } else {
            let objects = writing.encoded.iter().map(|(id, _)| *id).collect();
            let proposed = writer.propose_intent(log, &Intent { table: self.table, objects });
            proposed.map_err(FlushError::from).map(|index| {
                writing.intended = (index, std::mem::take(&mut writing.encoded).into());
                FlushStep::Wait
            })
        };
        self.phase = Phase::Writing(writing);
        step
    }

    /// Whether objects may be put now: the record will not be too long. Perhaps it will be: then none is put before all
    /// are encoded, so that a flush which fails for this, and is tried again, leaves no objects each time. Deletes that
    /// are made while the last ones are put can still be too many.
    ///
    /// # Errors
    /// [`FlushError::TooLarge`] where it is too long.
    fn may_put<L: Log>(&self, writer: &Writer, log: &L, writing: &Writing) -> Result<bool, FlushError<L::Error>> {
        let max = log.bytes_max();
        let bytes = if writing.meta_bytes > max {
            writing.meta_bytes
        } else if self.record_bytes_max(writing) < max / 2 {
            return Ok(true);
        } else if let Some(transfer) = &writing.transfer {
            record::flushed(writer.position, &self.flushed(writing, transfer, Timestamp::MAX))?.len()
        } else {
            return Ok(false);
        };
        if bytes > max { Err(FlushError::TooLarge { bytes, max }) } else { Ok(true) }
    }

    /// The most bytes of the record with the deletes that there are now. Objects that are still to come have metadata
    /// like the others; it is seldom needed to know it exactly.
    fn record_bytes_max(&self, writing: &Writing) -> usize {
        let deletes: usize = self.memtables.iter().map(|memtable| memtable.deletes().len()).sum();
        let places = deletes + writing.blocks_max + self.memtables.len();
        let encoded: u64 = writing.metas.iter().map(|meta| u64::from(meta.rows())).sum();
        let rows: u64 = self.memtables.iter().map(|memtable| u64::from(memtable.len())).sum();
        let metas = writing.meta_bytes as u64;
        let metas = if writing.transfer.is_some() { metas } else { metas.saturating_mul(rows) / encoded.max(1) };
        usize::try_from(metas).unwrap_or(usize::MAX).saturating_add(places * PLACE_BYTES_MAX)
    }

    /// The record, with all deletes that were placed before.
    fn flushed(&self, writing: &Writing, transfer: &Transfer, timestamp: Timestamp) -> Flushed {
        Flushed {
            table: self.table,
            timestamp,
            horizon: self.horizon,
            memtables: self.memtables.iter().map(|memtable| memtable.id()).collect(),
            objects: writing.metas.clone(),
            deletes: self.moved_deletes(transfer),
            tombstones: writing.tombstones.clone(),
        }
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

    /// Proposes the record of the flush.
    fn record<L: Log>(
        &mut self,
        writer: &mut Writer,
        log: &L,
        unix: Duration,
        writing: Writing,
    ) -> Result<FlushStep, FlushError<L::Error>> {
        let transfer = writing.transfer.clone().unwrap_or_default();
        let mut flushed = self.flushed(&writing, &transfer, Timestamp::ZERO);
        match writer.propose_flushed(log, &mut flushed, &transfer, unix) {
            Ok(index) => {
                self.phase = Phase::Recorded(index, flushed);
                Ok(FlushStep::Wait)
            }
            Err(error) => {
                self.phase = Phase::Writing(writing);
                Err(error)
            }
        }
    }
}

/// The bytes of an object's metadata in a record. What cannot be encoded fails with the record.
fn encoded_len(meta: &ObjectMeta) -> usize {
    meta.encode().map_or(0, |bytes| bytes.len())
}
