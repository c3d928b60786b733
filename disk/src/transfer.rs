//! How a transfer that the kernel ended early is continued.

use crate::{buffer::Slice, facts::Geometry};

/// What is left of `slices` after their first `done` bytes, as many pieces as one system call takes.
pub(crate) fn remaining(slices: &[Slice], mut done: usize) -> impl Iterator<Item = &[u8]> {
    let pieces = slices.iter().filter_map(move |slice| {
        let skipped = done.min(slice.len());
        done -= skipped;
        (skipped < slice.len()).then(|| &slice[skipped..])
    });
    pieces.take(PIECES_MAX)
}

/// Whether a short transfer that ended at byte `end` of a file can be continued from there.
///
/// Direct IO cannot begin within a logical block; a read that ended there has met the end of the file.
pub(crate) fn can_continue(end: u64, geometry: Geometry) -> bool {
    !geometry.direct || end.is_multiple_of(geometry.memory_align as u64)
}

/// How often in a row a transfer that the kernel says to try again is tried again, before it is an error.
pub(crate) const RETRIES_MAX: u32 = 1000;

/// `IOV_MAX` of Linux, and of the other systems.
const PIECES_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::Pool;

    #[test]
    fn what_remains_begins_after_what_is_done() {
        let whole = Slice::copy_from(&Pool::new(0), b"abcdefgh");
        let slices = [whole.slice(..3), whole.slice(3..3), whole.slice(3..)];
        for done in 0..=8 {
            let rest: Vec<u8> = remaining(&slices, done).flatten().copied().collect();
            assert_eq!(rest, whole[done..], "after {done}");
            assert!(remaining(&slices, done).all(|piece| !piece.is_empty()));
        }
    }

    #[test]
    fn one_call_takes_a_bounded_number_of_pieces() {
        let byte = Slice::copy_from(&Pool::new(0), b"x");
        assert_eq!(remaining(&vec![byte; 3000], 10).count(), PIECES_MAX);
    }
}
