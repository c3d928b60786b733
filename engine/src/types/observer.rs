//! Notifications of events that no call returns.

use std::{fmt::Debug, time::Duration};

use logboom_wal::Damage;

use crate::types::error::Error;

/// Receives events that no call returns: the progress of a long opening, a disk that hangs, a failed log.
///
/// Events of an open engine are delivered one at a time, on a thread of their own and with nothing locked: a slow
/// observer delays only later events, and it may use the engine and close it. The progress of an opening is delivered
/// on the opening thread. Panics are caught, and reported to [`Observer::panicked`]. Provided methods do nothing.
pub trait Observer: Send + Sync + Debug {
    /// Progress of an opening. Called at most a few times for each segment read.
    fn recovering(&self, progress: RecoveryProgress) {
        let _ = progress;
    }

    /// A disk operation takes longer than [`Config::stall_after`](crate::Config::stall_after), or the stall is over
    /// ([`Stall::lasts`] is `None` then).
    fn stalled(&self, stall: Stall) {
        let _ = stall;
    }

    /// The scrub found damage to durable data. Shards that lost entries go into
    /// [quarantine](crate::Shard::quarantine) soon; all others go on. Called again when the next scrub finds it.
    fn damaged(&self, damage: &Damage) {
        let _ = damage;
    }

    /// A write or a sync of the log failed: no batch is acknowledged any more, and every submit fails with
    /// [`Error::Poisoned`]. Called once.
    fn poisoned(&self, error: &Error) {
        let _ = error;
    }

    /// A panic, with its message: in a waker, a callback or this observer, without further effect; or in a thread or
    /// machine of the engine, named by `what`, which ends ([`Reason::Ended`](crate::Reason)).
    fn panicked(&self, what: &str, message: &str) {
        let _ = (what, message);
    }
}

/// The progress of an opening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecoveryProgress {
    /// Bytes of the log read so far.
    pub bytes_done: u64,
    /// The expected total of bytes to read.
    pub bytes_total: u64,
}

impl RecoveryProgress {
    pub(crate) fn new(bytes_done: u64, bytes_total: u64) -> Self {
        Self { bytes_done, bytes_total }
    }
}

/// A disk that hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stall {
    /// How long the oldest operation has been in flight; `None` when the stall is over.
    pub lasts: Option<Duration>,
}

impl Stall {
    pub(crate) fn new(waiting: Duration) -> Self {
        Self { lasts: Some(waiting).filter(|waiting| !waiting.is_zero()) }
    }
}
