//! A snapshot that is complete, and nobody's yet.
use std::sync::Arc;

use crate::Manifest;

/// A snapshot that is complete, synced and named, and not registered. Clones are the same; when the last goes and it
/// was not registered, its file is removed.
#[derive(Clone, Debug)]
pub struct Built(());

impl Built {
    /// What it consists of.
    pub fn manifest(&self) -> &Arc<Manifest> {
        unimplemented!()
    }
}
