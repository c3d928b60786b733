//! The primitives of code that threads share: the system's locks, atomics and sleeps, or loom's where the models in
//! `models.rs` run that code.
//!
//! Code that takes its locks from elsewhere (the segments' supply, the recent tail, the buffers) is a leaf: no thread
//! holds such a lock while it does something that a model observes, so each call is one step to a model.

#[cfg(all(loom, test))]
pub(crate) use modelled::*;
#[cfg(not(all(loom, test)))]
pub(crate) use shipped::*;

/// Models restrict their state space: one cell for all waiters, no pause to gather groups.
pub(crate) const MODELLED: bool = cfg!(all(loom, test));

#[cfg(not(all(loom, test)))]
mod shipped {
    pub(crate) use std::{
        sync::{
            OnceLock,
            atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, fence},
        },
        thread::yield_now,
    };

    pub(crate) use atomic_wait::{wait, wake_all, wake_one};
    pub(crate) use parking_lot::{Mutex, MutexGuard};
}

#[cfg(all(loom, test))]
#[expect(clippy::unwrap_used, reason = "a lock of a model is poisoned when the model has failed")]
mod modelled {
    use std::{collections::BTreeMap, ops, sync::Arc};

    use loom::sync::{Condvar, atomic::Ordering};
    pub(crate) use loom::{
        sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, fence},
        thread::yield_now,
    };

    /// A lock with the part of `parking_lot`'s interface that the log uses.
    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T> {
        inner: loom::sync::Mutex<T>,
        locked: AtomicBool,
        /// Failed attempts since it was last taken.
        tried: std::sync::atomic::AtomicU32,
    }

    pub(crate) struct MutexGuard<'a, T> {
        inner: loom::sync::MutexGuard<'a, T>,
        locked: &'a AtomicBool,
    }

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self { inner: loom::sync::Mutex::new(value), locked: AtomicBool::new(false), tried: Default::default() }
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.guard(self.inner.lock().unwrap())
        }

        pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
            let Ok(inner) = self.inner.try_lock() else {
                // A thread that retries must let the holder run. Not at once, or the model would not explore what can
                // happen before.
                if self.tried.fetch_add(1, Ordering::Relaxed) >= 2 {
                    yield_now();
                }
                return None;
            };
            self.tried.store(0, Ordering::Relaxed);
            Some(self.guard(inner))
        }

        /// With relaxed ordering, as `parking_lot`'s.
        pub(crate) fn is_locked(&self) -> bool {
            self.locked.load(Ordering::Relaxed)
        }

        fn guard<'a>(&'a self, inner: loom::sync::MutexGuard<'a, T>) -> MutexGuard<'a, T> {
            self.locked.store(true, Ordering::Relaxed);
            MutexGuard { inner, locked: &self.locked }
        }
    }

    impl<T> ops::Deref for MutexGuard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            &self.inner
        }
    }

    impl<T> ops::DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            &mut self.inner
        }
    }

    impl<T> Drop for MutexGuard<'_, T> {
        fn drop(&mut self) {
            self.locked.store(false, Ordering::Release);
        }
    }

    /// A cell that is set once; a thread that sees it set sees everything that happened before.
    #[derive(Debug)]
    pub(crate) struct OnceLock<T> {
        value: std::sync::OnceLock<T>,
        is_set: AtomicBool,
    }

    impl<T> OnceLock<T> {
        pub(crate) fn new() -> Self {
            Self { value: std::sync::OnceLock::new(), is_set: AtomicBool::new(false) }
        }

        pub(crate) fn get(&self) -> Option<&T> {
            if self.is_set.load(Ordering::Acquire) { self.value.get() } else { None }
        }

        pub(crate) fn set(&self, value: T) -> Result<(), T> {
            self.value.set(value)?;
            self.is_set.store(true, Ordering::Release);
            Ok(())
        }
    }

    impl<T> Default for OnceLock<T> {
        fn default() -> Self {
            Self::new()
        }
    }

    loom::lazy_static! {
        static ref SLEEPERS: loom::sync::Mutex<BTreeMap<usize, Arc<Condvar>>> = Default::default();
    }

    /// As a futex does it: comparing the word and going to sleep are one step to a waker.
    pub(crate) fn wait(word: &AtomicU32, seen: u32) {
        let mut sleepers = SLEEPERS.lock().unwrap();
        if word.load(Ordering::Relaxed) == seen {
            let at = sleepers.entry(address(word)).or_insert_with(|| Arc::new(Condvar::new())).clone();
            drop(at.wait(sleepers).unwrap());
        }
    }

    pub(crate) fn wake_one(word: &AtomicU32) {
        if let Some(at) = SLEEPERS.lock().unwrap().get(&address(word)) {
            at.notify_one();
        }
    }

    pub(crate) fn wake_all(word: &AtomicU32) {
        if let Some(at) = SLEEPERS.lock().unwrap().get(&address(word)) {
            at.notify_all();
        }
    }

    fn address(word: &AtomicU32) -> usize {
        std::ptr::from_ref(word).addr()
    }
}
