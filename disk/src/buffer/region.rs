//! `Region`: bytes of a chunk that one owner fills.

use std::{
    fmt,
    ops::{Deref, DerefMut},
    slice,
};

use super::{Chunk, LINE, Slice};

/// A part of a [`Chunk`] that its holder has exclusively, until it freezes it.
///
/// It is initialised, but its content is unspecified until it is written. The lines of a region that is dropped before
/// it is frozen stay unused: no slice will ever show them.
pub struct Region {
    chunk: Chunk,
    start: usize,
    len: usize,
}

impl Region {
    /// Ends writing: publishes the bytes to every thread and returns them as a slice.
    pub fn freeze(self) -> Slice {
        let range = self.start..self.start + self.len;
        self.chunk.memory().freeze(range.start / LINE..range.end / LINE);
        Slice::of_frozen(self.chunk, range)
    }

    /// Splits the region into its first `mid` bytes and the rest.
    ///
    /// # Panics
    /// If `mid` is not a multiple of [`LINE`], or is beyond the end.
    pub fn split_at(self, mid: usize) -> (Region, Region) {
        assert!(mid.is_multiple_of(LINE) && mid <= self.len, "no split of {} bytes at {mid}", self.len);
        let first = Region::of_carved(self.chunk.clone(), self.start, mid);
        let rest = Region::of_carved(self.chunk, self.start + mid, self.len - mid);
        (first, rest)
    }

    /// The region's size in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the region has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where in its chunk the region begins, in bytes.
    pub fn position(&self) -> usize {
        self.start
    }

    /// The address and the number of the bytes from `offset` on, for the kernel to fill. While the address is in use,
    /// the caller must hold the region, and must make no reference to its bytes.
    #[cfg(target_os = "linux")]
    pub(crate) fn address(&mut self, offset: usize) -> (std::ptr::NonNull<u8>, usize) {
        assert!(offset <= self.len, "offset {offset} is beyond the region's {} bytes", self.len);
        (self.chunk.memory().pointer(self.start + offset), self.len - offset)
    }

    /// The region of `len` bytes from `start`, both multiples of [`LINE`].
    ///
    /// No other region may overlap it and none of its lines may be frozen. Both callers ensure that: the carver hands
    /// out each byte once, and `split_at` splits an exclusive region.
    pub(super) fn of_carved(chunk: Chunk, start: usize, len: usize) -> Self {
        debug_assert!(start.is_multiple_of(LINE) && len.is_multiple_of(LINE) && start + len <= chunk.len());
        Region { chunk, start, len }
    }
}

impl Deref for Region {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let data = self.chunk.memory().pointer_to_read(self.start, self.len);
        // SAFETY: the range lies in the chunk's allocation, which is initialised and lives as long as `self.chunk`. It
        // is not written during the borrow: regions are disjoint, and this one is borrowed.
        unsafe { slice::from_raw_parts(data.as_ptr(), self.len) }
    }
}

impl DerefMut for Region {
    fn deref_mut(&mut self) -> &mut [u8] {
        let data = self.chunk.memory().pointer_to_write(self.start, self.len);
        // SAFETY: as for `deref`; and no other reference reads or writes the range during the borrow, because regions
        // are disjoint, this one is borrowed exclusively, and slices cover frozen lines only, of which a region has
        // none.
        unsafe { slice::from_raw_parts_mut(data.as_ptr(), self.len) }
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Region({}..{} of {:?})", self.start, self.start + self.len, self.chunk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::Pool;

    #[test]
    fn halves_are_filled_apart_and_read_together() {
        let mut carver = Pool::new(0).carver(1);
        let (mut left, mut right) = carver.carve(3 * LINE).unwrap().split_at(LINE);
        assert_eq!((left.len(), right.len(), right.position()), (LINE, 2 * LINE, LINE));
        right.fill(2);
        left.fill(1);
        right.freeze();
        left.freeze();
        let whole = carver.chunk().slice(0..3 * LINE).unwrap();
        assert_eq!(whole[..LINE], [1; LINE]);
        assert_eq!(whole[LINE..], [2; 2 * LINE]);
    }

    #[test]
    #[should_panic(expected = "no split")]
    fn a_split_within_a_line_is_refused() {
        drop(Pool::new(0).region(LINE).split_at(1));
    }
}
