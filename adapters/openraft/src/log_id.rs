//! Log ids and leaders as bytes: the whole of them, whatever openraft's version and configuration make of a leader.

use crate::field::{Field, only};

/// The version of every format below; the first byte of each.
const VERSION: u8 = 1;

/// A leader's id: a term, which the log stores with each entry, and whatever the id has besides.
///
/// Implemented for the ids that openraft has, as far as their terms are `u64`.
pub trait Leader: Sized + Clone {
    /// The term.
    fn term(&self) -> u64;

    /// Appends the bytes of what the id has besides its term.
    fn put_rest(&self, to: &mut Vec<u8>);

    /// The id of this term, the rest of which is taken off the front of `from`; `None` when that is none.
    fn take(term: u64, from: &mut &[u8]) -> Option<Self>;
}

/// The bytes of a log id: version, term, index, the rest of the leader.
pub(crate) fn encode<L: Leader>(leader: &L, index: u64) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    leader.term().put(&mut bytes);
    index.put(&mut bytes);
    leader.put_rest(&mut bytes);
    bytes
}

/// The leader and the index of a log id.
pub(crate) fn decode<L: Leader>(bytes: &[u8]) -> Option<(L, u64)> {
    only(bytes, |from| {
        version(from)?;
        let (term, index) = (u64::take(from)?, u64::take(from)?);
        Some((L::take(term, from)?, index))
    })
}

/// The bytes of a vote: version, whether it is committed, term, the rest of the leader.
pub(crate) fn encode_vote<L: Leader>(leader: &L, committed: bool) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    committed.put(&mut bytes);
    leader.term().put(&mut bytes);
    leader.put_rest(&mut bytes);
    bytes
}

/// The leader of a vote, and whether the vote is committed.
pub(crate) fn decode_vote<L: Leader>(bytes: &[u8]) -> Option<(L, bool)> {
    only(bytes, |from| {
        version(from)?;
        let (committed, term) = (bool::take(from)?, u64::take(from)?);
        Some((L::take(term, from)?, committed))
    })
}

/// The bytes of what may be none: nothing at all then.
pub(crate) fn encode_option<L: Leader>(id: Option<(&L, u64)>) -> Vec<u8> {
    id.map_or_else(Vec::new, |(leader, index)| encode(leader, index))
}

/// What may be none.
pub(crate) fn decode_option<L: Leader>(bytes: &[u8]) -> Option<Option<(L, u64)>> {
    if bytes.is_empty() { Some(None) } else { decode(bytes).map(Some) }
}

/// Takes off the version, if it is the one there is.
pub(crate) fn version(from: &mut &[u8]) -> Option<()> {
    (u8::take(from)? == VERSION).then_some(())
}

pub(crate) fn put_version(to: &mut Vec<u8>) {
    to.push(VERSION);
}
