//! Encodes log ids and leaders, complete for each version and configuration of openraft.

use crate::field::{Field, only};

/// The version of every format below; the first byte of each.
const VERSION: u8 = 1;

/// A leader's id: a term, which the log stores with each entry, and the rest of the id.
///
/// Implemented for openraft's ids with terms of type `u64`.
pub trait Leader: Sized + Clone {
    /// The term.
    fn term(&self) -> u64;

    /// Appends the encoding of the id without its term.
    fn put_rest(&self, to: &mut Vec<u8>);

    /// Decodes the rest of the id of this term from the front of `from`; `None` if it is invalid.
    fn take(term: u64, from: &mut &[u8]) -> Option<Self>;
}

/// Encodes a log id: version, term, index, the rest of the leader.
pub(crate) fn encode<L: Leader>(leader: &L, index: u64) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    leader.term().put(&mut bytes);
    index.put(&mut bytes);
    leader.put_rest(&mut bytes);
    bytes
}

/// Decodes the leader and the index of a log id.
pub(crate) fn decode<L: Leader>(bytes: &[u8]) -> Option<(L, u64)> {
    only(bytes, |from| {
        version(from)?;
        let (term, index) = (u64::take(from)?, u64::take(from)?);
        Some((L::take(term, from)?, index))
    })
}

/// Encodes a vote: version, whether it is committed, term, the rest of the leader.
pub(crate) fn encode_vote<L: Leader>(leader: &L, committed: bool) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    committed.put(&mut bytes);
    leader.term().put(&mut bytes);
    leader.put_rest(&mut bytes);
    bytes
}

/// Decodes the leader of a vote, and whether the vote is committed.
pub(crate) fn decode_vote<L: Leader>(bytes: &[u8]) -> Option<(L, bool)> {
    only(bytes, |from| {
        version(from)?;
        let (committed, term) = (bool::take(from)?, u64::take(from)?);
        Some((L::take(term, from)?, committed))
    })
}

/// Encodes an optional log id; `None` is no bytes.
pub(crate) fn encode_option<L: Leader>(id: Option<(&L, u64)>) -> Vec<u8> {
    id.map_or_else(Vec::new, |(leader, index)| encode(leader, index))
}

/// Decodes an optional log id.
pub(crate) fn decode_option<L: Leader>(bytes: &[u8]) -> Option<Option<(L, u64)>> {
    if bytes.is_empty() { Some(None) } else { decode(bytes).map(Some) }
}

/// Decodes the version, if it is known.
pub(crate) fn version(from: &mut &[u8]) -> Option<()> {
    (u8::take(from)? == VERSION).then_some(())
}

pub(crate) fn put_version(to: &mut Vec<u8>) {
    to.push(VERSION);
}
