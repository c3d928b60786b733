//! `Flush`: moves the memtables of a table to objects, step by step.

use std::{error::Error, sync::Arc, time::Duration};

use bytes::Bytes;

use super::{Writer, flush_error::FlushError, writing::Writing};
use crate::{
    block_meta::{MetaError, ObjectMeta},
    catalog::TableSchema,
    flush::{EncodeJob, MovedDeletes, MovedRows, PLACE_BYTES_MAX, SortJob, TOMBSTONES_BYTES_MAX, TombstoneJob},
    ids::{RowId, TableId},
    log::Log,
    object_id::ObjectId,
    record::{self, Flushed, Intent, Tombstones},
    state::Placed,
    store::{Name, ObjectName, StoreError},
    table::{Memtable, Object, Transfer},
    timestamp::Timestamp,
};

/// Moves the memtables of a table to objects, and deletes of rows that are in objects to tombstone objects. The steps,
/// after each of which a crash may come:
///
/// 1. The memtables take no more rows, and all of theirs become committed.
/// 2. The rows are sorted: a [job](EncodeJob) for any thread, which gives the objects one after the other.
/// 3. An *intent* that names an object is committed: from here on a crash leaves an object to which no record refers,
///    and the intent tells which.
/// 4. The object is put, while the next one is encoded. So it goes on with each.
/// 5. The deletes are collected that are committed by now, those of the flushed rows at their new places: another
///    [job](TombstoneJob), which gives tombstone objects. They are put like the others.
/// 6. The record of the flush is committed: it has the objects' metadata, and the deletes of flushed rows that were
///    committed since step 5. Where those are many, step 5 is repeated for them first. Readers that begin then read the
///    objects.
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
    /// The id of the first object of rows; the others have the next numbers.
    objects: ObjectId,
    /// The id of the next tombstone object.
    tombstones: ObjectId,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    Frozen,
    /// Objects are encoded and put.
    Writing(Writing),
    /// The record of the flush has this index in the log.
    Recorded(u64, Flushed),
    Ended,
}

/// What a flush is to do next.
#[derive(Debug)]
pub enum FlushStep {
    /// Nothing before the log commits more, or an object is put.
    Wait,
    /// Begin to encode the rows: the objects will be asked for.
    Encode(EncodeJob),
    /// Pass the next object of rows to [`Flush::object`], or where they are to [`Flush::encoded`] behind the last.
    NextObject,
    /// Begin to encode tombstones: the objects will be asked for.
    EncodeTombstones(TombstoneJob),
    /// Pass the next tombstone object to [`Flush::tombstones`], or the deletes that have some to
    /// [`Flush::tombstones_encoded`] behind the last.
    NextTombstones,
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

impl Flush {
    /// A flush of these memtables, which are of one schema and take no more rows. `first` are ids of objects of rows,
    /// and of tombstones.
    pub(crate) fn new(
        table: TableId,
        schema: Arc<TableSchema>,
        memtables: Vec<Arc<Memtable>>,
        horizon: Timestamp,
        deletes: bool,
        first: (ObjectId, ObjectId),
    ) -> Self {
        let (objects, tombstones) = first;
        Self { table, schema, memtables, horizon, deletes, objects, tombstones, phase: Phase::Frozen }
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
            // What cannot be encoded fails with the record.
            writing.meta_bytes += meta.encode().map_or(0, |bytes| bytes.len());
            writing.encoded.push((meta.id, bytes));
            writing.metas.push(Arc::new(meta));
        }
    }

    /// All objects of rows are encoded.
    pub fn encoded(&mut self, transfer: Transfer) {
        if let Phase::Writing(writing) = &mut self.phase {
            writing.transfer = Some(Arc::new(transfer));
            writing.is_encoding = false;
        }
    }

