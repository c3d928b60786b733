//! Records of the log.

mod checkpoint;
mod commit;
mod commit_builder;
mod error;
mod flushed;
mod loaded;

pub use commit::{Commit, Deletes, Section};
pub use commit_builder::{CommitBuilder, NewSection};
pub use error::RecordError;
pub use flushed::{BlockTombstones, Flushed, Intent, Tombstones};
pub use loaded::Loaded;

pub(crate) use loaded::HEAD_BYTES_MAX as LOADED_BYTES_MIN;

use crate::{
    block_meta::MetaError,
    checkpoint::Checkpoint,
    timestamp::Timestamp,
    varint::{self, Reader},
};

/// The version of the records that are written.
const VERSION: u8 = 1;

/// A record of the log, which borrows the entry that it was read from. Its bytes are stated in `logtail/FORMAT.md`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Record<'a> {
    /// A writer begins: records of lower epochs that follow are ignored.
    Epoch {
        /// A number that no other opening has, also not of a copy of this log: names of objects carry it.
        nonce: u64,
        /// The log's identity, which all of its epochs state: the nonce of its first opening.
        identity: u64,
    },
    /// Timestamps up to this one may be given ([`HybridClock`](crate::HybridClock)).
    Bound(Timestamp),
    /// A transaction.
    Commit(Commit<'a>),
    /// Objects are going to be written.
    Intent(Intent),
    /// Rows have moved to objects.
    Flushed(Box<Flushed>),
    /// A restart reads these objects, and the rest of the log.
    Checkpoint(Box<Checkpoint>),
    /// Rows are in objects that were never in the log: a transaction.
    Loaded(Box<Loaded>),
}

/// What precedes each record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The writer's epoch: 1 for the first writer of a log, and one more for each that opens it.
    pub epoch: u64,
    /// Counts the records of an epoch from 0, without gaps.
    pub sequence: u64,
}

const EPOCH: u8 = 1;
const BOUND: u8 = 2;
const COMMIT: u8 = 3;
const INTENT: u8 = 4;
const FLUSHED: u8 = 5;
const CHECKPOINT: u8 = 6;
const LOADED: u8 = 7;

impl<'a> Record<'a> {
    /// Reads an entry of the log.
    ///
    /// # Errors
    /// [`RecordError`] where the bytes are no record of a version that this crate reads.
    pub fn decode(bytes: &'a [u8]) -> Result<(Position, Self), RecordError> {
        let mut reader = Reader(bytes);
        let version = reader.byte().ok_or(RecordError::Short)?;
        if version != VERSION {
            return Err(RecordError::Version(version));
        }
        let kind = reader.byte().ok_or(RecordError::Short)?;
        let position = position(&mut reader).ok_or(RecordError::Short)?;
        let record = match kind {
            EPOCH => epoch_of(&mut reader),
            BOUND => timestamp(&mut reader).map(Self::Bound),
            COMMIT => Commit::read(&mut reader).map(Self::Commit),
            INTENT => Intent::read(&mut reader).map(Self::Intent),
            FLUSHED => Flushed::read(&mut reader).map(|flushed| Self::Flushed(Box::new(flushed))),
            CHECKPOINT => checkpoint::read(&mut reader).map(|checkpoint| Self::Checkpoint(Box::new(checkpoint))),
            LOADED => Loaded::read(&mut reader).map(|loaded| Self::Loaded(Box::new(loaded))),
            _ => return Err(RecordError::Kind(kind)),
        };
        let record = record.ok_or(RecordError::Malformed { kind })?;
        if reader.is_empty() { Ok((position, record)) } else { Err(RecordError::Malformed { kind }) }
    }
}

/// The bytes of an epoch's record.
pub fn epoch(position: Position, nonce: u64, identity: u64) -> Vec<u8> {
    let mut out = Vec::new();
    head(&mut out, EPOCH, position);
    out.extend(nonce.to_le_bytes());
    out.extend(identity.to_le_bytes());
    out
}

/// The bytes of the record of a clock's bound.
pub fn bound(position: Position, bound: Timestamp) -> Vec<u8> {
    let mut out = Vec::new();
    head(&mut out, BOUND, position);
    out.extend(bound.to_i64().to_le_bytes());
    out
}

/// The bytes of the record that announces objects.
pub fn intent(position: Position, intent: &Intent) -> Vec<u8> {
    let mut out = Vec::new();
    head(&mut out, INTENT, position);
    intent.write(&mut out);
    out
}

/// The bytes of the record of a flush.
///
/// # Errors
/// [`MetaError`] where the metadata of an object contradict each other.
pub fn flushed(position: Position, flushed: &Flushed) -> Result<Vec<u8>, MetaError> {
    let mut out = Vec::new();
    head(&mut out, FLUSHED, position);
    flushed.write(&mut out)?;
    Ok(out)
}

/// The bytes of the record of a load.
///
/// # Errors
/// [`MetaError`] where the metadata of an object contradict each other.
pub fn loaded(position: Position, loaded: &Loaded) -> Result<Vec<u8>, MetaError> {
    let mut out = Vec::new();
    head(&mut out, LOADED, position);
    loaded.write(&mut out)?;
    Ok(out)
}

/// The bytes of the record of a checkpoint.
///
/// # Errors
/// [`MetaError`] where the metadata of an object contradict each other.
pub fn checkpoint(position: Position, checkpoint: &Checkpoint) -> Result<Vec<u8>, MetaError> {
    let mut out = Vec::new();
    head(&mut out, CHECKPOINT, position);
    checkpoint::write(checkpoint, &mut out)?;
    Ok(out)
}

fn head(out: &mut Vec<u8>, kind: u8, position: Position) {
    out.extend([VERSION, kind]);
    varint::put(out, position.epoch);
    varint::put(out, position.sequence);
}

fn epoch_of<'a>(reader: &mut Reader<'_>) -> Option<Record<'a>> {
    let (nonce, identity) = (u64::from_le_bytes(reader.array()?), u64::from_le_bytes(reader.array()?));
    Some(Record::Epoch { nonce, identity })
}

fn position(reader: &mut Reader<'_>) -> Option<Position> {
    Some(Position { epoch: reader.varint()?, sequence: reader.varint()? })
}

fn timestamp(reader: &mut Reader<'_>) -> Option<Timestamp> {
    Timestamp::from_i64(i64::from_le_bytes(reader.array()?))
}
