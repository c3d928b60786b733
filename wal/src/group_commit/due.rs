//! What waits for a number that only grows, until that has come: wakers and callbacks, which are foreign code from
//! their clones to their drops. Nothing of them is run, or dropped, in here.

use std::{collections::BTreeMap, sync::atomic::Ordering};

use crate::runtime::sync::{AtomicUsize, Mutex, fence};

/// Things by the number that each waits for, those of one number in the order in which they came.
pub(crate) struct Due<T> {
    /// How many there are, so that a thread with nothing to hand out finds out cheaply.
    count: AtomicUsize,
    registered: Mutex<Registered<T>>,
}

struct Registered<T> {
    keys: u64,
    waiting: BTreeMap<(u64, u64), T>,
}

impl<T> Default for Due<T> {
    fn default() -> Self {
        let registered = Registered { keys: 0, waiting: BTreeMap::new() };
        Self { count: AtomicUsize::new(0), registered: Mutex::new(registered) }
    }
}

impl<T> Due<T> {
    /// Has `what` among those that wait for `at`, in the place of the one that was registered as `key`, which is
    /// returned. A caller that looks after that whether the number has come, and finds that it has not, is handed out.
    pub(crate) fn register(&self, at: u64, key: Option<u64>, what: T) -> (u64, Option<T>) {
        let mut registered = self.registered.lock();
        let key = key.unwrap_or_else(|| {
            registered.keys += 1;
            registered.keys
        });
        let replaced = registered.waiting.insert((at, key), what);
        if replaced.is_none() {
            self.count.fetch_add(1, Ordering::SeqCst);
        }
        drop(registered);
        // Pairs with the fence of `has_any`: either that sees the registration, or the caller's look the change.
        fence(Ordering::SeqCst);
        (key, replaced)
    }

    pub(crate) fn unregister(&self, at: u64, key: u64) -> Option<T> {
        let mut registered = self.registered.lock();
        let removed = registered.waiting.remove(&(at, key));
        if removed.is_some() {
            self.count.fetch_sub(1, Ordering::SeqCst);
        }
        removed
    }

    /// The first one, if what it waits for has an `outcome`; with that.
    pub(crate) fn take_first<R>(&self, outcome: impl FnOnce(u64) -> Option<R>) -> Option<(T, R)> {
        let mut registered = self.registered.lock();
        let first = registered.waiting.first_entry()?;
        let outcome = outcome(first.key().0)?;
        let taken = first.remove();
        self.count.fetch_sub(1, Ordering::SeqCst);
        Some((taken, outcome))
    }

    /// All that wait for a number that is `due`, which rise with numbers.
    pub(crate) fn take(&self, due: impl Fn(u64) -> bool) -> Vec<T> {
        let mut taken = Vec::new();
        if !self.has_any() {
            return taken;
        }
        let mut registered = self.registered.lock();
        while let Some(entry) = registered.waiting.first_entry() {
            if !due(entry.key().0) {
                break;
            }
            taken.push(entry.remove());
        }
        self.count.fetch_sub(taken.len(), Ordering::SeqCst);
        taken
    }

    /// Whether [`Due::take`] would find any.
    pub(crate) fn has(&self, due: impl Fn(u64) -> bool) -> bool {
        self.has_any() && self.registered.lock().waiting.keys().next().is_some_and(|&(at, _)| due(at))
    }

    fn has_any(&self) -> bool {
        fence(Ordering::SeqCst);
        self.count.load(Ordering::SeqCst) > 0
    }

    /// How many are registered, which the counter must agree with.
    #[cfg(all(loom, test))]
    pub(crate) fn len(&self) -> usize {
        let len = self.registered.lock().waiting.len();
        assert_eq!(len, self.count.load(Ordering::SeqCst));
        len
    }
}
