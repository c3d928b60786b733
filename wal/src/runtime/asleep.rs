//! Machines that sleep until there is something to look at.

use std::sync::atomic::Ordering;

use crate::runtime::sync::{AtomicBool, fence};

/// Whether a machine sleeps for good. Its waker changes what the machine looks at and then asks [`Asleep::wake`]; the
/// machine says [`Asleep::doze`] and then looks. Of the two, in whatever order, one sees what the other did.
#[derive(Debug)]
pub(crate) struct Asleep(AtomicBool);

impl Default for Asleep {
    fn default() -> Self {
        Self(AtomicBool::new(true))
    }
}

impl Asleep {
    /// True if the machine is to be kicked, which its caller does then. Cheap while it is awake.
    pub(crate) fn wake(&self) -> bool {
        fence(Ordering::SeqCst);
        self.0.load(Ordering::Relaxed) && self.0.swap(false, Ordering::Relaxed)
    }

    /// The machine is about to look, and sleeps if it finds nothing.
    pub(crate) fn doze(&self) {
        self.0.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// The machine has found something and will look again by itself.
    pub(crate) fn stay_awake(&self) {
        self.0.store(false, Ordering::Relaxed);
    }
}
