//! Installing a snapshot from another replica.

use std::sync::Arc;

use logboom::snapshot::{Built, Manifest, Receiver, Stop};

use super::Driver;
use crate::{
    error::{Error, Result},
    machine::StateMachine,
};

impl<M: StateMachine> Driver<M> {
    /// Begins to receive the snapshot of this [manifest](logboom::snapshot::Lease::manifest_bytes). The driver
    /// continues meanwhile.
    ///
    /// # Errors
    /// [`Error::Stale`] when it is not newer than the applied state; [`Error::Engine`]; [`Error::Halted`].
    pub fn receive(&self, manifest: &[u8], stop: &Stop) -> Result<Receiver> {
        self.check()?;
        let receiver = self.engine.snapshots().receive(self.shard.id(), manifest, stop)?;
        self.check_newer(receiver.manifest())?;
        Ok(receiver)
    }

    /// Replaces log and state by a received snapshot: one batch registers it, resets the log to continue behind it, and
    /// sets the hard state if one is given; then the machine recovers from it. A crash leaves either the old or the
    /// new.
    ///
    /// Stops a running save, and discards [preparations](crate::PreCommit) of the machine.
    ///
    /// # Errors
    /// [`Error::Stale`] when it is not newer than the applied state, and [`Error::Engine`]: nothing has changed. A
    /// machine that fails to recover stops the driver; [`Error::Halted`].
    pub fn install(&mut self, built: &Built, hard_state: Option<&[u8]>) -> Result<Arc<Manifest>> {
        self.check()?;
        let manifest = Arc::clone(built.manifest());
        self.check_newer(&manifest)?;
        self.stop_job();
        let snapshots = self.engine.snapshots();
        snapshots.install(built, hard_state)?;
        // The log no longer matches the old state: the machine must recover or stop.
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
