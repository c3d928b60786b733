//! `Built`: a complete snapshot that is not registered yet.

use std::sync::Arc;

use crate::{
    lease::Lease,
    manifest::Manifest,
    opened::{Entry, Opened},
    registered::Registered,
    shared::Shared,
};

/// A complete, durable snapshot that is not registered yet. Clones are the same snapshot; dropping the last one of an
/// unregistered snapshot removes its file.
#[derive(Clone, Debug)]
#[must_use = "the file is removed unless the snapshot is registered"]
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

    /// The snapshot's manifest.
    pub fn manifest(&self) -> &Arc<Manifest> {
        &self.0.opened.manifest
    }

    /// The log's record of it.
    pub fn registration(&self) -> Registered {
        self.0.entry.registered
    }

    /// A lease, to read it before and after it is registered.
    pub fn lease(&self) -> Lease {
        self.0.shared.lease_again(&self.0.entry);
        Lease::new(Arc::clone(&self.0.shared), Arc::clone(&self.0.entry), Arc::clone(&self.0.opened))
    }

    /// Whether it can still be registered, because it was not registered before.
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
