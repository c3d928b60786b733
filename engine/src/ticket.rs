//! The promise that a batch will be durable.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use crate::types::error::{Error, Result};

/// Completes, once, when a batch and everything submitted before it survive power loss, or when the log failed.
///
/// It can be waited for, awaited in any executor, or given a callback; dropping it cancels nothing. Wakers are called
/// with nothing locked, in a thread that waits for a ticket itself or on the one that runs callbacks.
///
/// # Example
/// ```
/// # use logboom::{Config, Durability, Engine, ShardId};
/// # let dir = tempfile::tempdir()?;
/// # let mut config = Config::new(dir.path().join("log"));
/// # config.segment_bytes = 256 << 10;
/// # let engine = Engine::open(config)?;
/// let mut batch = engine.batch();
/// batch.append_payload(ShardId(1), 1, 1, b"payload")?;
/// let ticket = engine.submit(batch, Durability::Durable)?; // readable now
/// ticket.wait()?; // durable now
/// # engine.close()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a batch is durable only when its ticket says so"]
#[derive(Debug)]
pub struct Ticket(logboom_wal::Ticket);

impl Ticket {
    pub(crate) fn new(ticket: logboom_wal::Ticket) -> Self {
        Self(ticket)
    }

    /// Whether waiting would return at once.
    pub fn is_done(&self) -> bool {
        self.0.is_done()
    }

    /// Blocks until the batch is durable. A lazy batch is written now.
    ///
    /// # Errors
    /// [`Error::Poisoned`] when the log failed before: whether the batch survives is known when the log was opened
    /// again.
    pub fn wait(self) -> Result<()> {
        self.0.wait().map_err(Error::from)
    }

    /// [`Ticket::wait`] for at most `timeout`. With [`Runtime::Manual`](crate::Runtime) it drives the engine for
    /// as long, and no longer than there is something to do: the engine's clock stands still meanwhile, and `timeout`
    /// is real time.
    ///
    /// # Errors
    /// The outer error is the ticket itself, when it was not done in time.
    pub fn wait_timeout(self, timeout: Duration) -> Result<Result<()>, Self> {
        match self.0.wait_timeout(timeout) {
            Ok(outcome) => Ok(outcome.map_err(Error::from)),
            Err(ticket) => Err(Self(ticket)),
        }
    }

    /// Has `callback` called once, with what [`Ticket::wait`] would return, in the order of submission.
    ///
    /// It runs with nothing locked, on a thread that runs callbacks and wakes futures: a slow one delays others of
    /// these, never a commit, and one that waits for another waits for ever. It may use the engine, and close it: from
    /// there that does not wait for the callback itself. A panic ends with the callback, and is
    /// [told](crate::Observer::panicked). Once the engine is closed, and in a child that was forked, a callback runs
    /// in the caller's thread, before this returns.
    pub fn on_complete(self, callback: impl FnOnce(Result<()>) + Send + 'static) {
        self.0.on_complete(move |outcome| callback(outcome.map_err(Error::from)));
    }
}

impl Future for Ticket {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.0).poll(context).map_err(Error::from)
    }
}
