//! `Flushing`: a flush that is under way.

use std::{sync::Arc, thread};

use logboom_logtail_core::{
    TableId,
    flush::FlushParts,
    log::Refusal,
    store::Urgency,
    writer::{Flush, FlushError, FlushStep},
};

use crate::{
    encode::EncodedNext,
    encoding::Encoding,
    error::{Error, Result},
    pace::{Hurry, Pacer},
    put::Put,
    shared::Shared,
};

/// A flush of a table that is under way: for those who flush [without a thread](crate::Options::threads). Dropped
/// before its end, it is given up: the rows stay in memory and in the log.
#[derive(Debug)]
pub struct Flushing {
    shared: Arc<Shared>,
    flush: Option<Flush>,
    encoding: Option<Encoding>,
    /// The next object is to be encoded first.
    waits_for: Option<FlushProgress>,
    put: Option<Put>,
    objects_put: usize,
    tombstone_rounds: usize,
    hurry: Hurry,
    pacer: Pacer,
    /// How the last object is put.
    urgency: Urgency,
}

/// How far a flush is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FlushProgress {
    /// It has done a step.
    Moved,
    /// It waits for an object that is being encoded on another thread.
    WaitsForObject,
    /// It waits for the store: to put an object, or to read tombstones on another thread.
    WaitsForStore,
    /// It waits for its records, or those of the rows, to become durable.
    WaitsForLog,
    /// Its rows are in objects, and readers that begin now read them there.
    Done,
}

impl Flushing {
    /// A flush of these parts of a table, of rows those of one schema; `None` where there is nothing of them, or the
    /// table is being flushed.
    pub(crate) fn begin(shared: &Arc<Shared>, table: TableId, parts: FlushParts) -> Option<Self> {
        let horizon = shared.horizon_now();
        let flush = shared.writer().begin_flush(table, parts, horizon)?;
        let hurry = Hurry::default();
        Some(Self {
            pacer: Pacer::new(shared, table, &hurry),
            shared: Arc::clone(shared),
            flush: Some(flush),
            encoding: None,
            waits_for: None,
            put: None,
            objects_put: 0,
            tombstone_rounds: 0,
            hurry,
            urgency: Urgency::Now,
        })
    }

    /// How many objects are in the store by now.
    pub fn objects_put(&self) -> usize {
        self.objects_put
    }

    /// How often it has begun to collect deletes by now: again where many are committed while it is under way.
    pub fn tombstone_rounds(&self) -> usize {
        self.tombstone_rounds
    }

    /// How the last object is put: in the background it takes its time.
    pub(crate) fn urgency(&self) -> Urgency {
        self.urgency
    }

    /// Whether somebody waits for it: it does not give way to commits then.
    pub(crate) fn set_hurry(&self, hurries: bool) {
        self.hurry.set(hurries);
    }

    /// Does the next step, without waiting for the log or the store; without threads, it waits for tombstones that it
    /// has to read.
    ///
    /// # Errors
    /// [`Error::Store`](crate::Error::Store), [`Error::Write`](crate::Error::Write),
    /// [`Error::Flush`](crate::Error::Flush), [`Error::Log`](crate::Error::Log) and
    /// [`Error::Stopped`](crate::Error::Stopped): the flush has failed then.
    pub fn step(&mut self) -> Result<FlushProgress> {
        self.try_step().inspect_err(|_| self.shared.counts.flushes_failed.add(1))
    }

    fn try_step(&mut self) -> Result<FlushProgress> {
        let Some(flush) = &mut self.flush else { return Ok(FlushProgress::Done) };
        if let Some(progress) = self.waits_for {
            let next = self.encoding.as_mut().map(|encoding| encoding.next(&self.shared)).transpose()?;
            match next.flatten() {
                None => return Ok(progress),
                Some(EncodedNext::Object(meta, bytes)) => flush.object(meta, bytes),
                Some(EncodedNext::End(transfer)) => {
                    flush.encoded(transfer);
                    self.encoding = None;
                }
                Some(EncodedNext::Tombstones(tombstones, bytes)) => flush.tombstones(tombstones, bytes),
                Some(EncodedNext::TombstonesEnd(moved)) => {
                    flush.tombstones_encoded(moved);
                    self.encoding = None;
                }
            }
            self.waits_for = None;
        }
        if let Some(put) = &self.put {
            let Some(outcome) = put.outcome() else { return Ok(FlushProgress::WaitsForStore) };
            self.put = None;
            flush.put_done(outcome)?;
            self.objects_put += 1;
        }
        self.shared.raise_bound();
        let step = flush.step(&mut self.shared.writer(), &self.shared.log, self.shared.unix());
        match step {
            Ok(FlushStep::Encode(job)) => self.encoding = Some(Encoding::begin(&self.shared, job, &self.hurry)?),
            Ok(FlushStep::EncodeTombstones(job)) => {
                self.encoding = Some(Encoding::begin_tombstones(&self.shared, job, &self.hurry)?);
                self.tombstone_rounds += 1;
            }
            Ok(FlushStep::NextObject) => self.waits_for = Some(FlushProgress::WaitsForObject),
            Ok(FlushStep::NextTombstones) => {
                let reads = self.encoding.as_ref().is_some_and(Encoding::reads);
                self.waits_for = Some(if reads { FlushProgress::WaitsForStore } else { FlushProgress::WaitsForObject });
            }
            Ok(FlushStep::Put { name, bytes }) => {
                self.urgency = if self.pacer.gives_way() { Urgency::Background } else { Urgency::Now };
                self.put = Some(Put::begin(self.shared.store.objects(), name, bytes, self.urgency));
            }
            Ok(FlushStep::Done(_)) => {
                self.shared.counts.flushes.add(1);
                self.end();
                return Ok(FlushProgress::Done);
            }
            Ok(FlushStep::Wait) | Err(FlushError::Log(Refusal::Busy) | FlushError::Clock(_)) => {
                return Ok(FlushProgress::WaitsForLog);
            }
            Err(error) => return Err(error.into()),
        }
        Ok(FlushProgress::Moved)
    }

    /// Goes on to the end.
    fn run(&mut self) -> Result<()> {
        loop {
            match self.step()? {
                FlushProgress::Done => return Ok(()),
                FlushProgress::Moved => {}
                FlushProgress::WaitsForLog => self.shared.settle()?,
                FlushProgress::WaitsForObject | FlushProgress::WaitsForStore => thread::yield_now(),
            }
        }
    }

    fn end(&mut self) {
        if let Some(flush) = self.flush.take() {
            self.shared.writer().end_flush(flush);
            // There may be memory again.
            self.shared.memory();
        }
    }
}

/// Flushes what a table has in memory now, on the calling thread.
pub(crate) fn flush_all(shared: &Arc<Shared>, table: TableId) -> Result<()> {
    let now = shared.last_placed();
    // What is committed later need not go, but what is flushed must be committed.
    shared.settle()?;
    while shared.oldest_in_memory(table).is_some_and(|oldest| oldest <= now) {
        match Flushing::begin(shared, table, FlushParts::ALL) {
            Some(mut flushing) => flushing.run()?,
            None if shared.writer().is_flushing(table) => return Err(Error::Flushing(table)),
            None => break,
        }
    }
    Ok(())
}

impl Drop for Flushing {
    fn drop(&mut self) {
        self.end();
    }
}
