//! Sending and installing snapshots as logical objects.

use bytes::Bytes;
use logboom::EntryId;

use super::Driver;
use crate::{
    error::{Error, Result},
    objects::{ObjectSnapshots, Transfer},
    policy::Trigger,
    save::SaveJob,
};

/// A state that is read object by object, with its index, term and membership.
#[derive(Debug)]
#[non_exhaustive]
pub struct ObjectStream<R> {
    /// The last entry that the state includes.
    pub at: EntryId,
    /// The membership as of that entry, as far as the core set it.
    pub membership: Bytes,
    /// The objects.
    pub objects: R,
}

impl<M: ObjectSnapshots> Driver<M> {
    /// The machine's current state, to be sent in objects of about `object_bytes`; `None` if nothing was applied.
    ///
    /// Holds no log: call [`Driver::follow`] for the receiver with the index behind the state.
    ///
    /// # Errors
    /// [`Error::Machine`], [`Error::Halted`].
    pub fn read_objects(&self, object_bytes: usize) -> Result<Option<ObjectStream<M::Reading>>> {
        self.check()?;
        let cell = self.cell.read();
        let current = cell.get()?;
        let Some((index, term)) = current.applied else { return Ok(None) };
        let objects =
            current.machine.read_objects(object_bytes).map_err(|failure| Error::machine("read_objects", failure))?;
        Ok(Some(ObjectStream { at: EntryId { index, term }, membership: current.membership.clone(), objects }))
    }

    /// Begins to receive a state. The driver continues meanwhile.
    ///
    /// # Errors
    /// [`Error::Machine`], [`Error::Halted`].
    pub fn receive_objects(&self) -> Result<Transfer<M::Receiving>> {
        self.check()?;
        let receiving = self.cell.read().get()?.machine.receive_objects();
        Ok(Transfer::new(receiving.map_err(|failure| Error::machine("receive_objects", failure))?))
    }

    /// Replaces state and log by the received state, which includes everything up to and including `at`: the machine
    /// recovers from it and is made durable (saved as a snapshot, unless it keeps its own state), and then one batch
    /// resets the log, sets the hard state if one is given, and registers the snapshot. A crash leaves either the old
    /// or the new.
    ///
    /// # Errors
    /// [`Error::Object`] when objects are missing, [`Error::Stale`] when it is not newer than the applied state:
    /// nothing has changed. Anything else stops the driver; [`Error::Halted`].
    pub fn install_objects(
        &mut self,
        received: Transfer<M::Receiving>,
        at: EntryId,
        membership: Bytes,
        hard_state: Option<&[u8]>,
    ) -> Result<()> {
        self.check()?;
        let received = received.finish()?;
        if let Some(applied) = self.applied().filter(|applied| at.index <= *applied) {
            return Err(Error::Stale { applied, index: at.index });
        }
        self.stop_job();
        self.replace(received, at, membership, hard_state).map_err(|error| self.halt(error))
    }

    fn replace(
        &mut self,
        received: M::Receiving,
        at: EntryId,
        membership: Bytes,
        hard_state: Option<&[u8]>,
    ) -> Result<()> {
        if self.keeping.is_some() {
            self.note_intent(at, hard_state)?;
        }
        {
            let mut cell = self.cell.write();
            let current = cell.get()?;
            current
                .machine
                .recover_from_objects(received, at.index)
                .map_err(|failure| Error::machine("recover_from_objects", failure))?;
            current.applied = Some((at.index, at.term));
            current.membership = membership;
        }
        if self.keeping.is_some() {
            self.sync()?;
            self.fulfil_intent(at, hard_state)?;
        } else {
            self.save_and_install(hard_state)?;
        }
        self.stand_at(at.index, at.term)
    }

    fn save_and_install(&self, hard_state: Option<&[u8]>) -> Result<()> {
        let (id, codec) = (self.shard.id(), self.options.codec);
        let job = SaveJob::new(&self.engine, id, codec, &self.cell, &self.saving, Trigger::Request)?;
        let Some(job) = job else { return Ok(()) };
        self.engine.snapshots().install(&job.run().outcome?, hard_state)?;
        Ok(())
    }
}
