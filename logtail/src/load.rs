//! `Load`: rows past what a transaction can have.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arrow_array::RecordBatch;
use logboom_logtail_core::{
    TableId, Timestamp,
    load::{LoadCheck, LoadRun},
    log::Refusal,
    store::Urgency,
    writer::{CommitError, Load as Steps, LoadStep},
};

use crate::{
    ahead::Ahead,
    encode::encode_run,
    error::{Error, Result},
    load_check::{check, check_sealed},
    patience::Patience,
    put::Put,
    shared::Shared,
};

/// How often a load that waits for the store looks whether the engine is closed.
const TICK: Duration = Duration::from_millis(100);

/// Inserts rows of any number into a table, in one transaction: they go to objects in the store as they come, and only
/// the objects' metadata are committed. So the rows are neither in the log nor in memory, of which a load takes what
/// [`Options::load_bytes`](crate::Options::load_bytes) says.
///
/// ```
/// # use arrow_array::RecordBatch;
/// # use logboom_logtail::{Result, TableId, Tail, Timestamp};
/// fn load(tail: &Tail, table: TableId, batches: impl Iterator<Item = RecordBatch>) -> Result<Timestamp> {
///     let mut load = tail.load(table)?;
///     for rows in batches {
///         load.write(&rows)?;
///     }
///     load.commit() // all rows are durable, and seen from this timestamp on
/// }
/// ```
///
/// It reads nothing, and has no snapshot: none of its keys may be there when it is committed, nor twice in it. It has
/// the table's columns of its begin, and fails where they are changed before its end. Dropping it rolls it back, and
/// leaves objects in the store that the log tells of as garbage, as does a crash.
///
/// Transactions go on beside it. While it gets its place, those that write the same table wait for a moment, and never
/// for the store: a load looks up what they write in objects until nothing is left that has to be read, which takes as
/// long as others write keys among its own that bloom filters do not tell apart, up to
/// [`Options::load_patience`](crate::Options::load_patience). If the table has a key, those that began at a snapshot
/// before the load commits are refused with [`Error::SnapshotTooOld`], whatever they write to it, and are to be begun
/// again.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    /// `None` once it is done or has failed.
    steps: Option<Steps>,
    /// Rows that are not in the run yet.
    pending: VecDeque<RecordBatch>,
    run: LoadRun,
    put: Option<Put>,
    is_complete: bool,
    /// With which it looks for its keys among rows that others write.
    patience: Patience,
}

/// How far a load is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoadProgress {
    /// It has done a step.
    Moved,
    /// It waits for the store to put an object.
    WaitsForStore,
    /// It waits for a record to become durable.
    WaitsForLog,
    /// It takes more rows.
    Ready,
    /// It is committed at this timestamp, durable, and seen by every reader that begins now.
    Done(Timestamp),
}

impl Load {
    pub(crate) fn begin(shared: &Arc<Shared>, table: TableId) -> Result<Self> {
        let steps = shared.writer().begin_load(table)?;
        let run = LoadRun::new(Arc::clone(steps.schema()), shared.options.load_bytes);
        Ok(Self {
            shared: Arc::clone(shared),
            steps: Some(steps),
            pending: VecDeque::new(),
            run,
            put: None,
            is_complete: false,
            patience: Patience::new(shared.options.load_patience),
        })
    }

