//! `Flusher`: a thread that flushes tables and writes checkpoints.

use std::{
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use logboom_logtail_core::{TableId, flush::FlushPolicy, writer::CheckpointKind};

use crate::{
    checkpointer::checkpoint,
    error::{Error, Result},
    flushes::Flushes,
    shared::Shared,
};

/// How often it is looked which tables are due.
const TICK: Duration = Duration::from_millis(200);
/// How often it is looked whether the store has put the objects of flushes.
const PUT_TICK: Duration = Duration::from_millis(1);

/// How long memory for objects is kept for the next flush.
const MEMORY_KEPT: Duration = Duration::from_secs(10);

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
    flushes: Flushes,
    /// Checkpoints that were asked for.
    wanted: Vec<(CheckpointKind, mpsc::Sender<Result<bool>>)>,
    policy: FlushPolicy,
    /// When it was last looked which tables are due.
    looked: Option<Instant>,
    /// When a flush was last under way.
    flushed: Instant,
    ended: bool,
    /// When the last checkpoint was tried; the opening counts.
    checkpointed: Option<Duration>,
}

impl Worker {
    fn new(shared: Arc<Shared>, asked: mpsc::Receiver<Demand>) -> Self {
        let checkpointed = Some(shared.monotonic());
        let flushes = Flushes::new(Arc::clone(&shared));
        let policy = shared.memory_bound().policy(&shared.options.flush);
        Self {
            shared,
            asked,
            flushes,
            wanted: Vec::new(),
            policy,
            looked: None,
            flushed: Instant::now(),
            ended: false,
            checkpointed,
        }
    }

    fn run(&mut self) {
        while self.turn() {
            for (kind, done) in std::mem::take(&mut self.wanted) {
                let shared = Arc::clone(&self.shared);
                // The caller may have gone.
                _ = done.send(checkpoint(&shared, kind, || self.turn()));
            }
            self.checkpoint_if_due();
        }
    }

    /// Takes demands, and goes on with the flushes. Returns whether the tail is still open.
    fn turn(&mut self) -> bool {
        let patience = if self.flushes.is_idle() { TICK } else { PUT_TICK };
        match self.asked.recv_timeout(patience) {
            Ok(Demand::Flush(table, done)) => self.flushes.want(table, done),
            Ok(Demand::Checkpoint(kind, done)) => self.wanted.push((kind, done)),
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => self.ended = true,
        }
        if !self.ended {
            if self.looked.is_none_or(|looked| looked.elapsed() >= TICK) {
                // No other thread publishes a commit that is neither waited for nor dropped.
                self.shared.publish(None);
                self.flushes.begin(self.policy.due(&self.shared.memory()));
                self.looked = Some(Instant::now());
            }
            self.flushes.step();
            if !self.flushes.is_idle() {
                self.flushed = Instant::now();
            } else if self.flushed.elapsed() >= MEMORY_KEPT {
                self.shared.object_memory.release();
            }
        }
        !self.ended
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
            let outcome = checkpoint(&shared, kind, || self.turn());
            self.checkpointed = Some(now);
            self.shared.checkpoint_ended(outcome.map(|_| ()));
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Also after a panic: commits must not wait for flushes that do not come.
        self.shared.memory_bound().close();
    }
}
