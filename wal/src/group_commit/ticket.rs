//! A ticket: the completion of a batch, to be waited for, awaited, or called back.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    time::{Duration, Instant},
};

use event_listener::{Event, Listener};

use crate::{
    group_commit::{log::Shared, tail::Caller},
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
}

impl Ticket {
    pub(crate) fn new(shared: Arc<Shared>, group: u64) -> Self {
        Self { shared, group, key: None }
    }

    /// Whether waiting would return at once.
    pub fn is_done(&self) -> bool {
        self.shared.state.watermark.outcome(self.group).is_some()
    }

    /// Blocks until the batch is durable. Waiting for a lazy batch has it written now.
    ///
    /// # Errors
    /// [`Error::Poisoned`] when the log failed before the batch was acknowledged; whether it survives is then known
    /// only after the log is opened again.
    pub fn wait(self) -> Result<(), Error> {
        if !self.is_done() {
            self.shared.env.check_process()?;
        }
        self.shared.tail.want(self.group);
        self.shared.wait(self.group, Caller::Free)
    }

    /// [`Ticket::wait`] for the layer above, while it has something locked: futures that the caller's commit completes
    /// are woken elsewhere.
    ///
    /// # Errors
    /// As [`Ticket::wait`].
    pub fn wait_locked(self) -> Result<(), Error> {
        self.shared.tail.want(self.group);
        self.shared.wait(self.group, Caller::Locked)
    }

    /// [`Ticket::wait`] for at most `timeout`; gives the ticket back when that is over. The log's own threads do the
    /// work. A log that is driven by hand is driven, in the caller's thread, for as long, and no longer than there
    /// is something to do: its clock stands still meanwhile, and `timeout` is real time. A callback or a waker that
    /// calls this keeps the thread that would wake it, and waits for all of `timeout`.
    ///
    /// # Errors
    /// The outer error is the ticket itself, not done yet.
    pub fn wait_timeout(mut self, timeout: Duration) -> Result<Result<(), Error>, Self> {
        if !self.is_done()
            && let Err(error) = self.shared.env.check_process()
        {
            return Ok(Err(error));
        }
        self.shared.tail.want(self.group);
        self.shared.tail.kick();
        let mut deadline = Instant::now().checked_add(timeout);
        if self.shared.env.manual {
            let is_over = || deadline.is_some_and(|deadline| Instant::now() >= deadline);
            while !self.is_done() && self.shared.drive() && !is_over() {}
            deadline = Some(Instant::now());
        }
        let woken = Arc::new(Woken(Event::new()));
        let waker = Waker::from(Arc::clone(&woken));
        loop {
            // It listens before it registers and looks, so a wake-up in between is not missed.
            let listener = woken.0.listen();
            if let Poll::Ready(outcome) = Pin::new(&mut self).poll(&mut Context::from_waker(&waker)) {
                return Ok(outcome);
            }
            match deadline {
                None => listener.wait(),
                Some(deadline) if listener.wait_deadline(deadline).is_none() && !self.is_done() => return Err(self),
                Some(_) => {}
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

/// What wakes a thread that waits with a bound.
struct Woken(Event);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.notify(usize::MAX);
    }
}

impl Future for Ticket {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(outcome) = self.shared.state.watermark.outcome(self.group) {
            return Poll::Ready(outcome);
        }
        self.shared.env.check_process()?;
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