    /// Adds rows, whose columns are the table's, in any order. Waits while they are written to objects, but for the
    /// last of those.
    ///
    /// # Errors
    /// [`Error::Operation`] for rows that the table cannot have, which are not added; the load goes on. Otherwise the
    /// load has failed: [`Error::DuplicateInLoad`] where that is noticed already, [`Error::TooLarge`] where the
    /// metadata of its objects are longer than an entry of the log, [`Error::Store`], [`Error::Write`], [`Error::Log`],
    /// [`Error::Stopped`], and [`Error::LoadFailed`] from then on.
    pub fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        self.push(rows)?;
        loop {
            match self.step()? {
                LoadProgress::Ready | LoadProgress::Done(_) => return Ok(()),
                LoadProgress::WaitsForStore if self.has_room() => return Ok(()),
                progress => self.wait(progress)?,
            }
        }
    }

    /// Commits all rows, and waits until that is durable and every reader that begins then sees them. Returns their
    /// timestamp; without rows nothing is committed, and it is that of readers now.
    ///
    /// # Errors
    /// As [`Load::write`]; [`Error::DuplicateKey`], [`Error::Conflict`] where the key was written in the moment before,
    /// [`Error::SchemaChanged`], [`Error::Overtaken`], [`Error::Object`]. Nothing of the load is visible then, now or
    /// later, unless the engine failed meanwhile: what became of it is known when engine and tail are opened again.
    pub fn commit(mut self) -> Result<Timestamp> {
        self.complete();
        loop {
            match self.step()? {
                LoadProgress::Done(at) => return Ok(at),
                progress => self.wait(progress)?,
            }
        }
    }

    /// Drops the load, which so has no effect.
    pub fn rollback(self) {}

    /// Adds rows without waiting, for those who drive the load [step by step](Load::step). They are kept in memory
    /// until the load is [ready](LoadProgress::Ready) again.
    ///
    /// # Errors
    /// [`Error::Operation`] for rows that the table cannot have, [`Error::LoadFailed`]; none is added then.
    pub fn push(&mut self, rows: &RecordBatch) -> Result<()> {
        if self.steps.is_none() || self.is_complete {
            return Err(Error::LoadFailed);
        }
        self.run.check(rows)?;
        if rows.num_rows() > 0 {
            self.pending.push_back(rows.clone());
        }
        Ok(())
    }

    /// When the load commits, once its record is in the log and until it is done: dropping it changes nothing then.
    pub fn timestamp(&self) -> Option<Timestamp> {
        self.steps.as_ref()?.timestamp()
    }

    /// There are no more rows: the next steps commit them.
    pub fn complete(&mut self) {
        self.is_complete = true;
    }

    /// Does the next step, without waiting for the log, or for the store to put an object. It reads objects where keys
    /// have to be looked for.
    ///
    /// # Errors
    /// As [`Load::commit`]: the load has failed.
    pub fn step(&mut self) -> Result<LoadProgress> {
        let step = self.try_step();
        if matches!(step, Err(_) | Ok(LoadProgress::Done(_))) {
            self.end();
        }
        step
    }

    fn try_step(&mut self) -> Result<LoadProgress> {
        let Some(steps) = &mut self.steps else { return Err(Error::LoadFailed) };
        if !self.run.is_full()
            && let Some(rows) = self.pending.pop_front()
        {
            let taken = self.run.push(&rows)?;
            if taken < rows.num_rows() {
                self.pending.push_front(rows.slice(taken, rows.num_rows() - taken));
            }
            return Ok(LoadProgress::Moved);
        }
        if let Some(put) = &self.put {
            let Some(outcome) = put.outcome() else { return Ok(LoadProgress::WaitsForStore) };
            self.put = None;
            steps.put_done(outcome)?;
        }
        loop {
            self.shared.raise_bound();
            let step = steps.step(&mut self.shared.writer(), &self.shared.log, self.shared.unix());
            match step {
                Ok(LoadStep::Put { name, bytes }) => {
                    self.put = Some(Put::begin(self.shared.store.objects(), name, bytes, Urgency::Now));
                }
                Ok(LoadStep::Ready) => return self.go_on(),
                Ok(LoadStep::Done(at)) => {
                    self.shared.counts.loads.add(1);
                    return Ok(LoadProgress::Done(at));
                }
                Ok(LoadStep::Check(wanted)) if wanted.is_sealed => {
                    if check_sealed(&self.shared.store, &wanted)? {
                        steps.checked();
                        // Others wait for the next step.
                        continue;
                    }
                    steps.give_way(&mut self.shared.writer());
                    self.shared.counts.give_ways.add(1);
                    self.shared.load_placed();
                }
                Ok(LoadStep::Check(wanted)) => {
                    let may_begin = wanted.after.is_none() || self.patience.begin(self.shared.monotonic());
                    let look = Look { shared: &self.shared, patience: &self.patience, table: wanted.schema.id() };
                    if !may_begin {
                        return Err(look.overtaken());
                    }
                    look.run(wanted)?;
                    steps.checked();
                }
                Ok(LoadStep::Wait) | Err(CommitError::Log(Refusal::Busy) | CommitError::Clock(_)) => {
                    self.shared.load_placed();
                    return Ok(LoadProgress::WaitsForLog);
                }
                Err(error) => return Err(error.into()),
            }
            return Ok(LoadProgress::Moved);
        }
    }

    /// All objects that there are so far are put.
    fn go_on(&mut self) -> Result<LoadProgress> {
        let Some(steps) = &mut self.steps else { return Err(Error::LoadFailed) };
        if !self.run.is_full() && !self.is_complete {
            return Ok(LoadProgress::Ready);
        }
        if self.run.is_empty() {
            steps.complete();
            return Ok(LoadProgress::Moved);
        }
        let next = LoadRun::new(Arc::clone(steps.schema()), self.shared.options.load_bytes);
        let run = std::mem::replace(&mut self.run, next);
        let table = steps.schema().id();
        let sorted = run.sort().map_err(|duplicate| Error::DuplicateInLoad { table, key: duplicate.key })?;
        let first = self.shared.writer().take_objects();
        let objects = encode_run(&sorted, first, &self.shared.options.objects)?;
        steps.add(&self.shared.log, objects)?;
        Ok(LoadProgress::Moved)
    }

    fn has_room(&self) -> bool {
        self.pending.is_empty() && !self.run.is_full()
    }

    fn wait(&mut self, progress: LoadProgress) -> Result<()> {
        match (progress, &self.put) {
            (LoadProgress::WaitsForStore, Some(put)) => {
                let Some(outcome) = put.wait_for(TICK) else {
                    return self.shared.check_log().inspect_err(|_| self.end());
                };
                self.put = None;
                let done = self.steps.as_mut().map_or(Ok(()), |steps| steps.put_done(outcome));
                done.inspect_err(|_| self.end())?;
                Ok(())
            }
            (LoadProgress::WaitsForLog, _) => self.shared.settle(),
            _ => Ok(()),
        }
    }

    fn end(&mut self) {
        if let Some(steps) = self.steps.take() {
            self.shared.writer().end_load(steps);
            self.shared.load_placed();
        }
    }
}

