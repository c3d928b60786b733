//! Wakers of waiting futures. They are foreign code, from their clones to their drops, and are never called with a lock
//! held.

use std::{
    future::poll_fn,
    task::{Poll, Waker},
};

use crate::group_commit::wait_queue::WaitQueue;

/// Wakers of futures, by the number that each waits for.
#[derive(Default)]
pub struct Wakers(WaitQueue<Waker>);

impl Wakers {
    /// Waits until `look` returns something. The code that makes it do so must take the wakers afterwards.
    pub async fn until<T>(&self, mut look: impl FnMut() -> Option<T>) -> T {
        let mut registration = Registration { wakers: self, key: None };
        poll_fn(|context| {
            if let Some(found) = look() {
                return Poll::Ready(found);
            }
            registration.key = Some(self.register(0, registration.key, context.waker()));
            // It may have changed between the look and the registration.
            look().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// See [`WaitQueue::register`].
    pub(crate) fn register(&self, at: u64, key: Option<u64>, waker: &Waker) -> u64 {
        self.0.register(at, key, waker.clone()).0
    }

    /// Dropping it may drop the last reference to a task, and a ticket with it.
    pub(crate) fn unregister(&self, at: u64, key: u64) {
        drop(self.0.unregister(at, key));
    }

    /// Takes the wakers whose number is `due`, to be woken once with no lock held; `due` must be monotonic in the
    /// number.
    pub(crate) fn take(&self, due: impl Fn(u64) -> bool) -> Vec<Waker> {
        self.0.take(due)
    }

    /// Whether [`Wakers::take`] would return any.
    pub(crate) fn has(&self, due: impl Fn(u64) -> bool) -> bool {
        self.0.has(due)
    }

    /// The number of registered wakers.
    #[cfg(all(loom, test))]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl std::fmt::Debug for Wakers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wakers").finish_non_exhaustive()
    }
}

/// A future's registration, until it is dropped.
struct Registration<'w> {
    wakers: &'w Wakers,
    key: Option<u64>,
}

impl Drop for Registration<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.wakers.unregister(0, key);
        }
    }
}
