//! Memory of one chunk, and the bits that say which of its lines are frozen.

use std::{
    alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error},
    ops::Range,
    ptr::NonNull,
    slice,
    sync::{Arc, atomic::Ordering},
};

use super::{
    CHUNK_ALIGN, LINE,
    slab::Slab,
    sync::{Accesses, AtomicU64},
};

/// Page-aligned memory of a fixed length, initialised for as long as it lives, and its bits.
///
/// It hands out raw pointers only. All references to its bytes are made in `region.rs` and `slice.rs`, for their own
/// range and never for the whole: references to disjoint ranges of it may coexist, a reference to all of it may not
/// coexist with a region that is being filled.
#[derive(Debug)]
pub(super) struct Memory {
    base: NonNull<u8>,
    len: usize,
    frozen: Box<[AtomicU64]>,
    accesses: Accesses,
    /// The slab that this memory is a piece of; `None` for a separate allocation.
    slab: Option<Arc<Slab>>,
}

// SAFETY: `Memory` owns its bytes as a `Box<[u8]>` would, and nothing about it is bound to a thread.
unsafe impl Send for Memory {}

// SAFETY: `&Memory` gives access to the atomic bits, the length and raw pointers only. `Region` and `Slice`, which make
// references from those pointers, prove that no byte is written while another reference reads it.
unsafe impl Sync for Memory {}

impl Memory {
    /// Zeroed memory of `len` bytes, none of them frozen.
    ///
    /// # Panics
    /// If `len` is no positive multiple of the alignment.
    pub(super) fn zeroed(len: usize) -> Self {
        let layout = layout(len);
        // SAFETY: `layout` asserts that the size is not zero.
        let base = unsafe { alloc_zeroed(layout) };
        let Some(base) = NonNull::new(base) else { handle_alloc_error(layout) };
        Self::new(base, len, None)
    }

    /// Zeroed memory in pieces of `len` bytes, on a huge page where the system has one; no line is frozen.
    ///
    /// # Panics
    /// If `len` is no power of two, or less than the alignment.
    pub(super) fn pieces(len: usize) -> impl Iterator<Item = Self> {
        assert!(len.is_power_of_two() && len >= CHUNK_ALIGN, "chunk of {len} bytes");
        let slab = Slab::zeroed(len);
        // No two of them overlap.
        let offsets = (0..slab.len()).step_by(len);
        offsets.map(move |offset| Self::new(slab.pointer(offset), len, Some(Arc::clone(&slab))))
    }

    fn new(base: NonNull<u8>, len: usize, slab: Option<Arc<Slab>>) -> Self {
        let words = (len / LINE).div_ceil(BITS);
        let frozen = (0..words).map(|_| AtomicU64::new(0)).collect();
        Memory { base, len, frozen, accesses: Accesses::of(len / LINE), slab }
    }

