//! What the engine tells without being asked.

use std::{fmt::Debug, time::Duration};

use logboom_wal::Damage;

use crate::types::error::Error;

/// Is told of what no caller waits for: the progress of a long opening, a disk that stopped answering, a failed log.
///
/// What happens to an open engine is told on a thread that does nothing else, one thing after the other and with
/// nothing locked: an observer delays nothing but what it is told next, may use the engine, and may close it. The
/// progress of an opening is told on the opening thread. Panics are caught, and told. Each method does nothing unless
/// provided.
pub trait Observer: Send + Sync + Debug {
    /// Opening has come further. Called at most a few times for each segment read.
    fn recovering(&self, progress: RecoveryProgress) {
        let _ = progress;
    }

    /// The disk has not answered for long, or answers again ([`Stall::lasts`] is `None` then).
    fn stalled(&self, stall: Stall) {
        let _ = stall;
    }

    /// The background reading came by something durable that is not what was written. Shards whose entries are lost by
    /// it are put in [quarantine](crate::Shard::quarantine) soon; everything else goes on. Called again when the next
    /// reading comes by.
    fn damaged(&self, damage: &Damage) {
        let _ = damage;
    }

    /// A write or a sync of the log failed: from now on nothing is acknowledged, and every submit fails with
    /// [`Error::Poisoned`]. Called once.
    fn poisoned(&self, error: &Error) {
        let _ = error;
    }

    /// Something has panicked, with this message: a waker, a callback or this observer, which costs nothing else; or a
    /// thread or machine of the engine's own, by its name, which ends with that ([`Reason::Ended`](crate::Reason)).
    fn panicked(&self, what: &str, message: &str) {
        let _ = (what, message);
    }
}

/// How far the opening of a log has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecoveryProgress {
    /// Bytes of the log read so far.
    pub bytes_done: u64,
    /// Bytes that will be read in all, as far as is known.
    pub bytes_total: u64,
}

impl RecoveryProgress {
    pub(crate) fn new(bytes_done: u64, bytes_total: u64) -> Self {
        Self { bytes_done, bytes_total }
    }
}

/// A disk that does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stall {
    /// How long the oldest operation has been in flight; `None` when it is over.
    pub lasts: Option<Duration>,
}

impl Stall {
    pub(crate) fn new(waiting: Duration) -> Self {
        Self { lasts: Some(waiting).filter(|waiting| !waiting.is_zero()) }
    }
}
