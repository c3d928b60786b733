//! A ticket: the completion of a batch, to be waited for, awaited, or called back.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use event_listener::Listener;

use crate::{
    group_commit::{log::Shared, scheduler::Caller},
    runtime::foreign::guarded,
    types::error::Error,
};

/// Completes, once, when a batch and everything before it survives power loss, or when the log is poisoned.
///
/// A ticket is a future of no particular runtime. Dropping it cancels nothing.
#[must_use = "a batch is durable only when its ticket says so"]
pub struct Ticket {
    shared: Arc<Shared>,
    group: u64,
    key: Option<u64>,
    /// No thread was woken to write the batch: the one that has the ticket writes it, or wakes one.
    is_left: bool,
}

impl Ticket {
    pub(crate) fn new(shared: Arc<Shared>, group: u64) -> Self {
        Self { shared, group, key: None, is_left: false }
    }

    /// The ticket of a batch whose write is left to its waiter.
    pub(crate) fn left_to_waiter(shared: Arc<Shared>, group: u64) -> Self {
        Self { shared, group, key: None, is_left: true }
    }

    /// Whether waiting would return at once.
    pub fn is_done(&self) -> bool {
        self.shared.state.watermark.outcome(self.group).is_some()
    }

    /// Has the log's threads write a batch that is left to its waiter.
    pub fn begin(&mut self) {
        if std::mem::take(&mut self.is_left) && !self.is_done() {
            self.shared.scheduler.kick();
        }
    }

    /// Blocks until the batch is durable. Waiting for a lazy batch has it written now.
    ///
    /// # Errors
    /// [`Error::Poisoned`] when the log failed before the batch was acknowledged; whether it survives is then known
    /// only after the log is opened again.
    pub fn wait(mut self) -> Result<(), Error> {
        self.is_left = false;
        if !self.is_done() {
            self.shared.env.check_process()?;
        }
        self.shared.scheduler.request_write(self.group);
        self.shared.wait(self.group, Caller::Unlocked)
    }

    /// [`Ticket::wait`] for the layer above, while it has something locked: futures that the caller's commit completes
    /// are woken elsewhere.
    ///
    /// # Errors
    /// As [`Ticket::wait`].
    pub fn wait_locked(mut self) -> Result<(), Error> {
        self.is_left = false;
        self.shared.scheduler.request_write(self.group);
        self.shared.wait(self.group, Caller::Locked)
    }

    /// [`Ticket::wait`] for at most `timeout`, in real time; gives the ticket back when that is over. The log's own
    /// threads do the work, and callbacks and wakers of others do not delay it.
    ///
    /// A log that is driven by hand is driven, in the caller's thread, until the batch is durable, the time is over, or
    /// a step finds nothing to do: because another thread still fills a reservation before this one, for instance.
    ///
    /// # Errors
    /// The outer error is the ticket itself, not done yet.
    pub fn wait_timeout(mut self, timeout: Duration) -> Result<Result<(), Error>, Self> {
        self.is_left = false;
        if !self.is_done()
            && let Err(error) = self.shared.env.check_process()
        {
            return Ok(Err(error));
        }
        self.shared.scheduler.request_write(self.group);
        self.shared.scheduler.kick();
        let deadline = Instant::now().checked_add(timeout);
        let is_over = || deadline.is_some_and(|deadline| Instant::now() >= deadline);
        if self.shared.env.manual {
            while !self.is_done() && self.shared.step(Caller::Unlocked) && !is_over() {}
            return self.shared.state.watermark.outcome(self.group).ok_or(self);
        }
        loop {
            // It registers before it looks, so a wake-up in between is not missed.
            let listener = self.shared.state.watermark.listen(self.group);
            if let Some(outcome) = self.shared.state.watermark.outcome(self.group) {
                return Ok(outcome);
            }
            match deadline {
                None => listener.wait(),
                Some(_) if is_over() => return Err(self),
                Some(deadline) => drop(listener.wait_deadline(deadline)),
            }
        }
    }

    /// Has `callback` called once, with what [`Ticket::wait`] would return, in the order of the log.
    ///
    /// It runs with nothing locked, on a thread that runs callbacks and wakes futures: a slow one delays others of
    /// these, never a commit, and one that waits for another waits for ever. It may use the log, and close it. A panic
    /// ends with the callback. Once the log is closed it runs in the caller's thread, before this returns,
    /// and so in a child that was forked.
    pub fn on_complete(self, callback: impl FnOnce(Result<(), Error>) + Send + 'static) {
        match self.shared.env.check_process() {
            Ok(()) => self.shared.call_back(self.group, Box::new(callback)),
            // The threads that would call it are not in this process.
            Err(error) => {
                let outcome = self.shared.state.watermark.outcome(self.group).unwrap_or(Err(error));
                drop(guarded(|| callback(outcome)));
            }
        }
    }
}

impl Future for Ticket {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(outcome) = self.shared.state.watermark.outcome(self.group) {
            return Poll::Ready(outcome);
        }
        self.shared.env.check_process()?;
        self.begin();
        let key = self.shared.state.watermark.wakers.register(self.group, self.key, context.waker());
        self.key = Some(key);
        // It may have ended between the look and the registration.
        match self.shared.state.watermark.outcome(self.group) {
            Some(outcome) => Poll::Ready(outcome),
            None => Poll::Pending,
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.begin();
        if let Some(key) = self.key {
            self.shared.state.watermark.wakers.unregister(self.group, key);
        }
    }
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ticket").field("group", &self.group).field("done", &self.is_done()).finish()
    }
}
