//! Wakers and callbacks that wait for a growing number to reach theirs. They are foreign code, from their clones to
//! their drops: this module neither runs nor drops them.

use std::{collections::BTreeMap, sync::atomic::Ordering};

use crate::runtime::sync::{AtomicUsize, Mutex, fence};

/// Items by the number that each waits for, and then in order of registration.
pub(crate) struct WaitQueue<T> {
    /// The number of items, so that finding none is cheap.
    count: AtomicUsize,
    items: Mutex<Items<T>>,
}

struct Items<T> {
    keys: u64,
    waiting: BTreeMap<(u64, u64), T>,
}

impl<T> Default for WaitQueue<T> {
    fn default() -> Self {
        let items = Items { keys: 0, waiting: BTreeMap::new() };
        Self { count: AtomicUsize::new(0), items: Mutex::new(items) }
    }
}

impl<T> WaitQueue<T> {
    /// Registers `what` to wait for `at`. It replaces the one registered as `key`, which is returned. If the number has
    /// not been reached when the caller looks after that, the item will be taken.
    pub(crate) fn register(&self, at: u64, key: Option<u64>, what: T) -> (u64, Option<T>) {
        let mut items = self.items.lock();
        let key = key.unwrap_or_else(|| {
            items.keys += 1;
            items.keys
        });
        let replaced = items.waiting.insert((at, key), what);
        if replaced.is_none() {
            self.count.fetch_add(1, Ordering::SeqCst);
        }
        drop(items);
        // Pairs with the fence of `has_any`: either that sees the registration, or the caller sees the new number.
        fence(Ordering::SeqCst);
        (key, replaced)
    }

    pub(crate) fn unregister(&self, at: u64, key: u64) -> Option<T> {
        let mut items = self.items.lock();
        let removed = items.waiting.remove(&(at, key));
        if removed.is_some() {
            self.count.fetch_sub(1, Ordering::SeqCst);
        }
        removed
    }

    /// Takes the first item if its number has an `outcome`, and returns both.
    pub(crate) fn take_first<R>(&self, outcome: impl FnOnce(u64) -> Option<R>) -> Option<(T, R)> {
        let mut items = self.items.lock();
        let first = items.waiting.first_entry()?;
        let outcome = outcome(first.key().0)?;
        let taken = first.remove();
        self.count.fetch_sub(1, Ordering::SeqCst);
        Some((taken, outcome))
    }

    /// Takes all items whose number is `due`; `due` must be monotonic in the number.
    pub(crate) fn take(&self, due: impl Fn(u64) -> bool) -> Vec<T> {
        let mut taken = Vec::new();
        if !self.has_any() {
            return taken;
        }
        let mut items = self.items.lock();
        while let Some(entry) = items.waiting.first_entry() {
            if !due(entry.key().0) {
                break;
            }
            taken.push(entry.remove());
        }
        self.count.fetch_sub(taken.len(), Ordering::SeqCst);
        taken
    }

    /// Whether [`WaitQueue::take`] would return any.
    pub(crate) fn has(&self, due: impl Fn(u64) -> bool) -> bool {
        self.has_any() && self.items.lock().waiting.keys().next().is_some_and(|&(at, _)| due(at))
    }

    fn has_any(&self) -> bool {
        fence(Ordering::SeqCst);
        self.count.load(Ordering::SeqCst) > 0
    }

    /// The number of registered items, which the counter must agree with.
    #[cfg(all(loom, test))]
    pub(crate) fn len(&self) -> usize {
        let len = self.items.lock().waiting.len();
        assert_eq!(len, self.count.load(Ordering::SeqCst));
        len
    }
}
