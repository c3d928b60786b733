//! `Host`: what the snapshots need of the log whose directory they share.

use std::{fmt, io};

/// The log beside the snapshots. Called from any thread that uses the snapshots.
pub trait Host: Send + Sync + fmt::Debug + 'static {
    /// A random number that is unique over calls, processes and machines: it identifies snapshots and their files.
    fn nonce(&self) -> u64;

    /// A sync of a snapshot's file or of the directory failed. The kernel reports a failed write once, so this error
    /// may be about the log's own writes: the log must not acknowledge anything any more.
    fn sync_failed(&self, what: &str, error: &io::Error);

    /// There may be files for [`Store::sweep`](crate::Store::sweep) to remove; it may run at any later time.
    fn has_work(&self) {}
}
