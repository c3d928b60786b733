//! `Lease`: the right to read a snapshot, which keeps its file.

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    manifest::Manifest,
    opened::{Entry, Opened},
    shared::Shared,
};

/// The right to read a snapshot: while a lease lives, the snapshot's file is not deleted, even when a newer one is
/// registered, and the shard's log above its index is kept.
///
/// Each clone is a lease too. Any thread may use and drop them.
#[derive(Debug)]
#[must_use = "the snapshot stays only while the lease lives"]
pub struct Lease {
    pub(crate) shared: Arc<Shared>,
    entry: Arc<Entry>,
    pub(crate) opened: Arc<Opened>,
}

impl Lease {
    /// Wraps a lease that is counted already.
    pub(crate) fn new(shared: Arc<Shared>, entry: Arc<Entry>, opened: Arc<Opened>) -> Self {
        Self { shared, entry, opened }
    }

    /// The snapshot's manifest.
    pub fn manifest(&self) -> &Arc<Manifest> {
        &self.opened.manifest
    }

    /// The manifest as it is sent ahead of the chunks, to [`Store::receive`](crate::Store::receive).
    pub fn manifest_bytes(&self) -> Bytes {
        self.opened.manifest_bytes.clone()
    }
}

impl Clone for Lease {
    fn clone(&self) -> Self {
        self.shared.lease_again(&self.entry);
        Self::new(Arc::clone(&self.shared), Arc::clone(&self.entry), Arc::clone(&self.opened))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.shared.release(&self.entry);
    }
}
