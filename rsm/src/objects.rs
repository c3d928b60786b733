//! Snapshots as logical objects: asked for by number, whatever the machine makes of the numbers.

use bytes::Bytes;

use crate::{
    error::{Error, Failure, Result},
    machine::StateMachine,
};

/// A machine whose snapshots can be sent and received object by object, as NuRaft does: no stream of bytes, no file.
///
/// The receiver says which object it wants next. Object 0 comes first; what the others are is between the two sides,
/// which are the same machine on two replicas.
pub trait ObjectSnapshots: StateMachine {
    /// The state at one moment, being read.
    type Reading: ReadObjects;
    /// A state that is being received, beside the machine's own.
    type Receiving: ReceiveObjects;

    /// The state as it is now, to be read in objects of about `object_bytes`; later updates leave it alone. Any number
    /// may be read at the same time; dropping one ends it.
    ///
    /// # Errors
    /// Whatever keeps it from being read now; the machine goes on.
    fn read_objects(&self, object_bytes: usize) -> Result<Self::Reading, Failure>;

    /// Begins to receive. The machine's state stays; dropping what was received leaves no trace.
    ///
    /// # Errors
    /// Whatever keeps it from being received now; the machine goes on.
    fn receive_objects(&self) -> Result<Self::Receiving, Failure>;

    /// Replaces the whole state with one that was received to its last object, and that stands for everything up to and
    /// including `index`.
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
    /// What it holds; may be empty.
    pub data: Bytes,
    /// Nothing comes after it.
    pub last: bool,
}

/// A snapshot that is read object by object.
pub trait ReadObjects: Send + 'static {
    /// The object `id`, always the same for one number, so that a transfer can be taken up again.
    ///
    /// # Errors
    /// For a number that the snapshot has no object for, or one that cannot be read.
    fn read_object(&mut self, id: u64) -> Result<Object, Failure>;
}

/// A snapshot that is received object by object.
pub trait ReceiveObjects: Send + 'static {
    /// Takes an object, and says which to send next; that means nothing behind the last. `first` is said of object 0
    /// only, which comes again when a transfer begins anew: what came before is forgotten then.
    ///
    /// # Errors
    /// For an object that makes no sense. The transfer has failed; the machine goes on.
    fn receive_object(&mut self, object: &Object, first: bool) -> Result<u64, Failure>;
}

/// The receiving end of a transfer: holds the two sides to the protocol.
#[derive(Debug)]
pub struct Transfer<R> {
    receiving: R,
    /// The object that must come next; `None` when the last has.
    wanted: Option<u64>,
}

impl<R: ReceiveObjects> Transfer<R> {
    /// A transfer of which nothing has come.
    pub fn new(receiving: R) -> Self {
        Self { receiving, wanted: Some(0) }
    }

    /// The object to ask for; `None` when all is there.
    pub fn wanted(&self) -> Option<u64> {
        self.wanted
    }

    /// Takes an object: the one that is wanted, or object 0 to begin anew.
    ///
    /// # Errors
    /// [`Error::Object`] for another; [`Error::Machine`] when the machine refuses it, with which the transfer ends.
    pub fn receive(&mut self, object: &Object) -> Result<()> {
        let first = object.id == 0;
        if self.wanted != Some(object.id) && !first {
            return Err(Error::Object { wanted: self.wanted, got: object.id });
        }
        let next = self
            .receiving
            .receive_object(object, first)
            .map_err(|failure| Error::machine("receive_object", failure))?;
        self.wanted = (!object.last).then_some(next);
        Ok(())
    }

    /// What was received, when all is there.
    ///
    /// # Errors
    /// [`Error::Object`] while an object is wanted.
    pub fn finish(self) -> Result<R> {
        match self.wanted {
            None => Ok(self.receiving),
            Some(wanted) => Err(Error::Object { wanted: Some(wanted), got: u64::MAX }),
        }
    }
}
