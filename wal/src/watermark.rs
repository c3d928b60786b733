//! The durable watermark: one number that only grows, and everyone who waits for it to pass theirs.
//!
//! Completion is a group's sequence against this number, so waiting costs no allocation and acknowledgement is in
//! prefix order by construction.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
    },
    task::Waker,
};

use parking_lot::Mutex;

use crate::Error;

/// Waiters of group n sleep in cell n mod this: one wake-up call for a whole group, and none for the others.
const CELLS: usize = 64;

pub(crate) type Callback = Box<dyn FnOnce(Result<(), Error>) + Send>;

/// See the module.
pub(crate) struct Watermark {
    durable: AtomicU64,
    failure: OnceLock<Error>,
    cells: [Cell; CELLS],
    /// How many wakers and callbacks are registered, so that publishing looks at them only when there are some.
    registrations: AtomicUsize,
    callbacks: AtomicUsize,
    registered: Mutex<Registered>,
}

#[derive(Default)]
#[repr(align(64))]
struct Cell {
    /// What waiters sleep on; changes with every event of the cell's groups.
    word: AtomicU32,
    waiters: AtomicU32,
}

/// Waiters that are not threads, by the group that they wait for.
#[derive(Default)]
struct Registered {
    next: u64,
    wakers: BTreeMap<(u64, u64), Waker>,
    callbacks: BTreeMap<(u64, u64), Callback>,
}

impl Watermark {
    pub(crate) fn new(durable: u64) -> Self {
        Self {
            durable: AtomicU64::new(durable),
            failure: OnceLock::new(),
            cells: std::array::from_fn(|_| Cell::default()),
            registrations: AtomicUsize::new(0),
            callbacks: AtomicUsize::new(0),
            registered: Mutex::default(),
        }
    }

    /// The highest group that survives power loss, with every one before it.
    pub(crate) fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    pub(crate) fn failure(&self) -> Option<&Error> {
        self.failure.get()
    }

    /// How waiting for `group` ends, if it has ended.
    pub(crate) fn outcome(&self, group: u64) -> Option<Result<(), Error>> {
        if self.durable() >= group {
            return Some(Ok(()));
        }
        let first = self.failure.get()?;
        // What was published before the failure stays acknowledged.
        Some(if self.durable() >= group { Ok(()) } else { Err(poisoned(first)) })
    }

    /// Moves the watermark up to `group` and wakes whom it passes.
    pub(crate) fn publish(&self, group: u64) {
        let before = self.durable.swap(group, Ordering::AcqRel);
        debug_assert!(before <= group, "the watermark only grows");
        let passed = usize::try_from(group - before).unwrap_or(CELLS).min(CELLS);
        fence(Ordering::SeqCst);
        for step in 0..passed as u64 {
            self.cell(group - step).wake_all();
        }
        self.wake_registered(|at| at <= group);
    }

    /// Ends every wait that is not over with `error`; only the first failure counts.
    pub(crate) fn fail(&self, error: Error) -> bool {
        let first = self.failure.set(error).is_ok();
        fence(Ordering::SeqCst);
        self.cells.iter().for_each(Cell::wake_all);
        self.wake_registered(|_| true);
        first
    }

    /// Sleeps until something happens to `group`, unless `still` says, after the sleeper has been announced, that
    /// there is nothing to wait for. May return for no reason.
    pub(crate) fn park(&self, group: u64, still: impl FnOnce() -> bool) {
        let cell = self.cell(group);
        let seen = cell.word.load(Ordering::Acquire);
        cell.waiters.fetch_add(1, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        if self.outcome(group).is_none() && still() {
            atomic_wait::wait(&cell.word, seen);
        }
        cell.waiters.fetch_sub(1, Ordering::SeqCst);
    }

    /// Wakes one thread that waits for a group in `groups`; false if none does.
    pub(crate) fn wake_one(&self, groups: std::ops::RangeInclusive<u64>) -> bool {
        groups.take(CELLS).any(|group| {
            let cell = self.cell(group);
            let waits = cell.waiters.load(Ordering::SeqCst) > 0;
            if waits {
                cell.word.fetch_add(1, Ordering::Release);
                atomic_wait::wake_one(&cell.word);
            }
            waits
        })
    }

    /// Has `waker` woken when waiting for `group` ends; `key` is that of an earlier registration to replace.
    pub(crate) fn register(&self, group: u64, key: Option<u64>, waker: &Waker) -> u64 {
        let mut registered = self.registered.lock();
        let key = key.unwrap_or_else(|| registered.key());
        if registered.wakers.insert((group, key), waker.clone()).is_none() {
            self.registrations.fetch_add(1, Ordering::SeqCst);
        }
        key
    }

    pub(crate) fn unregister(&self, group: u64, key: u64) {
        if self.registered.lock().wakers.remove(&(group, key)).is_some() {
            self.registrations.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// Leaves `callback` for [`Watermark::take_callback`] to hand out when waiting for `group` has ended.
    pub(crate) fn call_back(&self, group: u64, callback: Callback) {
        let mut registered = self.registered.lock();
        let key = registered.key();
        registered.callbacks.insert((group, key), callback);
        self.callbacks.fetch_add(1, Ordering::SeqCst);
    }

    /// The next callback that is due, with what it is to be told.
    pub(crate) fn take_callback(&self) -> Option<(Callback, Result<(), Error>)> {
        let mut registered = self.registered.lock();
        let (&(group, key), _) = registered.callbacks.first_key_value()?;
        let outcome = self.outcome(group)?;
        let callback = registered.callbacks.remove(&(group, key))?;
        self.callbacks.fetch_sub(1, Ordering::SeqCst);
        Some((callback, outcome))
    }

    pub(crate) fn has_due_callback(&self) -> bool {
        if self.callbacks.load(Ordering::SeqCst) == 0 {
            return false;
        }
        let registered = self.registered.lock();
        registered.callbacks.keys().next().is_some_and(|&(group, _)| self.outcome(group).is_some())
    }

    fn cell(&self, group: u64) -> &Cell {
        &self.cells[usize::try_from(group % CELLS as u64).unwrap_or_default()]
    }

    fn wake_registered(&self, due: impl Fn(u64) -> bool) {
        if self.registrations.load(Ordering::SeqCst) == 0 {
            return;
        }
        let mut woken = Vec::new();
        let mut registered = self.registered.lock();
        while let Some(entry) = registered.wakers.first_entry() {
            if !due(entry.key().0) {
                break;
            }
            woken.push(entry.remove());
        }
        self.registrations.fetch_sub(woken.len(), Ordering::SeqCst);
        drop(registered);
        woken.into_iter().for_each(Waker::wake);
    }
}

impl Cell {
    fn wake_all(&self) {
        if self.waiters.load(Ordering::SeqCst) > 0 {
            self.word.fetch_add(1, Ordering::Release);
            atomic_wait::wake_all(&self.word);
        }
    }
}

impl Registered {
    fn key(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

/// What every call after a failure is told.
pub(crate) fn poisoned(first: &Error) -> Error {
    Error::Poisoned { first: Arc::new(first.clone()) }
}
