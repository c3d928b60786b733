//! The flag of a machine that parks until there is work.

use std::sync::atomic::Ordering;

use crate::runtime::sync::{AtomicBool, fence};

/// Whether a machine is parked. A waker adds work and then calls [`ParkFlag::wake`]; the machine calls
/// [`ParkFlag::prepare_to_park`] and then looks for work. In every order one of the two sees what the other did
/// (Dekker's pattern).
#[derive(Debug)]
pub(crate) struct ParkFlag(AtomicBool);

impl Default for ParkFlag {
    fn default() -> Self {
        Self(AtomicBool::new(true))
    }
}

impl ParkFlag {
    /// True if the caller must kick the machine. Cheap while the machine is awake.
    pub(crate) fn wake(&self) -> bool {
        fence(Ordering::SeqCst);
        self.0.load(Ordering::Relaxed) && self.0.swap(false, Ordering::Relaxed)
    }

    /// Call before looking for work: the machine parks if it finds none.
    pub(crate) fn prepare_to_park(&self) {
        self.0.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Call when the machine has found work, and will look again by itself.
    pub(crate) fn cancel_park(&self) {
        self.0.store(false, Ordering::Relaxed);
    }
}