    /// Memory of length 0: a placeholder for memory that was moved out.
    pub(super) fn none() -> Self {
        Memory { base: NonNull::dangling(), len: 0, frozen: Box::default(), accesses: Accesses::of(0), slab: None }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The number of pieces of its allocation, this one included.
    pub(super) fn siblings(&self) -> usize {
        self.slab.as_ref().map_or(1, |slab| slab.len() / self.len)
    }

    /// Whether both are pieces of one allocation.
    pub(super) fn is_beside(&self, other: &Self) -> bool {
        matches!((&self.slab, &other.slab), (Some(one), Some(other)) if Arc::ptr_eq(one, other))
    }

    /// A pointer to the byte at `offset`, valid for the allocation's remaining bytes.
    ///
    /// # Panics
    /// If `offset` is beyond the end.
    pub(super) fn pointer(&self, offset: usize) -> NonNull<u8> {
        assert!(offset <= self.len, "offset {offset} is beyond the chunk's {} bytes", self.len);
        // SAFETY: just asserted, the result is within the memory or one past its end.
        unsafe { self.base.add(offset) }
    }

    /// [`Memory::pointer`] for a shared reference to the `len` bytes from `offset` on.
    pub(super) fn pointer_to_read(&self, offset: usize, len: usize) -> NonNull<u8> {
        self.accesses.read(offset / LINE..(offset + len).div_ceil(LINE));
        self.pointer(offset)
    }

    /// [`Memory::pointer`] for an exclusive reference to the `len` bytes from `offset` on.
    pub(super) fn pointer_to_write(&self, offset: usize, len: usize) -> NonNull<u8> {
        self.accesses.write(offset / LINE..(offset + len).div_ceil(LINE));
        self.pointer(offset)
    }

    /// Publishes what the calling thread wrote to `lines` to every thread for which [`Memory::is_frozen`] then returns
    /// true.
    pub(super) fn freeze(&self, lines: Range<usize>) {
        for (word, mask) in masks(lines) {
            let before = self.frozen[word].fetch_or(mask, Ordering::Release);
            debug_assert_eq!(before & mask, 0, "a line was frozen twice");
        }
    }

    /// Whether all of `lines` are frozen; if so, what was written to them is visible to the calling thread.
    pub(super) fn is_frozen(&self, lines: Range<usize>) -> bool {
        masks(lines).all(|(word, mask)| self.frozen[word].load(Ordering::Acquire) & mask == mask)
    }

    /// Clears the bits so that the memory can be used again. Release builds leave the bytes; debug builds poison them,
    /// so that a stale reader sees the pattern and [`Memory::assert_poisoned`] finds a stale writer.
    pub(super) fn thaw(&mut self) {
        for word in &mut self.frozen {
            *word = AtomicU64::new(0);
        }
        self.accesses.write(0..self.len / LINE);
        if cfg!(debug_assertions) {
            // SAFETY: the memory has `len` bytes, and `&mut self` says that nobody else refers to them.
            unsafe { self.base.write_bytes(POISON, self.len) };
        }
    }

    /// Checks, in debug builds, that the memory was not written since it was thawed: neither through a stale reference,
    /// nor by a device that still had an operation in flight.
    ///
    /// # Panics
    /// If it was written.
    pub(super) fn assert_poisoned(&mut self) {
        if cfg!(debug_assertions) {
            self.accesses.read(0..self.len / LINE);
            // SAFETY: the memory has `len` initialised bytes, a multiple of 8 at an aligned address, and `&mut
            // self` says that nobody else refers to them.
            let words = unsafe { slice::from_raw_parts(self.base.cast::<u64>().as_ptr(), self.len / 8) };
            let untouched = words.iter().all(|word| *word == u64::from_le_bytes([POISON; 8]));
            assert!(untouched, "memory was written after its release");
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if self.len > 0 && self.slab.is_none() {
            // SAFETY: `base` came from `alloc_zeroed` with this very layout, and is freed here only.
            unsafe { dealloc(self.base.as_ptr(), layout(self.len)) };
        }
    }
}

const BITS: usize = u64::BITS as usize;
/// Neither zero, nor ASCII, nor a plausible address.
const POISON: u8 = 0xDB;

fn layout(len: usize) -> Layout {
    assert!(len > 0 && len.is_multiple_of(CHUNK_ALIGN), "chunk of {len} bytes");
    match Layout::from_size_align(len, CHUNK_ALIGN) {
        Ok(layout) => layout,
        Err(_) => panic!("chunk of {len} bytes exceeds the address space"),
    }
}

/// The words that hold the bits of `lines`, each with the mask of those bits.
fn masks(lines: Range<usize>) -> impl Iterator<Item = (usize, u64)> {
    let words = if lines.is_empty() { 0..0 } else { lines.start / BITS..lines.end.div_ceil(BITS) };
    words.map(move |word| {
        let first = lines.start.saturating_sub(word * BITS);
        let count = (lines.end - word * BITS).min(BITS) - first;
        (word, (u64::MAX >> (BITS - count)) << first)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: usize = if cfg!(miri) { 21 } else { 1 };

    #[test]
    fn masks_cover_each_line_once() {
        for start in (0..140).step_by(STEP) {
            for end in (start..200).step_by(STEP) {
                let mut lines = Vec::new();
                for (word, mask) in masks(start..end) {
                    lines.extend((0..BITS).filter(|bit| mask >> bit & 1 == 1).map(|bit| word * BITS + bit));
                }
                assert_eq!(lines, (start..end).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn lines_are_frozen_one_by_one() {
        let memory = Memory::zeroed(CHUNK_ALIGN * 2);
        memory.freeze(3..5);
        memory.freeze(5..70);
        assert!(memory.is_frozen(3..70));
        assert!(!memory.is_frozen(2..70));
        assert!(!memory.is_frozen(3..71));
        assert!(memory.is_frozen(9..9));
    }

    #[test]
    fn thawing_forgets_what_was_frozen() {
        let mut memory = Memory::zeroed(CHUNK_ALIGN);
        memory.freeze(0..64);
        memory.thaw();
        assert!(!memory.is_frozen(0..1));
    }

    #[test]
    #[cfg(debug_assertions)]
    fn a_write_after_release_is_noticed_wherever_it_falls() {
        for at in [0, 1, LINE, CHUNK_ALIGN - 1] {
            let mut memory = Memory::zeroed(CHUNK_ALIGN);
            memory.thaw();
            memory.assert_poisoned();
            // SAFETY: the offset is within the allocation, to which nobody else refers.
            unsafe { memory.pointer(at).write(0) };
            let noticed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| memory.assert_poisoned()));
            assert!(noticed.is_err(), "at {at}");
        }
    }
}
