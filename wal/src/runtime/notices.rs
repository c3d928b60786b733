//! What is told to those whose code is not ours, where it can hold up nothing: wakers and callbacks on a thread of
//! theirs, what happens to the log on another. What they panic with is told as well, and costs nothing else.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Waker,
    time::Duration,
};

use crate::{
    runtime::{
        foreign::guarded,
        sync::{AtomicBool, AtomicUsize, Mutex, OnceLock},
        worker::Worker,
    },
    types::{damage::Damage, error::Error},
};

/// Something that the listener is told.
#[derive(Debug)]
pub(crate) enum Event {
    Stalled(Duration),
    Damaged(Damage),
    Poisoned(Error),
    Panicked(&'static str, Arc<str>),
}

/// What is still to be told, and by whom.
#[derive(Default)]
pub(crate) struct Notices {
    /// Wakers that are due, besides those of tickets.
    wakers: Mutex<Vec<Waker>>,
    waiting: AtomicUsize,
    events: Mutex<VecDeque<Event>>,
    /// The threads have ended: who brings something attends to it.
    pub(crate) closed: AtomicBool,
    panics: AtomicU64,
    /// Wakes, and calls back.
    pub(crate) notifier: OnceLock<Worker>,
    /// Looks whether the device answers, and tells the listener.
    pub(crate) watcher: OnceLock<Worker>,
}

impl Notices {
    /// Has the wakers woken, soon, by the notifier; when that has ended, by who comes by with nothing locked.
    pub(crate) fn wake(&self, mut wakers: Vec<Waker>) {
        if wakers.is_empty() {
            return;
        }
        let mut waiting = self.wakers.lock();
        self.waiting.fetch_add(wakers.len(), Ordering::SeqCst);
        waiting.append(&mut wakers);
        drop(waiting);
        self.kick();
    }

    pub(crate) fn kick(&self) {
        if let Some(notifier) = self.notifier.get() {
            notifier.kick();
        }
    }

    /// Has the listener told, soon, by the watcher.
    pub(crate) fn tell(&self, event: Event) {
        self.events.lock().push_back(event);
        if let Some(watcher) = self.watcher.get() {
            watcher.kick();
        }
    }

    /// How often code that is not ours has panicked.
    pub(crate) fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    /// Notes that something has panicked, and goes on.
    pub(crate) fn panicked(&self, what: &'static str, message: Arc<str>) {
        self.count(what, &message);
        self.tell(Event::Panicked(what, message));
    }

    pub(crate) fn count(&self, what: &str, message: &str) {
        self.panics.fetch_add(1, Ordering::Relaxed);
        tracing::error!(what, message, "a panic was caught");
    }

    pub(crate) fn take_wakers(&self) -> Vec<Waker> {
        if self.waiting.load(Ordering::SeqCst) == 0 {
            return Vec::new();
        }
        let mut wakers = self.wakers.lock();
        self.waiting.store(0, Ordering::SeqCst);
        std::mem::take(&mut *wakers)
    }

    pub(crate) fn wake_now(&self, wakers: Vec<Waker>) {
        for waker in wakers {
            if let Err(panic) = guarded(|| waker.wake()) {
                self.panicked("a waker", panic);
            }
        }
    }

    pub(crate) fn next_event(&self) -> Option<Event> {
        self.events.lock().pop_front()
    }
}
