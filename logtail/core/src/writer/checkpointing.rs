//! `Checkpointing`: writes a checkpoint, and lets go of the log behind it.

use std::sync::Arc;

use bytes::Bytes;

use super::{PendingRecord, Writer, flush_error::FlushError};
use crate::{
    block_meta::ObjectMeta,
    checkpoint::{Capture, Captured, Checkpoint},
    ids::TableId,
    log::{Log, Refusal},
    mutants::{self, Mutant},
    object_id::ObjectId,
    record::{self, Intent},
    store::{Name, ObjectName, StoreError},
    table::{Memtable, Table},
    timestamp::Timestamp,
};

/// The table of which checkpoints are, in names of objects.
const CHECKPOINTS: TableId = TableId(0);

/// Writes a checkpoint, and lets go of the log behind it. The steps, after each of which a crash may come:
///
/// 1. The state of the watermark is captured, or what changed since the checkpoint before; for rows that are in memory
///    alone, it is noted from which record on the log is needed.
/// 2. It is encoded as an object: a job for any thread.
/// 3. An intent that names the object is committed, and the object is put.
/// 4. The record of the checkpoint is committed.
/// 5. The log drops the records before the one that is needed, and notes the checkpoint, in one batch.
///
/// It waits for no flush: a table that is not flushed keeps its records in the log, until its rows are written to the
/// checkpoint itself.
#[derive(Debug)]
pub struct Checkpointing {
    kind: CheckpointKind,
    /// The memtables whose rows it has.
    copied: Vec<Arc<Memtable>>,
    checkpoint: Checkpoint,
    id: ObjectId,
    /// The first record that is needed besides the checkpoint, and its timestamp.
    needed: (u64, Timestamp),
    phase: Phase,
}

/// What a checkpoint's newest object has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckpointKind {
    /// All of the state.
    Global,
    /// What changed since the checkpoint before; [`Global`](Self::Global) where there is none.
    Incremental,
}

#[derive(Debug)]
enum Phase {
    Captured(Captured),
    Encoding,
    Encoded(ObjectMeta, Bytes),
    Intended(u64, ObjectMeta, Bytes),
    Putting(ObjectMeta),
    Put(ObjectMeta),
    Recorded(u64),
    Ended,
}

/// What a checkpoint asks for.
#[derive(Debug)]
pub enum CheckpointStep<T> {
    /// Nothing before the log commits more, or what was asked for before is done.
    Wait,
    /// Encode the [items](Captured::items) as a checkpoint object with this id, and pass it to
    /// [`Checkpointing::encoded`].
    Encode(ObjectId, Captured),
    /// Put the object, and tell [`Checkpointing::put_done`].
    Put {
        /// Its name in the store.
        name: Name,
        /// Its bytes.
        bytes: Bytes,
    },
    /// The checkpoint is committed. The log has let go of what it has, which is durable when the ticket says so.
    Done(T),
}

impl Writer {
    /// Begins a checkpoint. `None` where one is being written, or nothing was committed since the last one.
    ///
    /// Rows in memory of tables with some that were committed up to `pinned` are written to it, so that the log can be
    /// dropped although those tables are not flushed; zero for none.
    pub fn begin_checkpoint(&mut self, kind: CheckpointKind, pinned: Timestamp) -> Option<Checkpointing> {
        let through = self.state().watermark();
        let last = self.checkpoint.as_ref().map_or(Timestamp::ZERO, |checkpoint| checkpoint.timestamp);
        if self.checkpointing || self.stopped.is_some() || through <= last {
            return None;
        }
        let base = self.checkpoint.as_ref().filter(|_| kind == CheckpointKind::Incremental);
        let after = base.map_or(Timestamp::ZERO, |base| base.timestamp);
        let capture = Capture { after, through, pinned };
        // The catalog of the time has no others: a table that is created behind it is in the log.
        let is_there = |table: &Arc<Table>| table.created() <= through || mutants::is_on(Mutant::LaterTableCaptured);
        let tables = self.state().tables().into_iter().filter(is_there);
        let tables = tables.map(|table| (table.id(), table.version())).collect();
        let captured = Captured::new(capture, self.clients.between(after, through), tables);
        let id = ObjectId { nonce: self.nonce, number: self.next_number };
        let checkpoint = Checkpoint {
            identity: self.identity,
            timestamp: through,
            horizon: self.state().horizon(),
            bound: Timestamp::ZERO,
            next_number: 0,
            objects: base.map_or_else(Vec::new, |base| base.objects.clone()),
            intended: Vec::new(),
        };
        self.next_number = self.next_number.saturating_add(1);
        self.checkpointing = true;
        let kind = if base.is_some() { kind } else { CheckpointKind::Global };
        let needed = self.needed(captured.oldest_in_log().unwrap_or(Timestamp::MAX), through);
        let copied = captured.copied().cloned().collect();
        Some(Checkpointing { kind, copied, checkpoint, id, needed, phase: Phase::Captured(captured) })
    }

