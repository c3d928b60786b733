//! The future of a batch's durability.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use crate::types::error::{Error, Result};

/// Completes once: when a batch and all batches submitted before it are durable, or when the log fails.
///
/// Block on it, await it in any executor, or give it a callback. Dropping it cancels nothing. Wakers are called with
/// nothing locked: in a thread that blocks on a ticket, or on the thread that runs callbacks.
///
/// # Example
/// ```
/// # use logboom::{Config, Durability, Engine, EntryId, ShardId};
/// # let dir = tempfile::tempdir()?;
/// # let mut config = Config::new(dir.path().join("log"));
/// # config.segment_bytes = 256 << 10;
/// # let engine = Engine::open(config)?;
/// let mut batch = engine.batch();
/// batch.append_payload(ShardId(1), EntryId { index: 1, term: 1 }, b"payload")?;
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

    /// Whether [`Ticket::wait`] would return at once.
    pub fn is_done(&self) -> bool {
        self.0.is_done()
    }

    /// Has the engine's threads write a batch that was [submitted without
    /// that](crate::Engine::try_submit_deferred).
    pub fn begin(&mut self) {
        self.0.begin();
    }

    /// Blocks until the batch is durable. A lazy batch is written now.
    ///
    /// # Errors
    /// [`Error::Poisoned`] when the log failed first: whether the batch survives is known only after the log is opened
    /// again.
    pub fn wait(self) -> Result<()> {
        self.0.wait().map_err(Error::from)
    }

    /// [`Ticket::wait`] for at most `timeout`, in real time; callbacks and wakers of others do not delay it. With
    /// [`Runtime::Manual`](crate::Runtime) it drives the engine meanwhile, and returns early when a step finds nothing
    /// to do; the engine's clock does not advance.
    ///
    /// # Errors
    /// The outer error is the ticket itself, when it was not done in time.
    pub fn wait_timeout(self, timeout: Duration) -> Result<Result<()>, Self> {
        match self.0.wait_timeout(timeout) {
            Ok(outcome) => Ok(outcome.map_err(Error::from)),
            Err(ticket) => Err(Self(ticket)),
        }
    }

    /// Calls `callback` once, with the result of [`Ticket::wait`]. Callbacks run in the order of submission.
    ///
    /// They run with nothing locked, on one thread that also wakes futures: a slow one delays other callbacks and
    /// wakers, never a commit, and one that waits for another deadlocks. A callback may use the engine, and close it:
    /// close does not wait for the callback that calls it. Panics are caught and reported to
    /// [`Observer::panicked`](crate::Observer::panicked). Once the engine is closed, and in a forked child, `callback`
    /// runs in the calling thread before this returns.
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
