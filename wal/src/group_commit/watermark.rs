//! The durable watermark: a number that only grows, and the waiters for it to reach theirs.
//!
//! A group is complete when its number is at most this number. So waiting allocates nothing, and acknowledgement is in
//! prefix order by construction.

use std::{sync::atomic::Ordering, task::Waker};

use event_listener::{Event, EventListener, IntoNotification};

use crate::{
    group_commit::{wait_queue::WaitQueue, wakers::Wakers},
    runtime::sync::{AtomicU32, AtomicU64, MODELLED, OnceLock, fence, wait, wake_all, wake_one},
    types::error::Error,
};

/// Waiters for group n sleep in cell n mod this: one wake-up call reaches all waiters of a group, and few others.
pub(crate) const CELLS: usize = if MODELLED { 1 } else { 64 };

/// Set in the watermark's word when acknowledgement has ended for good, so that the watermark does not move after that:
/// all callers get the same answer for a group.
const ENDED: u64 = 1 << 63;

pub(crate) type Callback = Box<dyn FnOnce(Result<(), Error>) + Send>;

/// See the module.
pub(crate) struct Watermark {
    /// The watermark, and [`ENDED`].
    durable: AtomicU64,
    /// Set before [`ENDED`] is, and read after it.
    failure: OnceLock<Error>,
    cells: [WaitCell; CELLS],
    /// Wakers of awaited tickets, by group.
    pub(crate) wakers: Wakers,
    /// Callbacks, by the group that each waits for.
    callbacks: WaitQueue<Callback>,
}

#[derive(Default)]
#[repr(align(64))]
struct WaitCell {
    /// The futex word of waiters; changes with every event of the cell's groups.
    word: AtomicU32,
    waiters: AtomicU32,
    /// Where threads with a bound wait: a futex word has none.
    bounded: Event,
}

impl Watermark {
    pub(crate) fn new(durable: u64) -> Self {
        Self {
            durable: AtomicU64::new(durable),
            failure: OnceLock::new(),
            cells: std::array::from_fn(|_| WaitCell::default()),
            wakers: Wakers::default(),
            callbacks: WaitQueue::default(),
        }
    }

    /// The highest group that survives power loss, as do all groups before it.
    pub(crate) fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire) & !ENDED
    }

    pub(crate) fn failure(&self) -> Option<&Error> {
        if self.durable.load(Ordering::Acquire) & ENDED == 0 { None } else { self.failure.get() }
    }

    /// The outcome of waiting for `group`, if the wait has ended.
    pub(crate) fn outcome(&self, group: u64) -> Option<Result<(), Error>> {
        // One load for both: what was published before the failure stays acknowledged, and nothing else is.
        let word = self.durable.load(Ordering::Acquire);
        match () {
            () if word & !ENDED >= group => Some(Ok(())),
            () if word & ENDED != 0 => self.failure.get().map(|first| Err(poisoned(first))),
            () => None,
        }
    }

    /// Moves the watermark up to `group`, and wakes the threads that wait for groups up to it, unless acknowledgement
    /// has ended. Futures and callbacks that [are due](Self::has_due) are left to a thread that may run foreign
    /// code.
    pub(crate) fn publish(&self, group: u64) {
        let moved = |durable: u64| (durable & ENDED == 0).then_some(group);
        let Ok(before) = self.durable.fetch_update(Ordering::AcqRel, Ordering::Acquire, moved) else { return };
        debug_assert!(before <= group, "the watermark only grows");
        let scanned = usize::try_from(group - before).unwrap_or(CELLS).min(CELLS);
        fence(Ordering::SeqCst);
        for step in 0..scanned as u64 {
            self.cell(group - step).wake_all();
        }
    }

    /// Ends all pending waits with `error`; only the first failure counts. Wakes as [`Watermark::publish`] does.
    pub(crate) fn fail(&self, error: Error) -> bool {
        let first = self.failure.set(error).is_ok();
        self.durable.fetch_or(ENDED, Ordering::AcqRel);
        fence(Ordering::SeqCst);
        self.cells.iter().for_each(WaitCell::wake_all);
        first
    }

    /// Sleeps until an event of `group`, unless `still`, called after the sleeper is registered, says that there is
    /// nothing to wait for. May return spuriously.
    pub(crate) fn park(&self, group: u64, still: impl FnOnce() -> bool) {
        let cell = self.cell(group);
        let seen = cell.word.load(Ordering::Acquire);
        cell.waiters.fetch_add(1, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        if self.outcome(group).is_none() && still() {
            wait(&cell.word, seen);
        }
        cell.waiters.fetch_sub(1, Ordering::SeqCst);
    }

    /// Registers a thread that is to sleep until an event of `group`, or a deadline. The thread looks at the
    /// [outcome](Self::outcome) between this and its sleep: the publisher sees it, or it sees the publication.
    pub(crate) fn listen(&self, group: u64) -> EventListener {
        self.cell(group).bounded.listen()
    }

    /// Wakes one thread that waits for a group in `groups`; false if there is none.
    pub(crate) fn wake_one(&self, groups: std::ops::RangeInclusive<u64>) -> bool {
        groups.take(CELLS).any(|group| {
            let cell = self.cell(group);
            let waits = cell.waiters.load(Ordering::SeqCst) > 0;
            if waits {
                cell.word.fetch_add(1, Ordering::Release);
                wake_one(&cell.word);
            }
            waits
        })
    }

    /// Registers `callback` for [`Watermark::take_callback`], due when the wait for `group` has ended. Either the
    /// publisher sees it, or the caller sees the publication.
    pub(crate) fn call_back(&self, group: u64, callback: Callback) {
        self.callbacks.register(group, None, callback);
    }

    /// Takes the next callback that is due, with its argument.
    pub(crate) fn take_callback(&self) -> Option<(Callback, Result<(), Error>)> {
        self.callbacks.take_first(|group| self.outcome(group))
    }

    /// Takes the wakers of futures whose waits have ended.
    pub(crate) fn take_wakers(&self) -> Vec<Waker> {
        self.wakers.take(|group| self.outcome(group).is_some())
    }

    /// Whether a future is to be woken or a callback to be run.
    pub(crate) fn has_due(&self) -> bool {
        let is_due = |group| self.outcome(group).is_some();
        self.wakers.has(is_due) || self.callbacks.has(is_due)
    }

    /// The number of registered wakers and callbacks.
    #[cfg(all(loom, test))]
    pub(crate) fn registered(&self) -> (usize, usize) {
        (self.wakers.len(), self.callbacks.len())
    }

    fn cell(&self, group: u64) -> &WaitCell {
        &self.cells[usize::try_from(group % CELLS as u64).unwrap_or_default()]
    }
}

impl WaitCell {
    /// Behind a fence, which the caller shares among the cells.
    fn wake_all(&self) {
        self.bounded.notify(usize::MAX.relaxed());
        if self.waiters.load(Ordering::SeqCst) > 0 {
            self.word.fetch_add(1, Ordering::Release);
            wake_all(&self.word);
        }
    }
}

/// The error of every call after `first`.
pub(crate) fn poisoned(first: &Error) -> Error {
    Error::Poisoned { first: first.clone().into() }
}
