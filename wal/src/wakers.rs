//! Futures that wait: their wakers, which are foreign code from their clones to their drops, and are never called with
//! anything locked.

use std::{
    collections::BTreeMap,
    future::poll_fn,
    sync::atomic::Ordering,
    task::{Poll, Waker},
};

use crate::sync::{AtomicUsize, Mutex, fence};

/// The wakers of futures, by a number that each waits for.
#[derive(Default)]
pub struct Wakers {
    /// How many there are, so that a thread with none to wake finds out cheaply.
    count: AtomicUsize,
    registered: Mutex<Registered>,
}

#[derive(Default)]
struct Registered {
    keys: u64,
    wakers: BTreeMap<(u64, u64), Waker>,
}

impl Wakers {
    /// Waits until `look` finds something. The code that changes what it looks at takes the wakers after that.
    pub async fn until<T>(&self, mut look: impl FnMut() -> Option<T>) -> T {
        let mut place = Place { wakers: self, key: None };
        poll_fn(|context| {
            if let Some(found) = look() {
                return Poll::Ready(found);
            }
            place.key = Some(self.register(0, place.key, context.waker()));
            // It may have come between the look and the registration.
            look().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// Has `waker` among those that wait for `at`, in the place of the one that was registered as `key`. Who looks
    /// after that whether what it waits for has come, and finds that it has not, is woken.
    pub(crate) fn register(&self, at: u64, key: Option<u64>, waker: &Waker) -> u64 {
        let waker = waker.clone();
        let mut registered = self.registered.lock();
        let key = key.unwrap_or_else(|| {
            registered.keys += 1;
            registered.keys
        });
        let replaced = registered.wakers.insert((at, key), waker);
        if replaced.is_none() {
            self.count.fetch_add(1, Ordering::SeqCst);
        }
        drop(registered);
        drop(replaced);
        // Pairs with the fence of `take`: either that sees the registration, or the caller's look the change.
        fence(Ordering::SeqCst);
        key
    }

    pub(crate) fn unregister(&self, at: u64, key: u64) {
        let mut registered = self.registered.lock();
        let removed = registered.wakers.remove(&(at, key));
        if removed.is_some() {
            self.count.fetch_sub(1, Ordering::SeqCst);
        }
        drop(registered);
        // The last reference to a task may be among what this drops, and a ticket with that.
        drop(removed);
    }

    /// Those that wait for a number that is `due`, which rise with numbers: to be woken once, with nothing locked.
    pub(crate) fn take(&self, due: impl Fn(u64) -> bool) -> Vec<Waker> {
        let mut taken = Vec::new();
        if !self.has_any() {
            return taken;
        }
        let mut registered = self.registered.lock();
        while let Some(entry) = registered.wakers.first_entry() {
            if !due(entry.key().0) {
                break;
            }
            taken.push(entry.remove());
        }
        self.count.fetch_sub(taken.len(), Ordering::SeqCst);
        taken
    }

    /// Whether [`Wakers::take`] would find any.
    pub(crate) fn has(&self, due: impl Fn(u64) -> bool) -> bool {
        self.has_any() && self.registered.lock().wakers.keys().next().is_some_and(|&(at, _)| due(at))
    }

    fn has_any(&self) -> bool {
        fence(Ordering::SeqCst);
        self.count.load(Ordering::SeqCst) > 0
    }

    /// How many are registered, which the counter must agree with.
    #[cfg(all(loom, test))]
    pub(crate) fn len(&self) -> usize {
        let len = self.registered.lock().wakers.len();
        assert_eq!(len, self.count.load(Ordering::SeqCst));
        len
    }
}

impl std::fmt::Debug for Wakers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wakers").finish_non_exhaustive()
    }
}

/// A future's place among those that wait, until it is dropped.
struct Place<'w> {
    wakers: &'w Wakers,
    key: Option<u64>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.wakers.unregister(0, key);
        }
    }
}