    /// The next tombstone object is encoded.
    pub fn tombstones(&mut self, tombstones: Tombstones, bytes: Bytes) {
        if let Phase::Writing(writing) = &mut self.phase {
            self.tombstones.number = tombstones.object.id.number.saturating_add(1);
            writing.tombstone_bytes += tombstones.object.encode().map_or(0, |bytes| bytes.len());
            writing.tombstone_bytes += tombstones.blocks.len() * PLACE_BYTES_MAX;
            writing.encoded.push((tombstones.object.id, bytes));
            writing.tombstones.push(tombstones);
        }
    }

    /// All tombstones of the job are encoded.
    pub fn tombstones_encoded(&mut self, moved: MovedDeletes) {
        if let Phase::Writing(writing) = &mut self.phase {
            writing.moved = moved;
            writing.is_encoding = false;
            writing.leave_out_replaced();
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
        let blocks = self.older(writer).map(|object| object.dirty_blocks().len());
        let writing = Writing { blocks_max: blocks.sum(), is_encoding: true, ..Writing::default() };
        self.phase = Phase::Writing(writing);
        Ok(FlushStep::Encode(EncodeJob { table: self.table, first: self.objects, sort }))
    }

    /// The objects of which deletes are flushed.
    fn older<'w>(&self, writer: &'w Writer) -> impl Iterator<Item = &'w Arc<Object>> + use<'w> {
        writer.applier.table(self.table).filter(|_| self.deletes).into_iter().flat_map(Placed::objects)
    }

