//! Receiving a snapshot.
use crate::{Built, Chunk, Manifest, Progress, Result};

/// Where a transfer goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The number of the file in the manifest.
    pub file: u32,
    /// The offset in the file, in bytes before compression.
    pub offset: u64,
}

/// A snapshot that is being received, chunk by chunk, from whoever pushes or is asked for them.
///
/// It may move between threads. Dropped, or after an error of the device, it leaves nothing.
#[derive(Debug)]
pub struct Receiver(());

impl Receiver {
    /// What is being received.
    pub fn manifest(&self) -> &Manifest {
        unimplemented!()
    }

    /// What has to arrive next; `None` when everything has. A transfer that was interrupted goes on here.
    pub fn position(&self) -> Option<Position> {
        unimplemented!()
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        unimplemented!()
    }

    /// Takes a chunk, after verifying it. One that has arrived before is passed over; false then.
    ///
    /// # Errors
    /// [`Error::OutOfOrder`](crate::Error::OutOfOrder), [`Error::Foreign`](crate::Error::Foreign) and
    /// [`Error::Damaged`](crate::Error::Damaged) leave the transfer as it was; after any other it has ended.
    pub fn accept(&mut self, chunk: &Chunk) -> Result<bool> {
        let _ = chunk;
        unimplemented!()
    }

    /// Completes the snapshot, as [`Builder::finish`](crate::Builder::finish) does.
    ///
    /// # Errors
    /// [`Error::Incomplete`](crate::Error::Incomplete); those of the device.
    pub fn finish(self) -> Result<Built> {
        unimplemented!()
    }
}
