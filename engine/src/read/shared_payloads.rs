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

/// The places in the order of their addresses, those that continue the one before them as one.
///
/// The order of the entries may be another: those that were handed in again, or moved, lie behind later ones. Pieces
/// must not reach over each other, or a part would be looked for in the wrong one.
fn pieces<'b>(places: impl Iterator<Item = Place<'b>>) -> Vec<Bytes> {
    let mut places: Vec<Place<'b>> = places.collect();
    places.sort_by_key(Place::address);
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
    // Memory of chunks and memory of their own may have met.
    pieces.sort_by_key(|piece| piece.as_ptr());
    pieces
}

impl Place<'_> {
    fn address(&self) -> *const u8 {
        match self {
            Self::Chunk(slice) => slice.as_ptr(),
            Self::Own(bytes) => bytes.as_ptr(),
        }
    }
}

impl fmt::Debug for Shares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.get().into_iter().flatten().map(Bytes::len)).finish()
    }
}

#[cfg(test)]
mod tests {
    use logboom_disk::Pool;

    use super::*;

    #[test]
    fn every_part_is_found_whatever_the_order_of_the_places() {
        let whole = Slice::copy_from(&Pool::new(0), &[7; 600]);
        let records: Vec<Slice> = (0..6).map(|nth| whole.slice(nth * 100..nth * 100 + 80)).collect();
        for order in [[0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0], [0, 5, 2, 3, 1, 4], [3, 0, 4, 1, 5, 2]] {
            let shares = Shares::default();
            for record in &records {
                let part = &record[10..70];
                let shared = shares.part(part, order.iter().map(|nth| Place::Chunk(&records[*nth]))).unwrap();
                assert_eq!((shared.as_ptr(), shared.len()), (part.as_ptr(), 60), "{order:?}");
            }
        }
    }
}
