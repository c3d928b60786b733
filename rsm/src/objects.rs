//! Snapshots as logical objects, which the receiver requests by number.

use bytes::Bytes;

use crate::{
    error::{Error, Failure, Result},
    machine::StateMachine,
};

/// A machine whose snapshots are sent and received object by object, as NuRaft does, not as a stream or a file.
///
/// The receiver says which object it wants next. Object 0 comes first; the machine defines the meaning of the others.
pub trait ObjectSnapshots: StateMachine {
    /// The state at one moment, being read.
    type Reading: ReadObjects;
    /// A state that is being received, beside the machine's own.
    type Receiving: ReceiveObjects;

    /// Returns a view of the current state, to be read in objects of about `object_bytes`; later updates do not change
    /// it. Any number may be open at a time; dropping one ends it.
    ///
    /// # Errors
    /// Any failure; the machine stays usable.
    fn read_objects(&self, object_bytes: usize) -> Result<Self::Reading, Failure>;

    /// Begins to receive a state. The machine's own state is unchanged; dropping the receiver discards what was
    /// received.
    ///
    /// # Errors
    /// Any failure; the machine stays usable.
    fn receive_objects(&self) -> Result<Self::Receiving, Failure>;

    /// Replaces the whole state with a completely received one, which includes everything up to and including `index`.
    ///
    /// # Errors
    /// As [`StateMachine::recover_from_snapshot`].
    fn recover_from_objects(&mut self, received: Self::Receiving, index: u64) -> Result<(), Failure>;
}

/// One object of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its number.
    pub id: u64,
    /// Its content; may be empty.
    pub data: Bytes,
    /// Whether it is the last object.
    pub last: bool,
}

/// A snapshot that is read object by object.
pub trait ReadObjects: Send + 'static {
    /// The object `id`: the same bytes each time, so that a transfer can resume.
    ///
    /// # Errors
    /// If the snapshot has no such object, or it cannot be read.
    fn read_object(&mut self, id: u64) -> Result<Object, Failure>;
}

/// A snapshot that is received object by object.
pub trait ReceiveObjects: Send + 'static {
    /// Takes an object, and returns the number of the next one (ignored after the last object). `first` is true for
    /// object 0 only; it comes again when a transfer restarts, and then everything received before is discarded.
    ///
    /// # Errors
    /// If the object is invalid. The transfer has failed; the machine stays usable.
    fn receive_object(&mut self, object: &Object, first: bool) -> Result<u64, Failure>;
}

/// The receiving end of a transfer; enforces the order of objects.
#[derive(Debug)]
pub struct Transfer<R> {
    receiving: R,
    /// The object that must come next; `None` after the last.
    wanted: Option<u64>,
}

impl<R: ReceiveObjects> Transfer<R> {
    /// A transfer that has received nothing.
    pub fn new(receiving: R) -> Self {
        Self { receiving, wanted: Some(0) }
    }

    /// The number of the object to request; `None` when the transfer is complete.
    pub fn wanted(&self) -> Option<u64> {
        self.wanted
    }

    /// Takes an object: the wanted one, or object 0 to restart.
    ///
    /// # Errors
    /// [`Error::Object`] for any other; [`Error::Machine`] when the machine rejects it, which ends the transfer.
    pub fn receive(&mut self, object: &Object) -> Result<()> {
        let first = object.id == 0;
        if self.wanted != Some(object.id) && !first {
            return Err(Error::Object { wanted: self.wanted, got: Some(object.id) });
        }
        let next = self
            .receiving
            .receive_object(object, first)
            .map_err(|failure| Error::machine("receive_object", failure))?;
        self.wanted = (!object.last).then_some(next);
        Ok(())
    }

    /// Returns the received state once the transfer is complete.
    ///
    /// # Errors
    /// [`Error::Object`] while an object is missing.
    pub fn finish(self) -> Result<R> {
        match self.wanted {
            None => Ok(self.receiving),
            Some(wanted) => Err(Error::Object { wanted: Some(wanted), got: None }),
        }
    }
}
