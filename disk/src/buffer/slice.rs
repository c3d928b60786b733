//! `Slice`: frozen bytes that are shared.

use std::{
    fmt,
    ops::{Bound, Deref, Range, RangeBounds},
    slice,
};

use bytes::Bytes;

use super::{Chunk, Pool};

/// Frozen bytes of a [`Chunk`].
///
/// Cloning and slicing copy no bytes; each slice keeps its whole chunk from being used again
/// ([`Slice::chunk_len`]). Slices may be sent to and read by any thread.
#[derive(Clone)]
pub struct Slice {
    chunk: Chunk,
    start: usize,
    len: usize,
}

impl Slice {
    /// A copy of `bytes` in a new chunk. The slice is as long as `bytes`.
    pub fn copy_from(pool: &Pool, bytes: &[u8]) -> Self {
        let mut region = pool.region(bytes.len());
        region[..bytes.len()].copy_from_slice(bytes);
        region.freeze().slice(..bytes.len())
    }

    /// A copy of `bytes`, padded with zeros to the next multiple of `unit`, for writes that must be whole pad units.
    ///
    /// # Panics
    /// If `unit` is zero.
    pub fn padded_copy(pool: &Pool, bytes: &[u8], unit: usize) -> Self {
        let len = bytes.len().next_multiple_of(unit);
        let mut region = pool.region(len);
        region[..bytes.len()].copy_from_slice(bytes);
        region[bytes.len()..].fill(0);
        region.freeze().slice(..len)
    }

    /// The part of the slice that `range` names, relative to the slice.
    ///
    /// # Panics
    /// If the range is beyond the end.
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Slice {
        let range = resolve(&range, self.len);
        assert!(range.start <= range.end && range.end <= self.len, "{range:?} of a slice of {} bytes", self.len);
        Slice { chunk: self.chunk.clone(), start: self.start + range.start, len: range.len() }
    }

    /// Grows to the end of a later slice of the same chunk, if all bytes between are frozen too, and returns whether it
    /// did. Takes no reference count.
    pub fn extend_to(&mut self, later: &Slice) -> bool {
        let (end, end_later) = (self.start + self.len, later.start + later.len);
        let grows = self.chunk.is(&later.chunk) && end_later >= end && self.chunk.has(end..end_later);
        if grows {
            // Its own bytes are frozen already.
            self.len = end_later - self.start;
        }
        grows
    }

    /// Keeps the first `len` bytes, or all if there are fewer. Takes no reference count.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Prefetches the first `len` bytes into the processor's cache, where it can, without waiting. Useful before many
    /// slices are read one after the other.
    pub fn prefetch(&self, len: usize) {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        for line in self[..len.min(self.len)].chunks(super::LINE) {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            // SAFETY: SSE is part of the architecture, and the pointer is one to bytes that may be read; nothing is
            // read or written but the cache.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
        }
        #[cfg(not(all(target_arch = "x86_64", not(miri))))]
        let _ = len;
    }

    /// The same bytes as [`Bytes`], without a copy.
    pub fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self)
    }

    /// How much memory the slice keeps in use, in bytes.
    pub fn chunk_len(&self) -> usize {
        self.chunk.len()
    }

    /// The bytes of `range`, which lies in the chunk and in frozen lines: the callers are `Chunk::slice`, which has
    /// tested it, and `Region::freeze`, which has just made it so.
    pub(super) fn of_frozen(chunk: Chunk, range: Range<usize>) -> Self {
        Slice { chunk, start: range.start, len: range.len() }
    }
}

impl Deref for Slice {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let data = self.chunk.memory().pointer_to_read(self.start, self.len);
        // SAFETY: the range lies in the chunk's allocation, which is initialised and lives as long as `self.chunk`. All
        // its lines are frozen, so the region that wrote them is gone, and none will be made of them while the chunk
        // lives: no write can follow. The freezing happened before: the slice came from the freezing thread, or from a
        // test of the bits with acquire ordering.
        unsafe { slice::from_raw_parts(data.as_ptr(), self.len) }
    }
}

impl AsRef<[u8]> for Slice {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for Slice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slice({}..{} of {:?})", self.start, self.start + self.len, self.chunk)
    }
}

fn resolve(range: &impl RangeBounds<usize>, len: usize) -> Range<usize> {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(start) => start.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(end) => end.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => len,
    };
    start..end
}

#[cfg(test)]
mod tests {
    use super::{super::LINE, *};

    #[test]
    fn a_slice_is_cut_short_and_never_grows_by_that() {
        let mut slice = Slice::copy_from(&Pool::new(0), b"0123456789").slice(2..8);
        slice.prefetch(usize::MAX);
        slice.truncate(4);
        slice.truncate(100);
        assert_eq!(&slice[..], b"2345");
        slice.truncate(0);
        slice.prefetch(1);
        assert!(slice.is_empty());
    }

    #[test]
    fn slices_of_slices_are_relative() {
        let slice = Slice::copy_from(&Pool::new(0), b"0123456789");
        assert_eq!(&slice[..], b"0123456789");
        let inner = slice.slice(2..=7);
        assert_eq!(&inner[..], b"234567");
        assert_eq!(&inner.slice(1..3)[..], b"34");
        assert_eq!(inner.slice(6..).len(), 0);
    }

    #[test]
    fn slices_grow_over_what_is_frozen() {
        let mut carver = Pool::new(0).carver(1);
        let chunk = carver.chunk().clone();
        let mut regions: Vec<_> = (0..3).filter_map(|_| carver.carve(LINE)).collect();
        regions.iter_mut().for_each(|region| region.fill(7));
        let last = regions.pop().unwrap().freeze();
        let middle = regions.pop().unwrap();
        let first = regions.pop().unwrap().freeze();
        drop(first);
        drop(last);
        let mut first = chunk.slice(0..10).unwrap();
        let mut last = chunk.slice(2 * LINE..2 * LINE + 5).unwrap();
        assert!(!first.extend_to(&last), "somebody writes in between");
        middle.freeze();
        assert!(!last.extend_to(&first), "the other one is not later");
        assert!(!first.extend_to(&Slice::copy_from(&Pool::new(0), &[0; LINE])), "of another chunk");
        assert_eq!(first.len(), 10);
        assert!(first.extend_to(&last));
        assert_eq!(first.len(), 2 * LINE + 5);
    }

    #[test]
    fn padding_is_zero_in_used_memory_too() {
        let pool = Pool::new(1 << 20);
        let mut region = pool.region(4096);
        region.fill(0xFF);
        drop(region);
        let slice = Slice::padded_copy(&pool, b"head", 512);
        assert_eq!(slice.len(), 512);
        assert_eq!(&slice[..4], b"head");
        assert!(slice[4..].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn bytes_keep_the_chunk_in_use() {
        let pool = Pool::new(0);
        let bytes = Slice::copy_from(&pool, b"abc").into_bytes();
        let part = bytes.slice(1..);
        drop(bytes);
        assert_eq!(pool.bytes(), 4096);
        assert_eq!(&part[..], b"bc");
        drop(part);
        assert_eq!(pool.bytes(), 0);
    }

    #[test]
    #[should_panic(expected = "of a slice of 3 bytes")]
    fn slicing_beyond_the_end_is_refused() {
        let slice = Slice::copy_from(&Pool::new(0), b"abc");
        drop(slice.slice(..4));
    }

    #[test]
    #[should_panic(expected = "of a slice of 3 bytes")]
    fn slicing_to_the_end_of_numbers_is_refused() {
        drop(Slice::copy_from(&Pool::new(0), b"abc").slice(..=usize::MAX));
    }
}
