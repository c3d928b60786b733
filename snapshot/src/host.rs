//! What the log whose directory the snapshots share does for them.

use std::{fmt, io};

/// The log beside which the snapshots lie. Called from whatever thread uses the snapshots.
pub trait Host: Send + Sync + fmt::Debug + 'static {
    /// A number that no other call, process or machine is likely to get: snapshots and their files are told apart by
    /// such numbers.
    fn nonce(&self) -> u64;

    /// A sync of a snapshot's file or of the directory failed. What the kernel knew of failed writes is gone with it,
    /// the log's own included: it must not acknowledge anything any more.
    fn sync_failed(&self, what: &str, error: &io::Error);

    /// There may be files to remove: [`Store::sweep`](crate::Store::sweep) does, at any later time.
    fn has_work(&self) {}
}
