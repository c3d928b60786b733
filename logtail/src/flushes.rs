//! `Flushes`: the flushes that the flusher's thread has under way.

use std::{
    collections::BTreeMap,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use logboom_logtail_core::{
    TableId, Timestamp,
    flush::{Due, FlushParts},
    store::Urgency,
};

use crate::{
    error::{Error, Result},
    flushing::{FlushProgress, Flushing},
    shared::Shared,
};

/// Flushes that are under way at a time, but for those that are held up: each has its objects' bytes in memory.
const RUNNING_MAX: usize = 2;
/// A flush for whose object the store takes longer holds up no other.
const HELD_UP: Duration = Duration::from_secs(1);
/// The same for one that is put in the background.
const HELD_UP_BACKGROUND: Duration = Duration::from_secs(10);
/// How long a table is not flushed again whose flush has failed, unless somebody asks for it.
const PAUSE: Duration = Duration::from_secs(5);

/// Flushes that one thread carries out in turns, so that a table whose objects cannot be put holds up no other.
#[derive(Debug)]
pub(crate) struct Flushes {
    shared: Arc<Shared>,
    running: Vec<Running>,
    wanted: Vec<Wanted>,
    /// When flushes failed, by table, until one succeeds.
    failed: BTreeMap<TableId, Instant>,
}

#[derive(Debug)]
struct Running {
    table: TableId,
    flushing: Flushing,
    /// Since when it waits for the store.
    waits_since: Option<Instant>,
}

/// Somebody waits until all is flushed that a table had in memory.
#[derive(Debug)]
struct Wanted {
    table: TableId,
    /// What was committed up to this timestamp.
    through: Timestamp,
    done: mpsc::Sender<Result<()>>,
}

impl Flushes {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, running: Vec::new(), wanted: Vec::new(), failed: BTreeMap::new() }
    }

    /// Whether there is nothing to do.
    pub(crate) fn is_idle(&self) -> bool {
        self.running.is_empty() && self.wanted.is_empty()
    }

    /// Begins flushes of tables that are due, as far as there is room for them.
    pub(crate) fn begin(&mut self, due: impl IntoIterator<Item = Due>) {
        for due in due {
            if !self.has_room() {
                break;
            }
            if self.failed.get(&due.table).is_none_or(|at| at.elapsed() >= PAUSE) {
                self.begin_one(due.table, due.parts());
            }
        }
    }

    /// Flushes what a table has in memory now, and tells `done`.
    pub(crate) fn want(&mut self, table: TableId, done: mpsc::Sender<Result<()>>) {
        let through = self.shared.last_placed();
        // What is flushed must be committed.
        match self.shared.settle() {
            Ok(()) => self.wanted.push(Wanted { table, through, done }),
            Err(error) => _ = done.send(Err(error)),
        }
    }

    /// Does some steps of each.
    pub(crate) fn step(&mut self) {
        self.begin_wanted();
        for running in &self.running {
            running.flushing.set_hurry(self.wanted.iter().any(|wanted| wanted.table == running.table));
        }
        let mut ended = Vec::new();
        for (at, running) in self.running.iter_mut().enumerate() {
            if let Some(outcome) = running.go_on(&self.shared) {
                ended.push((at, outcome));
            }
        }
        for (at, outcome) in ended.into_iter().rev() {
            let table = self.running.remove(at).table;
            let outcome = outcome.map_err(Arc::new);
            match &outcome {
                Ok(()) => _ = self.failed.remove(&table),
                Err(error) => {
                    self.failed.insert(table, Instant::now());
                    self.refuse(table, error);
                }
            }
            self.shared.flush_ended(table, outcome);
        }
    }

    fn has_room(&self) -> bool {
        self.running.iter().filter(|running| !running.is_held_up()).count() < RUNNING_MAX
    }

    fn is_running(&self, table: TableId) -> bool {
        self.running.iter().any(|running| running.table == table)
    }

    /// Returns whether the table has something that can be flushed.
    fn begin_one(&mut self, table: TableId, parts: FlushParts) -> bool {
        let flushing = Flushing::begin(&self.shared, table, parts);
        let begun = flushing.map(|flushing| Running { table, flushing, waits_since: None });
        let has_begun = begun.is_some();
        self.running.extend(begun);
        has_begun
    }

    /// Begins the next flush of each table that somebody waits for, or tells that there is nothing more.
    fn begin_wanted(&mut self) {
        for wanted in std::mem::take(&mut self.wanted) {
            let is_left = self.shared.oldest_in_memory(wanted.table).is_some_and(|oldest| oldest <= wanted.through);
            // Perhaps somebody else flushes it, step by step.
            if is_left
                && (self.is_running(wanted.table)
                    || self.begin_one(wanted.table, FlushParts::ALL)
                    || self.shared.writer().is_flushing(wanted.table))
            {
                self.wanted.push(wanted);
            } else {
                // Who asked may have gone.
                _ = wanted.done.send(Ok(()));
            }
        }
    }

    /// A flush of a table has failed: who waits for it is told why.
    fn refuse(&mut self, table: TableId, error: &Arc<Error>) {
        for wanted in self.wanted.extract_if(.., |wanted| wanted.table == table) {
            _ = wanted.done.send(Err(Error::Shared(Arc::clone(error))));
        }
    }
}

impl Running {
    /// Goes on until it has to wait for an object or the store. Returns its outcome at its end.
    fn go_on(&mut self, shared: &Shared) -> Option<Result<()>> {
        loop {
            match self.flushing.step() {
                Ok(FlushProgress::Done) => return Some(Ok(())),
                Ok(FlushProgress::Moved) => self.waits_since = None,
                Ok(FlushProgress::WaitsForLog) => {
                    if let Err(error) = shared.settle() {
                        return Some(Err(error));
                    }
                }
                Ok(FlushProgress::WaitsForObject) => {
                    self.waits_since = None;
                    return None;
                }
                Ok(FlushProgress::WaitsForStore) => {
                    self.waits_since.get_or_insert_with(Instant::now);
                    return None;
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }

    fn is_held_up(&self) -> bool {
        let held_up = match self.flushing.urgency() {
            Urgency::Now => HELD_UP,
            Urgency::Background => HELD_UP_BACKGROUND,
        };
        self.waits_since.is_some_and(|since| since.elapsed() >= held_up)
    }
}
