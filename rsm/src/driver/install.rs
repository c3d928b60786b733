//! Installing a snapshot that another replica has sent.

use std::sync::Arc;

use logboom::snapshot::{Built, Manifest, Receiver, Stop};

use super::Driver;
use crate::{
    error::{Error, Result},
    machine::StateMachine,
};

impl<M: StateMachine> Driver<M> {
    /// Begins to receive the snapshot whose [manifest](logboom::snapshot::Lease::manifest_bytes) was sent ahead. The
    /// driver goes on meanwhile.
    ///
    /// # Errors
    /// [`Error::Stale`] when it is not newer than what is applied; [`Error::Engine`]; [`Error::Halted`].
    pub fn receive(&self, manifest: &[u8], stop: &Stop) -> Result<Receiver> {
        self.check()?;
        let receiver = self.engine.snapshots().receive(self.shard.id(), manifest, stop)?;
        self.check_newer(receiver.manifest())?;
        Ok(receiver)
    }

    /// Replaces log and state by a snapshot that was received: one batch makes it the shard's, resets the log to
    /// continue behind it, and sets the hard state if one is given; then the machine recovers from it. A crash
    /// anywhere leaves either the old or the new.
    ///
    /// A save that is under way is stopped, and what the machine was [shown](crate::PreCommit) is forgotten.
    ///
    /// # Errors
    /// [`Error::Stale`] when it is not newer than what is applied, and [`Error::Engine`]: nothing has changed then. A
    /// machine that fails to recover stops the driver; [`Error::Halted`].
    pub fn install(&mut self, built: &Built, hard_state: Option<&[u8]>) -> Result<Arc<Manifest>> {
        self.check()?;
        let manifest = Arc::clone(built.manifest());
        self.check_newer(&manifest)?;
        self.stop_job();
        let snapshots = self.engine.snapshots();
        snapshots.install(built, hard_state)?;
        // The log has moved from under the machine: from here on it is the new state or none.
        let lease = match snapshots.lease(self.shard.id(), manifest.id) {
            Ok(Some(lease)) => lease,
            Ok(None) => return Err(self.halt(Error::NoSnapshot { first: self.first() })),
            Err(error) => return Err(self.halt(error.into())),
        };
        self.recover_from(&lease).map_err(|error| self.halt(error))?;
        Ok(manifest)
    }

    fn check_newer(&self, manifest: &Manifest) -> Result<()> {
        match self.applied() {
            Some(applied) if manifest.index <= applied => Err(Error::Stale { applied, index: manifest.index }),
            _ => Ok(()),
        }
    }
}
