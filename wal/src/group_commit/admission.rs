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
    /// No more is admitted, and waiters give up.
    shut: AtomicBool,
    /// For threads, which are woken at once.
    released: Event,
    /// Of futures: who releases may have something locked, so it leaves them to the notifier.
    wakers: Wakers,
    notices: Arc<Notices>,
}

impl Admission {
    pub(crate) fn new(bound: u64, notices: Arc<Notices>) -> Arc<Self> {
        Arc::new(Self {
            used: AtomicU64::new(0),
            bound,
            shut: AtomicBool::new(false),
            released: Event::new(),
            wakers: Wakers::default(),
            notices,
        })
    }

    /// Admits `bytes`, or refuses.
    pub(crate) fn try_admit(self: &Arc<Self>, bytes: u64) -> Result<Permit, Error> {
        if self.shut.load(Ordering::Acquire) {
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

    /// Blocks until `bytes` are admitted.
    pub(crate) fn admit(self: &Arc<Self>, bytes: u64) -> Result<Permit, Error> {
        loop {
            match self.admit_or_listen(bytes) {
                Ok(outcome) => return outcome,
                Err(listener) => listener.wait(),
            }
        }
    }

    /// [`Admission::admit`], awaited.
    pub(crate) async fn admit_async(self: &Arc<Self>, bytes: u64) -> Result<Permit, Error> {
        self.wakers
            .until(|| match self.try_admit(bytes) {
                Err(Error::Busy) => None,
                outcome => Some(outcome),
            })
            .await
    }

    /// Admits or refuses for good; otherwise what to wait for. It listens before it looks for the second time, so a
    /// release in between is not missed.
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

    /// Gives back what groups that are durable now had taken.
    pub(crate) fn release(&self, bytes: u64) {
        if bytes > 0 {
            self.used.fetch_sub(bytes, Ordering::SeqCst);
            self.wake();
        }
    }

    pub(crate) fn shut(&self) {
        self.shut.store(true, Ordering::SeqCst);
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

/// The right to have some bytes accepted. Dropping it gives them back; [`crate::Wal::reserve`] takes it over.
#[derive(Debug)]
#[must_use = "dropping a permit gives its bytes back"]
pub struct Permit {
    admission: Arc<Admission>,
    bytes: u64,
}

impl Permit {
    /// Leaves the bytes taken until [`Admission::release`].
    pub(crate) fn keep(mut self) -> u64 {
        std::mem::take(&mut self.bytes)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.admission.release(self.bytes);
    }
}
