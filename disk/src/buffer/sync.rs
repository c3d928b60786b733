//! Atomics and locks of the buffers: the standard ones, or loom's when the models in `models.rs` run this code.

#[cfg(all(loom, test))]
pub(super) use modelled::*;
#[cfg(not(all(loom, test)))]
pub(super) use shipped::*;

#[cfg(not(all(loom, test)))]
mod shipped {
    pub(in super::super) use std::sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize},
    };

    pub(in super::super) use parking_lot::Mutex;

    use std::ops::Range;

    /// Empty here; under loom it watches accesses to the bytes of each line.
    #[derive(Debug)]
    pub(in super::super) struct Accesses;

    impl Accesses {
        pub(in super::super) fn of(_lines: usize) -> Self {
            Accesses
        }

        pub(in super::super) fn read(&self, _lines: Range<usize>) {}

        pub(in super::super) fn write(&self, _lines: Range<usize>) {}
    }
}

#[cfg(all(loom, test))]
#[expect(clippy::unwrap_used, reason = "a lock of a model is poisoned when the model has failed")]
mod modelled {
    use std::ops::Range;

    use loom::cell::UnsafeCell;
    pub(in super::super) use loom::sync::{
        Arc, MutexGuard,
        atomic::{AtomicU64, AtomicUsize},
    };

    #[derive(Debug)]
    pub(in super::super) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(in super::super) fn new(value: T) -> Self {
            Mutex(loom::sync::Mutex::new(value))
        }

        pub(in super::super) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap()
        }
    }

    /// Tracks reads and writes of the bytes of each line: an access that is not ordered after the last conflicting one
    /// fails the model.
    #[derive(Debug)]
    pub(in super::super) struct Accesses(Box<[UnsafeCell<()>]>);

    impl Accesses {
        pub(in super::super) fn of(lines: usize) -> Self {
            Accesses((0..lines).map(|_| UnsafeCell::new(())).collect())
        }

        pub(in super::super) fn read(&self, lines: Range<usize>) {
            self.0[lines].iter().for_each(|line| line.with(|_| ()));
        }

        pub(in super::super) fn write(&self, lines: Range<usize>) {
            self.0[lines].iter().for_each(|line| line.with_mut(|_| ()));
        }
    }
}
