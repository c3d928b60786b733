//! Admission: a bound on the bytes that are accepted and not yet durable.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
};

use event_listener::{Event, EventListener, Listener as _};

use crate::{
    group_commit::wakers::Wakers,
    runtime::{
        notices::Notices,
        sync::{AtomicBool, AtomicU64},
    },
    types::error::Error,
};

/// Counts admitted bytes against a bound. A batch larger than the bound is admitted alone.
pub(crate) struct Admission {
    used: AtomicU64,
    bound: u64,
    /// Closed: nothing more is admitted, and waiters return.
    closed: AtomicBool,
    /// Threads that wait; woken at once.
    released: Event,
    /// Futures that wait. A releasing thread may hold locks, so the notifier wakes them.
    wakers: Wakers,
    notices: Arc<Notices>,
}

impl Admission {
    pub(crate) fn new(bound: u64, notices: Arc<Notices>) -> Arc<Self> {
        Arc::new(Self {
            used: AtomicU64::new(0),
            bound,
            closed: AtomicBool::new(false),
            released: Event::new(),
            wakers: Wakers::default(),
            notices,
        })
    }

    /// Admits `bytes`, or fails with [`Error::Busy`].
    pub(crate) fn try_admit(self: &Arc<Self>, bytes: u64) -> Result<Permit, Error> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::Closed);
        }
        let fits = |used: u64| {
            let after = used.saturating_add(bytes);
            (used == 0 || after <= self.bound).then_some(after)
        };
        match self.used.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fits) {
            Ok(_) => Ok(Permit { admission: Arc::clone(self), bytes }),
            Err(_) => Err(Error::Busy),
        }
    }

    /// Blocks until `bytes` are admitted. `before_wait` is called each time before it sleeps.
    pub(crate) fn admit(self: &Arc<Self>, bytes: u64, before_wait: impl Fn()) -> Result<Permit, Error> {
        loop {
            match self.admit_or_listen(bytes) {
                Ok(outcome) => return outcome,
                Err(listener) => {
                    before_wait();
                    listener.wait();
                }
            }
        }
    }

    /// The asynchronous [`Admission::admit`].
    pub(crate) async fn admit_async(self: &Arc<Self>, bytes: u64, before_wait: impl Fn()) -> Result<Permit, Error> {
        self.wakers
            .until(|| match self.try_admit(bytes) {
                Err(Error::Busy) => {
                    before_wait();
                    None
                }
                outcome => Some(outcome),
            })
            .await
    }

    /// Admits or fails for good; otherwise returns a listener to wait for. It listens before its second try, so no
    /// release in between is missed.
    fn admit_or_listen(self: &Arc<Self>, bytes: u64) -> Result<Result<Permit, Error>, EventListener> {
        let first = self.try_admit(bytes);
        if !matches!(first, Err(Error::Busy)) {
            return Ok(first);
        }
        let listener = self.released.listen();
        match self.try_admit(bytes) {
            Err(Error::Busy) => Err(listener),
            other => Ok(other),
        }
    }

    /// Releases the bytes of groups that have become durable.
    pub(crate) fn release(&self, bytes: u64) {
        if bytes > 0 {
            self.used.fetch_sub(bytes, Ordering::SeqCst);
            self.wake();
        }
    }

    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.wake();
    }

    fn wake(&self) {
        self.released.notify(usize::MAX);
        self.notices.wake(self.wakers.take(|_| true));
    }

    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission").field("used", &self.used()).field("bound", &self.bound).finish_non_exhaustive()
    }
}

/// Permission to append a number of bytes. Dropping it releases them; [`crate::Wal::reserve`] takes it over.
#[derive(Debug)]
#[must_use = "dropping a permit gives its bytes back"]
pub struct Permit {
    admission: Arc<Admission>,
    bytes: u64,
}

impl Permit {
    /// Keeps the bytes admitted until [`Admission::release`].
    pub(crate) fn keep(mut self) -> u64 {
        std::mem::take(&mut self.bytes)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.admission.release(self.bytes);
    }
}