/// A look for the keys of a load, beside commits.
struct Look<'a> {
    shared: &'a Arc<Shared>,
    patience: &'a Patience,
    table: TableId,
}

impl Look<'_> {
    /// Looks: with threads on one of its own, so that a read that does not come keeps no load from hearing that the
    /// engine is closed.
    fn run(&self, wanted: LoadCheck) -> Result<()> {
        if !self.shared.options.threads {
            return check(&self.shared.store, &wanted, &|| self.goes_on());
        }
        let (shared, is_over) = (Arc::clone(self.shared), Arc::new(AtomicBool::new(false)));
        let over = Arc::clone(&is_over);
        let goes_on = move || if over.load(Ordering::Relaxed) { Err(Error::LoadFailed) } else { Ok(()) };
        let mut looking = Ahead::spawn("logtail-check", 0, move |sender| {
            // The load may have failed, and its end of the channel be gone.
            _ = sender.send(check(&shared.store, &wanted, &goes_on));
        })?;
        loop {
            if let Some(outcome) = looking.wait_for(TICK)? {
                return outcome;
            }
            if let Err(error) = self.goes_on() {
                is_over.store(true, Ordering::Relaxed);
                looking.leave();
                return Err(error);
            }
        }
    }

    /// Refuses to go on where the engine is closed, or others have overtaken the load.
    fn goes_on(&self) -> Result<()> {
        self.shared.check_log()?;
        if self.patience.goes_on(self.shared.monotonic()) { Ok(()) } else { Err(self.overtaken()) }
    }

    fn overtaken(&self) -> Error {
        Error::Overtaken { table: self.table, patience: self.shared.options.load_patience }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.end();
    }
}