    /// Moves objects on: an intent for those that are encoded, the next put, the next job, or the record.
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
        } else if !writing.encoded.is_empty() && self.may_put(writer, log, &writing)? {
            let objects = writing.encoded.iter().map(|(id, _)| *id).collect();
            let proposed = writer.propose_intent(log, &Intent { table: self.table, objects });
            proposed.map_err(FlushError::from).map(|index| {
                writing.intended = (index, std::mem::take(&mut writing.encoded).into());
                FlushStep::Wait
            })
        } else if writing.is_encoding {
            Ok(if writing.transfer.is_none() { FlushStep::NextObject } else { FlushStep::NextTombstones })
        } else if writing.through.is_none()
            && let Some(job) = self.more_tombstones(writer, &mut writing)
        {
            Ok(FlushStep::EncodeTombstones(job))
        } else if !writing.encoded.is_empty() {
            // They have waited for tombstones, of which there are none.
            return self.write(writer, log, unix, writing);
        } else {
            return self.record(writer, log, unix, writing);
        };
        self.phase = Phase::Writing(writing);
        step
    }

    /// Whether objects may be put now: the record will not be too long. Perhaps it will be: then none is put before all
    /// are encoded, with the tombstones of deletes that are committed by then, so that a flush which fails for this,
    /// and is tried again, leaves no objects each time.
    ///
    /// # Errors
    /// [`FlushError::TooLarge`] where it is too long.
    fn may_put<L: Log>(&self, writer: &Writer, log: &L, writing: &Writing) -> Result<bool, FlushError<L::Error>> {
        let max = log.bytes_max();
        let bytes = if writing.meta_bytes > max {
            writing.meta_bytes
        } else if self.record_bytes_max(writing) < max / 2 {
            return Ok(true);
        } else if writing.is_encoding || writing.through.is_none() {
            return Ok(false);
        } else {
            record::flushed(writer.position, &self.flushed(writing, Vec::new()))?.len()
        };
        if bytes > max { Err(FlushError::TooLarge { bytes, max }) } else { Ok(true) }
    }

    /// The most bytes of the record, but for deletes. Objects that are still to come have metadata like the others; it
    /// is seldom needed to know it exactly.
    fn record_bytes_max(&self, writing: &Writing) -> usize {
        let encoded: u64 = writing.metas.iter().map(|meta| u64::from(meta.rows())).sum();
        let rows: u64 = self.memtables.iter().map(|memtable| u64::from(memtable.len())).sum();
        let blocks: usize = writing.metas.iter().map(|meta| meta.blocks.len()).sum();
        let of_rows = (writing.meta_bytes + blocks * TOMBSTONES_BYTES_MAX) as u64;
        let of_rows = if writing.transfer.is_some() { of_rows } else { of_rows.saturating_mul(rows) / encoded.max(1) };
        let of_older = writing.blocks_max * TOMBSTONES_BYTES_MAX + self.memtables.len() * PLACE_BYTES_MAX;
        usize::try_from(of_rows).unwrap_or(usize::MAX).saturating_add(of_older + writing.tombstone_bytes)
    }

    /// The job for the deletes that are committed by now and have no tombstones of this flush, if there are some. Those
    /// of older objects have their tombstones by the first job, or stay in memory.
    fn more_tombstones(&self, writer: &Writer, writing: &mut Writing) -> Option<TombstoneJob> {
        let through = writer.state().watermark();
        let is_first = writing.through.replace(through).is_none();
        let older = self.older(writer).filter(|_| is_first).cloned();
        let limit = writer.flush_limits.object_tombstones;
        let (rows, moved) = (self.moved(writing), std::mem::take(&mut writing.moved));
        let job = TombstoneJob::new(self.table, self.tombstones, older, rows, moved, through, limit);
        if job.is_empty() {
            writing.moved = job.into_moved();
            return None;
        }
        writing.is_encoding = true;
        Some(job)
    }

    /// The flushed rows, which are encoded.
    fn moved(&self, writing: &Writing) -> MovedRows {
        let transfer = writing.transfer.clone().unwrap_or_default();
        MovedRows { memtables: self.memtables.clone(), transfer, objects: writing.metas.clone() }
    }

    /// The record, with these deletes.
    fn flushed(&self, writing: &Writing, deletes: Vec<(RowId, Timestamp)>) -> Flushed {
        Flushed {
            table: self.table,
            timestamp: Timestamp::MAX,
            horizon: self.horizon,
            memtables: self.memtables.iter().map(|memtable| memtable.id()).collect(),
            objects: writing.metas.iter().map(|meta| meta.as_ref().clone()).collect(),
            deletes,
            tombstones: writing.tombstones.clone(),
        }
    }

    /// Whether the record is no longer than `max` without the deletes that are not in objects.
    fn fits(&self, writer: &Writer, writing: &Writing, max: usize) -> Result<bool, MetaError> {
        Ok(record::flushed(writer.position, &self.flushed(writing, Vec::new()))?.len() <= max)
    }

    /// Proposes the record of the flush. Where it would have too many deletes, those go to another tombstone object: a
    /// row is deleted once, so this comes to an end.
    fn record<L: Log>(
        &mut self,
        writer: &mut Writer,
        log: &L,
        unix: Duration,
        mut writing: Writing,
    ) -> Result<FlushStep, FlushError<L::Error>> {
        let (moved, known) = (self.moved(&writing), writing.through.unwrap_or_default());
        let most = writer.flush_limits.record_deletes_max;
        let deletes = moved.deletes_after(known, most.saturating_add(1));
        let has_some = !deletes.is_empty();
        let mut flushed = self.flushed(&writing, Vec::new());
        let proposed = if deletes.len() > most {
            None
        } else {
            flushed.deletes = deletes;
            match writer.propose_flushed(log, &mut flushed, &moved.transfer, &writing.moved, unix) {
                Err(FlushError::TooLarge { max, .. }) if has_some && self.fits(writer, &writing, max)? => None,
                proposed => Some(proposed),
            }
        };
        let step = match proposed {
            Some(Ok(index)) => {
                self.phase = Phase::Recorded(index, flushed);
                return Ok(FlushStep::Wait);
            }
            Some(Err(error)) => Err(error),
            // Without a job they are not committed yet.
            None => {
                let job = self.more_tombstones(writer, &mut writing);
                Ok(job.map_or(FlushStep::Wait, FlushStep::EncodeTombstones))
            }
        };
        self.phase = Phase::Writing(writing);
        step
    }
}
