//! Notifications to foreign code, on threads of their own so that they block nothing: one wakes wakers and runs
//! callbacks, the other calls the listener. A panic of theirs is counted and reported, and has no other effect.

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

/// An event for the listener.
#[derive(Debug)]
pub(crate) enum Event {
    Stalled(Duration),
    Damaged(Damage),
    Poisoned(Error),
    Panicked(&'static str, Arc<str>),
}

/// Pending notifications, and the threads that deliver them.
#[derive(Default)]
pub(crate) struct Notices {
    /// Wakers to wake, besides those of tickets.
    wakers: Mutex<Vec<Waker>>,
    waiting: AtomicUsize,
    events: Mutex<VecDeque<Event>>,
    /// The threads have ended: the caller that adds a notification delivers it.
    pub(crate) closed: AtomicBool,
    panics: AtomicU64,
    /// Wakes wakers and runs callbacks.
    pub(crate) notifier: OnceLock<Worker>,
    /// Detects stalls of the device, and calls the listener.
    pub(crate) watcher: OnceLock<Worker>,
}

impl Notices {
    /// Queues wakers for the notifier; when that has ended, the next caller that holds no lock wakes them.
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

    /// Queues an event for the watcher to deliver.
    pub(crate) fn report(&self, event: Event) {
        self.events.lock().push_back(event);
        if let Some(watcher) = self.watcher.get() {
            watcher.kick();
        }
    }

    /// The number of panics of foreign code.
    pub(crate) fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    /// Counts a panic, and reports it to the listener.
    pub(crate) fn panicked(&self, what: &'static str, message: Arc<str>) {
        self.count(what, &message);
        self.report(Event::Panicked(what, message));
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
