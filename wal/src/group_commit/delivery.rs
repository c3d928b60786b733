//! Delivery of notifications: wakers, callbacks and the listener are called with no lock held, by threads of their own
//! or, when those have ended, by the callers of the log.

use std::{
    sync::{Arc, Weak, atomic::Ordering},
    time::Duration,
};

use crate::{
    group_commit::log::Shared,
    runtime::{
        foreign::guarded,
        notices::Event,
        sync::OnceLock,
        worker::{Machine, Step, Worker},
    },
};

impl Shared {
    /// Wakes the futures that are due, in the caller's thread, which holds no lock.
    pub(crate) fn wake_due(&self) -> bool {
        let mut due = self.state.watermark.take_wakers();
        due.extend(self.notices.take_wakers());
        let any = !due.is_empty();
        self.notices.wake_now(due);
        any
    }

    /// Wakes the notifier, to wake the futures and run the callbacks that are due.
    pub(crate) fn notify(&self) {
        if self.state.watermark.has_due() {
            self.notices.kick();
        }
    }

    /// Wakes the futures that are due, and runs one callback; false if none was due.
    pub(crate) fn deliver_one(&self) -> bool {
        let woken = self.wake_due();
        let Some((callback, outcome)) = self.state.watermark.take_callback() else { return woken };
        if let Err(panic) = guarded(|| callback(outcome)) {
            self.notices.panicked("a callback", panic);
            // If the callback closed the log, its panic is reported here.
            self.deliver_events_if_closed();
        }
        true
    }

    /// Ends the threads of notifications. The watcher ends after the notifier, whose last work may produce an event.
    /// After that, the thread that adds a notification delivers it.
    pub(crate) fn close_notices(&self) {
        let stop = |worker: &OnceLock<Worker>| worker.get().into_iter().for_each(Worker::stop);
        stop(&self.notices.notifier);
        self.notices.closed.store(true, Ordering::SeqCst);
        while self.deliver_one() {}
        stop(&self.notices.watcher);
        self.deliver_events_if_closed();
    }

    /// Delivers notifications if the notifier has ended; the caller must hold no lock.
    pub(crate) fn deliver_if_closed(&self) {
        if self.notices.closed.load(Ordering::SeqCst) {
            while self.deliver_one() {}
            self.deliver_events_if_closed();
        }
    }

    /// Calls the listener with all events, if the watcher has ended.
    pub(crate) fn deliver_events_if_closed(&self) {
        if self.notices.closed.load(Ordering::SeqCst) {
            while self.deliver_event() {}
        }
    }

    /// Calls the listener with the next event; false if there is none.
    fn deliver_event(&self) -> bool {
        let Some(event) = self.notices.next_event() else { return false };
        let listener = &self.env.options.listener;
        let called = guarded(|| match &event {
            Event::Stalled(waiting) => listener.stalled(*waiting),
            Event::Damaged(damage) => listener.damaged(damage),
            Event::Poisoned(error) => listener.poisoned(error),
            Event::Panicked(what, message) => listener.panicked(what, message),
        });
        match (called, event) {
            (Ok(()), _) => {}
            // Reporting it would call the listener again, without end.
            (Err(panic), Event::Panicked(..)) => self.notices.count("the listener", &panic),
            (Err(panic), _) => self.notices.panicked("the listener", panic),
        }
        true
    }
}

/// Wakes futures and runs callbacks, one per step, on a thread where they delay only each other.
pub(crate) struct Notifier(Weak<Shared>);

impl Notifier {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        Self(Arc::downgrade(shared))
    }
}

impl Machine for Notifier {
    fn name(&self) -> &'static str {
        "notifier"
    }

    fn step(&mut self, _now: Duration) -> Step {
        let Some(shared) = self.0.upgrade() else { return Step::Done };
        if shared.deliver_one() { Step::Again } else { Step::Parked }
    }
}

/// Calls the listener, on a thread where it delays nothing else.
pub(crate) struct EventDispatcher(Weak<Shared>);

impl EventDispatcher {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        Self(Arc::downgrade(shared))
    }
}

impl Machine for EventDispatcher {
    fn name(&self) -> &'static str {
        "dispatcher"
    }

    fn step(&mut self, _now: Duration) -> Step {
        let Some(shared) = self.0.upgrade() else { return Step::Done };
        if shared.deliver_event() { Step::Again } else { Step::Parked }
    }
}
