//! Entries: what openraft's entries are taken apart into, and put together from.

use bytes::Bytes;
use logboom::EntryRef;

use crate::{Failure, Leader};

/// What an entry is, version 1 of its format: the number that the log stores with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing: what a new leader begins with.
    Blank,
    /// Data of the application, as [`DataCodec`](crate::DataCodec) has it.
    Normal,
    /// A membership.
    Membership,
}

/// An entry in its parts.
#[derive(Clone, Debug)]
pub struct Parts<L> {
    /// The leader that proposed it.
    pub leader: L,
    /// Its index.
    pub index: u64,
    /// What it is.
    pub kind: Kind,
    /// What it carries.
    pub payload: Bytes,
}

/// An entry type that can be stored. Openraft's own is, if its data is a [`DataCodec`](crate::DataCodec) and its ids
/// and nodes are [`Field`](crate::Field)s; an application may have another.
pub trait StoredEntry: Sized {
    /// The leader's id in its log id.
    type Leader: Leader;
    /// What the application proposes: openraft's `D`.
    type Data;

    /// Takes the entry apart. Called once for each entry that is appended.
    fn into_parts(self) -> Parts<Self::Leader>;

    /// Puts an entry together. The payload shares the memory of the log: keeping it copies nothing.
    ///
    /// # Errors
    /// For a payload that is not what its kind says.
    fn from_parts(parts: Parts<Self::Leader>) -> Result<Self, Failure>;

    /// What the application proposed; `None` in an entry that is openraft's own.
    fn into_data(self) -> Option<Self::Data>;
}

impl Kind {
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Blank => 0,
            Self::Normal => 1,
            Self::Membership => 2,
        }
    }

    fn of(number: u8) -> Option<Self> {
        [Self::Blank, Self::Normal, Self::Membership].into_iter().find(|kind| kind.number() == number)
    }
}

/// An entry as the log has it, as an entry of openraft.
pub(crate) fn decode<E: StoredEntry>(entry: &EntryRef<'_>) -> Result<E, Failure> {
    let kind = Kind::of(entry.kind).ok_or("it is of a kind that there is not")?;
    let payload = if entry.payload.is_empty() { Bytes::new() } else { entry.payload_bytes() };
    E::from_parts(Parts { leader: leader(entry)?, index: entry.index, kind, payload })
}

/// The leader that proposed an entry.
pub(crate) fn leader<L: Leader>(entry: &EntryRef<'_>) -> Result<L, Failure> {
    let mut rest = entry.context;
    let leader = L::take(entry.term, &mut rest).filter(|_| rest.is_empty());
    leader.ok_or_else(|| "its leader is none of this type".into())
}
