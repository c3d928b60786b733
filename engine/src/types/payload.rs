//! Entries and payloads to append.

use bytes::Bytes;
use logboom_snapshot::EntryId;

/// One entry of a shard's log, as it is appended.
///
/// Borrowed bytes are read when the batch is submitted, and copied once, into the memory that the kernel writes from. A
/// temporary does not live until then: pass a `Vec<u8>` or [`Bytes`] instead, which the batch keeps.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    /// Its index: any from 0 to `u64::MAX - 1`.
    pub index: u64,
    /// Its term. The engine stores it, and accepts any. As in raft, entries of a shard with the same index and term
    /// should be the same: after damage, a lost entry is told by its term from one that it replaced.
    pub term: u64,
    /// A number of the caller's, to tell entries apart without decoding their payload.
    pub kind: u8,
    /// Bytes of the caller's beside the payload, at most 65,535.
    pub context: &'a [u8],
    /// The payload. Payload and context together are at most a quarter of a segment, less the 72 bytes of a record.
    pub payload: Payload<'a>,
}

impl<'a> Entry<'a> {
    /// An entry of kind 0 without context.
    pub fn new(id: EntryId, payload: impl Into<Payload<'a>>) -> Self {
        Self { index: id.index, term: id.term, kind: 0, context: &[], payload: payload.into() }
    }
}

/// The payload of an [`Entry`]: borrowed, or shared. Neither is copied before the batch is submitted.
#[derive(Clone, Debug)]
pub enum Payload<'a> {
    /// Borrowed until the batch is submitted.
    Borrowed(&'a [u8]),
    /// Shared until the batch is submitted.
    Owned(Bytes),
}

impl Payload<'_> {
    /// The bytes themselves.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Owned(bytes) => bytes,
        }
    }
}

impl<'a> From<&'a [u8]> for Payload<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Borrowed(bytes)
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Payload<'a> {
    fn from(bytes: &'a [u8; N]) -> Self {
        Self::Borrowed(bytes)
    }
}

impl<'a> From<&'a Vec<u8>> for Payload<'a> {
    fn from(bytes: &'a Vec<u8>) -> Self {
        Self::Borrowed(bytes)
    }
}

impl<'a> From<&'a str> for Payload<'a> {
    fn from(text: &'a str) -> Self {
        Self::Borrowed(text.as_bytes())
    }
}

impl From<Bytes> for Payload<'_> {
    fn from(bytes: Bytes) -> Self {
        Self::Owned(bytes)
    }
}

impl From<Vec<u8>> for Payload<'_> {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Owned(bytes.into())
    }
}
