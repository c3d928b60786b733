//! Splits openraft's entries into parts for the log, and joins them again.

use bytes::Bytes;
use logboom::EntryRef;

use crate::{data::Codec, error::Failure, log_id::Leader};

/// The content of an entry. A [`Codec`] encodes the application's data; a membership is encoded here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content<D> {
    /// Nothing: the first entry of a new leader.
    Blank,
    /// Data of the application.
    Normal(D),
    /// A membership.
    Membership(Bytes),
}

/// An entry in its parts.
#[derive(Clone, Debug)]
pub struct Parts<L, D> {
    /// The leader that proposed it.
    pub leader: L,
    /// Its index.
    pub index: u64,
    /// Its content.
    pub content: Content<D>,
}

/// An entry type that can be stored. Openraft's own implements it if its ids and nodes are [`Field`](crate::Field)s; an
/// application may use another type.
pub trait StoredEntry: Sized {
    /// The leader's id in its log id.
    type Leader: Leader;
    /// The application's data: openraft's `D`.
    type Data;

    /// Splits the entry into its parts. Called once for each appended entry.
    fn into_parts(self) -> Parts<Self::Leader, Self::Data>;

    /// Joins parts to an entry.
    ///
    /// # Errors
    /// For a membership that is none of these types.
    fn from_parts(parts: Parts<Self::Leader, Self::Data>) -> Result<Self, Failure>;

    /// The application's data; `None` in an entry of openraft's own.
    fn into_data(self) -> Option<Self::Data>;
}

/// The kinds of entries, version 1 of their format: the numbers that the log stores with them.
const BLANK: u8 = 0;
const NORMAL: u8 = 1;
const MEMBERSHIP: u8 = 2;

impl<D> Content<D> {
    /// The kind, and the payload.
    pub(crate) fn encode<K: Codec<D>>(self) -> (u8, Bytes) {
        match self {
            Self::Blank => (BLANK, Bytes::new()),
            Self::Normal(data) => (NORMAL, K::encode(data)),
            Self::Membership(bytes) => (MEMBERSHIP, bytes),
        }
    }

    fn decode<K: Codec<D>>(kind: u8, payload: Bytes) -> Result<Self, Failure> {
        match kind {
            BLANK => Ok(Self::Blank),
            NORMAL => Ok(Self::Normal(K::decode(payload)?)),
            MEMBERSHIP => Ok(Self::Membership(payload)),
            _ => Err("it is of a kind that there is not".into()),
        }
    }
}

/// An entry as the log has it, as an entry of openraft.
pub(crate) fn decode<E: StoredEntry, K: Codec<E::Data>>(entry: &EntryRef<'_>) -> Result<E, Failure> {
    let payload = if entry.payload.is_empty() { Bytes::new() } else { entry.payload_shared() };
    let content = Content::decode::<K>(entry.kind, payload)?;
    E::from_parts(Parts { leader: leader(entry)?, index: entry.index, content })
}

/// The leader that proposed an entry.
pub(crate) fn leader<L: Leader>(entry: &EntryRef<'_>) -> Result<L, Failure> {
    let mut rest = entry.context;
    let leader = L::take(entry.term, &mut rest).filter(|_| rest.is_empty());
    leader.ok_or_else(|| "its leader is none of this type".into())
}
