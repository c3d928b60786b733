//! `Keep`: holds every snapshot's file for a while, for a copy of the directory.

use std::{fmt, sync::Arc};

use crate::{
    error::Result,
    medium::{COMPLETE, complete_name},
    shared::Shared,
};

/// While this lives, no file of a complete snapshot is removed, so that the directory can be copied.
pub struct Keep(Arc<Shared>);

impl Keep {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        shared.keep();
        Self(Arc::clone(shared))
    }

    /// The names of the files of all complete snapshots: all that were registered at any time since this was created,
    /// and possibly others.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) when the directory cannot be listed.
    pub fn files(&self) -> Result<Vec<String>> {
        let complete = |(prefix, number): (&str, u64)| (prefix == COMPLETE).then(|| complete_name(number));
        Ok(self.0.files()?.into_iter().filter_map(complete).collect())
    }
}

impl Drop for Keep {
    fn drop(&mut self) {
        self.0.let_go();
    }
}

impl fmt::Debug for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keep")
    }
}