    /// A checkpoint is done, or failed.
    pub fn end_checkpoint(&mut self, _checkpoint: Checkpointing) {
        self.checkpointing = false;
    }

    /// The newest checkpoint.
    pub fn checkpoint(&self) -> Option<&Checkpoint> {
        self.checkpoint.as_ref()
    }

    /// The first record that is needed besides a checkpoint of all that is published, and the timestamp from which on
    /// transactions are: of rows from `oldest` on that are in the log alone, or behind the checkpoint.
    fn needed(&self, oldest: Timestamp, through: Timestamp) -> (u64, Timestamp) {
        // More may be published than the writer has heard of: those records are kept too.
        let unheard = self.committed_index + 1;
        let tail = self.tail.snapshot(through);
        let record = tail.scan(oldest..=through).next();
        record.map_or((unheard, through), |record| (record.index.min(unheard), record.timestamp))
    }
}

impl Checkpointing {
    /// What its newest object has.
    pub fn kind(&self) -> CheckpointKind {
        self.kind
    }

    /// What to do next. Called again when that is done, and, after [`CheckpointStep::Wait`], when the log has committed
    /// more.
    ///
    /// # Errors
    /// [`FlushError`]. After [`FlushError::Log`] the step may be called again; otherwise the checkpoint has failed, and
    /// is to be [ended](Writer::end_checkpoint).
    pub fn step<L: Log>(
        &mut self,
        writer: &mut Writer,
        log: &L,
    ) -> Result<CheckpointStep<L::Ticket>, FlushError<L::Error>> {
        match std::mem::replace(&mut self.phase, Phase::Ended) {
            Phase::Captured(captured) => {
                self.phase = Phase::Encoding;
                return Ok(CheckpointStep::Encode(self.id, captured));
            }
            Phase::Encoded(meta, bytes) => {
                let intent = Intent { table: CHECKPOINTS, objects: vec![meta.id] };
                match writer.propose_intent(log, &intent) {
                    Ok(index) => self.phase = Phase::Intended(index, meta, bytes),
                    Err(refusal) => {
                        self.phase = Phase::Encoded(meta, bytes);
                        return Err(refusal.into());
                    }
                }
            }
            Phase::Intended(index, meta, bytes) if writer.committed_index() >= index => {
                let name = ObjectName { table: CHECKPOINTS, id: meta.id }.name();
                self.phase = Phase::Putting(meta);
                return Ok(CheckpointStep::Put { name, bytes });
            }
            Phase::Put(meta) => self.record(writer, log, meta)?,
            Phase::Recorded(index) if writer.committed_index() >= index => {
                let needed = if mutants::is_on(Mutant::LogDroppedEarly) { index } else { self.needed.0 };
                let ticket = match log.truncate(needed.saturating_sub(1), index) {
                    Ok(ticket) => ticket,
                    Err(refusal) => {
                        self.phase = Phase::Recorded(index);
                        return Err(refusal.into());
                    }
                };
                writer.tail.truncate(self.needed.1);
                self.copied.iter().for_each(|memtable| memtable.set_copied(self.checkpoint.timestamp));
                writer.checkpoint = Some(self.checkpoint.clone());
                return Ok(CheckpointStep::Done(ticket));
            }
            waiting => self.phase = waiting,
        }
        Ok(CheckpointStep::Wait)
    }

    /// The object is encoded.
    pub fn encoded(&mut self, meta: ObjectMeta, bytes: Bytes) {
        if matches!(self.phase, Phase::Encoding) {
            self.phase = Phase::Encoded(meta, bytes);
        }
    }

    /// The object was put, or not.
    ///
    /// # Errors
    /// The outcome's: the checkpoint has failed then.
    pub fn put_done(&mut self, outcome: Result<(), StoreError>) -> Result<(), StoreError> {
        match std::mem::replace(&mut self.phase, Phase::Ended) {
            Phase::Putting(meta) if outcome.is_ok() => self.phase = Phase::Put(meta),
            Phase::Putting(_) => {}
            other => self.phase = other,
        }
        outcome
    }

    fn record<L: Log>(&mut self, writer: &mut Writer, log: &L, meta: ObjectMeta) -> Result<(), FlushError<L::Error>> {
        let mut checkpoint = self.checkpoint.clone();
        checkpoint.objects.push(meta.clone());
        checkpoint.bound = writer.clock.bound();
        checkpoint.next_number = writer.next_number;
        checkpoint.intended = writer.intended.iter().copied().filter(|id| *id != meta.id).collect();
        let record = record::checkpoint(writer.position, &checkpoint)?;
        if record.len() > log.bytes_max() {
            return Err(FlushError::TooLarge { bytes: record.len(), max: log.bytes_max() });
        }
        match writer.propose(log, &record, PendingRecord::Intent) {
            Ok((index, _)) => {
                writer.intended.remove(&meta.id);
                self.checkpoint = checkpoint;
                self.phase = Phase::Recorded(index);
                Ok(())
            }
            Err(refusal) => {
                self.phase = Phase::Put(meta);
                Err(Refusal::into(refusal))
            }
        }
    }
}
