//! `Alarm`: another thread ends a wait for completions.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::event::{EventfdFlags, eventfd};

use crate::disk::Wake;

/// An event descriptor that the ring polls, and two flags, so that it is written only while a thread sleeps.
///
/// The sleeper says that it sleeps, then looks whether the alarm has rung; the waker rings, then checks for a sleeper.
/// All in one total order (`SeqCst`), so at least one of the two sees the other.
#[derive(Debug)]
pub(super) struct Alarm {
    rung: AtomicBool,
    sleeping: AtomicBool,
    event: OwnedFd,
}

impl Alarm {
    pub(super) fn new() -> io::Result<Self> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Alarm { rung: AtomicBool::new(false), sleeping: AtomicBool::new(false), event })
    }

    /// Whether it rang since the last call.
    pub(super) fn take(&self) -> bool {
        self.rung.load(Ordering::Relaxed) && self.rung.swap(false, Ordering::SeqCst)
    }

    /// Runs `wait` with the event descriptor in use, unless the alarm has rung.
    pub(super) fn guard(&self, wait: impl FnOnce()) {
        self.sleeping.store(true, Ordering::SeqCst);
        if !self.rung.load(Ordering::SeqCst) {
            wait();
        }
        self.sleeping.store(false, Ordering::SeqCst);
    }

    /// Makes the event descriptor quiet again.
    ///
    /// A waker that was late may still write it; then a later sleeper wakes, finds that the alarm has not rung, and
    /// sleeps again.
    pub(super) fn quiet(&self) {
        // It may be empty already.
        rustix::io::read(&self.event, &mut [0; 8]).unwrap_or_default();
    }
}

impl Wake for Alarm {
    fn wake(&self) {
        let rung_before = self.rung.swap(true, Ordering::SeqCst);
        if !rung_before && self.sleeping.load(Ordering::SeqCst) {
            // Any number but zero will do. It fails only when the counter is full, and then the sleeper is being woken.
            rustix::io::write(&self.event, &[1; 8]).unwrap_or_default();
        }
    }
}

impl AsFd for Alarm {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}
