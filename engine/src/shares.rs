//! The memory of a batch's entries, as whoever keeps parts of it shares it.

use std::{fmt, sync::OnceLock};

use bytes::Bytes;
use logboom_disk::Slice;

/// Pieces of memory that hold a batch's records, made when the first part is asked for, in the order of their
/// addresses. Each has one count for all its parts, which is one allocation; few are enough, since records that follow
/// each other lie in one chunk.
#[derive(Clone, Default)]
pub(crate) struct Shares(OnceLock<Vec<Bytes>>);

/// Where the entries of a record lie.
pub(crate) enum Place<'b> {
    /// In a chunk, beside others.
    Chunk(&'b Slice),
    /// In memory of its own.
    Own(&'b Bytes),
}

impl Shares {
    /// `part` of one of the places, sharing its memory; `None` if it is in none.
    pub(crate) fn part<'b>(&self, part: &[u8], places: impl Iterator<Item = Place<'b>>) -> Option<Bytes> {
        let pieces = self.0.get_or_init(|| pieces(places));
        let after = pieces.partition_point(|piece| piece.as_ptr() <= part.as_ptr());
        let piece = pieces.get(after.checked_sub(1)?)?;
        let at = part.as_ptr().addr() - piece.as_ptr().addr();
        (at < piece.len() && part.len() <= piece.len() - at).then(|| piece.slice(at..at + part.len()))
    }
}

/// The places, those that continue the one before them as one.
fn pieces<'b>(places: impl Iterator<Item = Place<'b>>) -> Vec<Bytes> {
    let mut pieces = Vec::new();
    let mut last: Option<Slice> = None;
    for place in places {
        match place {
            Place::Own(bytes) => pieces.push(bytes.clone()),
            Place::Chunk(slice) if last.as_mut().is_some_and(|last| last.extend_to(slice)) => {}
            Place::Chunk(slice) => pieces.extend(last.replace(slice.clone()).map(Slice::into_bytes)),
        }
    }
    pieces.extend(last.map(Slice::into_bytes));
    pieces.sort_unstable_by_key(|piece| piece.as_ptr());
    pieces
}

impl fmt::Debug for Shares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.get().into_iter().flatten().map(Bytes::len)).finish()
    }
}
