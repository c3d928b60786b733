//! `Flusher`: a thread that flushes tables and writes checkpoints.

use std::{
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use logboom_logtail_core::{TableId, flush::FlushParts, writer::CheckpointKind};

use crate::{
    checkpointer::checkpoint,
    error::{Error, Result},
    flushing::Flushing,
    shared::Shared,
};

/// How often it is looked which tables are due.
const TICK: Duration = Duration::from_millis(200);
/// How long the thread sleeps while the store puts an object, before it looks whether the tail is closed.
const PUT_TICK: Duration = Duration::from_millis(1);

/// The objects of a checkpoint from which on the next one is global.
const INCREMENTALS_MAX: usize = 10;

/// Flushes tables and writes checkpoints on a thread of its own: when they are due, and when they are asked for.
/// Dropping it ends the thread; what is under way is given up.
#[derive(Debug)]
pub(crate) struct Flusher {
    demands: Option<mpsc::Sender<Demand>>,
    thread: Option<JoinHandle<()>>,
}

/// What somebody wants to be done.
enum Demand {
    Flush(TableId, mpsc::Sender<Result<()>>),
    Checkpoint(CheckpointKind, mpsc::Sender<Result<bool>>),
}

impl Flusher {
    pub(crate) fn start(shared: Arc<Shared>) -> Result<Self> {
        let (demands, asked) = mpsc::channel();
        let work = move || Worker::new(shared, asked).run();
        let thread = thread::Builder::new().name("logtail-flush".into()).spawn(work).map_err(Error::Thread)?;
        Ok(Self { demands: Some(demands), thread: Some(thread) })
    }

    /// Flushes what a table has in memory now, and waits for it.
    pub(crate) fn flush(&self, table: TableId) -> Result<()> {
        self.ask(|done| Demand::Flush(table, done))
    }

    /// Writes a checkpoint, and waits for it.
    pub(crate) fn checkpoint(&self, kind: CheckpointKind) -> Result<bool> {
        self.ask(|done| Demand::Checkpoint(kind, done))
    }

    fn ask<R>(&self, demand: impl FnOnce(mpsc::Sender<Result<R>>) -> Demand) -> Result<R> {
        let (done, outcome) = mpsc::channel();
        let sent = self.demands.as_ref().map(|demands| demands.send(demand(done)));
        if !matches!(sent, Some(Ok(()))) {
            return Err(Error::Closed);
        }
        outcome.recv().unwrap_or(Err(Error::Closed))
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        // The thread sees its end where it looks for demands.
        self.demands = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread is reported where it happens.
            _ = thread.join();
        }
    }
}

struct Worker {
    shared: Arc<Shared>,
    asked: mpsc::Receiver<Demand>,
    waiting: Vec<Demand>,
    ended: bool,
    /// When the last checkpoint was tried; the opening counts.
    checkpointed: Option<Duration>,
}

impl Worker {
    fn new(shared: Arc<Shared>, asked: mpsc::Receiver<Demand>) -> Self {
        let checkpointed = Some(shared.monotonic());
        Self { shared, asked, waiting: Vec::new(), ended: false, checkpointed }
    }

    fn run(&mut self) {
        while !self.ended {
            self.listen(TICK);
            for demand in std::mem::take(&mut self.waiting) {
                self.answer(demand);
            }
            for due in self.shared.options.flush.due(&self.shared.memory()) {
                let table = due.table;
                if !self.ended
                    && let Some(mut flushing) = Flushing::begin(&self.shared, table, due.parts())
                {
                    let outcome = flushing.run(|| self.goes_on());
                    self.shared.flush_ended(table, outcome);
                }
            }
            self.checkpoint_if_due();
        }
    }

    fn answer(&mut self, demand: Demand) {
        let shared = Arc::clone(&self.shared);
        // The callers may have gone.
        match demand {
            Demand::Flush(table, done) => _ = done.send(flush_all(&shared, table, || self.goes_on())),
            Demand::Checkpoint(kind, done) => _ = done.send(checkpoint(&shared, kind, || self.goes_on())),
        }
    }

    /// Writes a checkpoint if one is due: a global one now and then, so that a restart has few objects to read.
    fn checkpoint_if_due(&mut self) {
        let now = self.shared.monotonic();
        let due =
            self.checkpointed.is_none_or(|last| now.saturating_sub(last) >= self.shared.options.checkpoint_interval);
        if due && !self.ended {
            let shared = Arc::clone(&self.shared);
            let objects = shared.writer().checkpoint().map_or(0, |checkpoint| checkpoint.objects.len());
            let kind = if objects >= INCREMENTALS_MAX { CheckpointKind::Global } else { CheckpointKind::Incremental };
            let outcome = checkpoint(&shared, kind, || self.goes_on());
            self.checkpointed = Some(now);
            self.shared.checkpoint_ended(outcome.map(|_| ()));
        }
    }

    /// Waits for demands.
    fn listen(&mut self, patience: Duration) {
        match self.asked.recv_timeout(patience) {
            Ok(demand) => self.waiting.push(demand),
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => self.ended = true,
        }
    }

    /// Waits a little, and says whether the tail is still open.
    fn goes_on(&mut self) -> bool {
        self.listen(PUT_TICK);
        !self.ended
    }
}

/// Flushes what a table has in memory now. `wait` is called while the store puts an object, and says whether to go on.
pub(crate) fn flush_all(shared: &Arc<Shared>, table: TableId, mut wait: impl FnMut() -> bool) -> Result<()> {
    let now = shared.last_placed();
    // What is committed later need not go, but what is flushed must be committed.
    shared.settle()?;
    while shared.oldest_in_memory(table).is_some_and(|oldest| oldest <= now) {
        let Some(mut flushing) = Flushing::begin(shared, table, FlushParts::ALL) else { break };
        flushing.run(&mut wait)?;
    }
    shared.memory();
    Ok(())
}
