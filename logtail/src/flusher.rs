//! `Flusher`: a thread that flushes tables.

use std::{
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use logboom_logtail_core::TableId;

use crate::{
    error::{Error, Result},
    flushing::Flushing,
    shared::Shared,
};

/// How often it is looked which tables are due.
const TICK: Duration = Duration::from_millis(200);
/// How long the thread sleeps while the store puts an object, before it looks whether the tail is closed.
const PUT_TICK: Duration = Duration::from_millis(1);

/// Flushes tables on a thread of its own: those that are due, and those that are asked for. Dropping it ends the
/// thread; a flush that is under way is given up.
#[derive(Debug)]
pub(crate) struct Flusher {
    demands: Option<mpsc::Sender<Demand>>,
    thread: Option<JoinHandle<()>>,
}

/// A table that somebody wants to be flushed.
struct Demand {
    table: TableId,
    done: mpsc::Sender<Result<()>>,
}

impl Flusher {
    pub(crate) fn start(shared: Arc<Shared>) -> Result<Self> {
        let (demands, asked) = mpsc::channel();
        let work = move || Worker { shared, asked, waiting: Vec::new(), ended: false }.run();
        let thread = thread::Builder::new().name("logtail-flush".into()).spawn(work).map_err(Error::Thread)?;
        Ok(Self { demands: Some(demands), thread: Some(thread) })
    }

    /// Flushes what a table has in memory now, and waits for it.
    pub(crate) fn flush(&self, table: TableId) -> Result<()> {
        let (done, flushed) = mpsc::channel();
        let sent = self.demands.as_ref().map(|demands| demands.send(Demand { table, done }));
        if !matches!(sent, Some(Ok(()))) {
            return Err(Error::Closed);
        }
        flushed.recv().unwrap_or(Err(Error::Closed))
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
}

impl Worker {
    fn run(&mut self) {
        while !self.ended {
            self.listen(TICK);
            for Demand { table, done } in std::mem::take(&mut self.waiting) {
                let outcome = flush_all(&self.shared.clone(), table, || self.goes_on());
                // The caller may have gone.
                _ = done.send(outcome);
            }
            for (table, _reason) in self.shared.options.flush.due(&self.shared.memory()) {
                if !self.ended
                    && let Some(mut flushing) = Flushing::begin(&self.shared, table)
                {
                    let outcome = flushing.run(|| self.goes_on());
                    self.shared.flush_ended(table, outcome);
                }
            }
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
    while shared.oldest_in_memory(table).is_some_and(|oldest| oldest <= now) {
        let Some(mut flushing) = Flushing::begin(shared, table) else { break };
        flushing.run(&mut wait)?;
    }
    shared.memory();
    Ok(())
}
