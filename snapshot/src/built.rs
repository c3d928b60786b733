//! A snapshot that is complete, and nobody's yet.

use std::sync::Arc;

use crate::{
    lease::Lease,
    manifest::Manifest,
    opened::{Entry, Opened},
    registered::Registered,
    shared::Shared,
};

/// A snapshot that is complete, synced and named, and not registered. Clones are the same; when the last goes and it
/// was not registered, its file is removed.
#[derive(Clone, Debug)]
pub struct Built(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    entry: Arc<Entry>,
    opened: Arc<Opened>,
}

impl Built {
    pub(crate) fn new(shared: Arc<Shared>, entry: Arc<Entry>, opened: Arc<Opened>) -> Self {
        Self(Arc::new(Inner { shared, entry, opened }))
    }

    /// What it consists of.
    pub fn manifest(&self) -> &Arc<Manifest> {
        &self.0.opened.manifest
    }

    /// What the log is to record of it.
    pub fn registration(&self) -> Registered {
        self.0.entry.registered
    }

    /// A lease, by which it can be read before it is registered, and after.
    pub fn lease(&self) -> Lease {
        self.0.shared.lease_again(&self.0.entry);
        Lease::new(Arc::clone(&self.0.shared), Arc::clone(&self.0.entry), Arc::clone(&self.0.opened))
    }

    /// Whether it can still be registered: it was not yet, and these are the snapshots that it was made beside.
    pub fn is_unclaimed(&self) -> bool {
        self.0.shared.is_unclaimed(self.0.entry.registered.file)
    }

    pub(crate) fn is_of(&self, shared: &Arc<Shared>) -> bool {
        Arc::ptr_eq(&self.0.shared, shared)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.abandon(self.entry.registered.file);
    }
}
