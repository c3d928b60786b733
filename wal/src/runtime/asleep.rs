//! A flag for machines that park until there is work.

use std::sync::atomic::Ordering;

use crate::runtime::sync::{AtomicBool, fence};

/// Whether a machine is parked. A waker changes what the machine looks at and then calls [`Asleep::wake`]; the machine
/// calls [`Asleep::doze`] and then looks. In every order one of the two sees what the other did (Dekker's pattern).
#[derive(Debug)]
pub(crate) struct Asleep(AtomicBool);

impl Default for Asleep {
    fn default() -> Self {
        Self(AtomicBool::new(true))
    }
}

impl Asleep {
    /// True if the caller must kick the machine. Cheap while the machine is awake.
    pub(crate) fn wake(&self) -> bool {
        fence(Ordering::SeqCst);
        self.0.load(Ordering::Relaxed) && self.0.swap(false, Ordering::Relaxed)
    }

    /// Call before looking for work: the machine parks if it finds none.
    pub(crate) fn doze(&self) {
        self.0.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Call when the machine has found work, and will look again by itself.
    pub(crate) fn stay_awake(&self) {
        self.0.store(false, Ordering::Relaxed);
    }
}
