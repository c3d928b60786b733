//! Wakers, callbacks and the listener are called here, with nothing locked, by threads of theirs or by who comes by.

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
    /// Wakes the futures that wait for what has come, in the caller's thread, which has nothing locked.
    pub(crate) fn wake_due(&self) -> bool {
        let mut due = self.state.watermark.take_wakers();
        due.extend(self.notices.take_wakers());
        let any = !due.is_empty();
        self.notices.wake_now(due);
        any
    }

    /// Has the notifier wake the futures and call the callbacks that are due.
    pub(crate) fn notify(&self) {
        if self.state.watermark.is_anyone_due() {
            self.notices.kick();
        }
    }

    /// Wakes the futures that are due, and calls one callback; false if there was none of either.
    pub(crate) fn attend(&self) -> bool {
        let woken = self.wake_due();
        let Some((callback, outcome)) = self.state.watermark.take_callback() else { return woken };
        if let Err(panic) = guarded(|| callback(outcome)) {
            self.notices.panicked("a callback", panic);
            // One that closes the log panics when that is closed.
            self.tell_if_closed();
        }
        true
    }

    /// Ends the threads of the notices. What the notifier was at when it ended may have something for the listener, so
    /// that one's ends after it; from now on the thread that brings something attends to it, as no other does.
    pub(crate) fn close_notices(&self) {
        let stop = |worker: &OnceLock<Worker>| worker.get().into_iter().for_each(Worker::stop);
        stop(&self.notices.notifier);
        self.notices.closed.store(true, Ordering::SeqCst);
        while self.attend() {}
        stop(&self.notices.watcher);
        self.tell_if_closed();
    }

    /// What was brought when the notifier had ended, or ended meanwhile; by a caller that has nothing locked.
    pub(crate) fn attend_if_closed(&self) {
        if self.notices.closed.load(Ordering::SeqCst) {
            while self.attend() {}
            self.tell_if_closed();
        }
    }

    /// Tells the listener what there is to tell, when no thread of the notices does.
    pub(crate) fn tell_if_closed(&self) {
        if self.notices.closed.load(Ordering::SeqCst) {
            while self.tell_next() {}
        }
    }

    /// Tells the listener the next thing; false if there is none.
    fn tell_next(&self) -> bool {
        let Some(event) = self.notices.next_event() else { return false };
        let listener = &self.env.options.listener;
        let told = guarded(|| match &event {
            Event::Stalled(waiting) => listener.stalled(*waiting),
            Event::Damaged(damage) => listener.damaged(damage),
            Event::Poisoned(error) => listener.poisoned(error),
            Event::Panicked(what, message) => listener.panicked(what, message),
        });
        match (told, event) {
            (Ok(()), _) => {}
            // It would be told of itself for ever.
            (Err(panic), Event::Panicked(..)) => self.notices.count("the listener", &panic),
            (Err(panic), _) => self.notices.panicked("the listener", panic),
        }
        true
    }
}

/// Wakes futures and runs callbacks, one a step, on a thread where they delay nothing but each other.
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
        if shared.attend() { Step::Again } else { Step::Parked }
    }
}

/// Tells the listener what happens, on a thread where it delays nothing else.
pub(crate) struct Teller(Weak<Shared>);

impl Teller {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        Self(Arc::downgrade(shared))
    }
}

impl Machine for Teller {
    fn name(&self) -> &'static str {
        "teller"
    }

    fn step(&mut self, _now: Duration) -> Step {
        let Some(shared) = self.0.upgrade() else { return Step::Done };
        if shared.tell_next() { Step::Again } else { Step::Parked }
    }
}
