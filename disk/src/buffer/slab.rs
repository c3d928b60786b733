//! Memory on huge pages, cut into pieces.
//!
//! A device gets memory page by page: half a MiB is 128 segments on scattered pages and one on a huge page. A virtual
//! disk was measured to take large writes half again as fast from huge pages.

use std::{
    alloc::{Layout, alloc, dealloc, handle_alloc_error},
    ptr::NonNull,
    sync::Arc,
};

/// The size of a huge page, and of what chunks are cut from, in bytes; less for Miri, which takes minutes for so many.
pub(super) const SLAB: usize = if cfg!(miri) { 64 << 10 } else { 2 << 20 };

/// Initialised memory on a huge page, where the system has one to give.
#[derive(Debug)]
pub(super) struct Slab {
    base: NonNull<u8>,
    layout: Layout,
}

// SAFETY: a slab owns its allocation as a `Box<[u8]>` would, and nothing about it is bound to a thread.
unsafe impl Send for Slab {}

// SAFETY: `&Slab` gives access to raw pointers only.
unsafe impl Sync for Slab {}

impl Slab {
    /// Zeroed memory of `len` bytes, or of a huge page if that is more.
    pub(super) fn zeroed(len: usize) -> Arc<Self> {
        let len = len.next_multiple_of(SLAB);
        let Ok(layout) = Layout::from_size_align(len, SLAB) else { panic!("{len} bytes exceed the address space") };
        // SAFETY: the size of `layout` is not zero: the pool's smallest class is a page.
        let base = unsafe { alloc(layout) };
        let Some(base) = NonNull::new(base) else { handle_alloc_error(layout) };
        let slab = Slab { base, layout };
        // Before the memory is touched: the kernel does not merge pages that exist at once.
        slab.want_huge_pages();
        // SAFETY: `alloc` gave so many bytes, and no reference to them exists yet.
        unsafe { slab.base.write_bytes(0, len) };
        Arc::new(slab)
    }

    pub(super) fn len(&self) -> usize {
        self.layout.size()
    }

    /// A pointer to the byte at `offset`, valid for the slab's remaining bytes.
    ///
    /// # Panics
    /// If `offset` is beyond the end.
    pub(super) fn pointer(&self, offset: usize) -> NonNull<u8> {
        assert!(offset <= self.len(), "offset {offset} is beyond the slab's {} bytes", self.len());
        // SAFETY: just asserted, the result is within the allocation or one past its end.
        unsafe { self.base.add(offset) }
    }

    /// Asks for huge pages, and returns whether the system accepts the advice. The memory is usable either way.
    #[cfg(all(target_os = "linux", not(miri)))]
    fn want_huge_pages(&self) -> bool {
        let advice = rustix::mm::Advice::LinuxHugepage;
        // SAFETY: these are whole pages of the allocation, and the advice changes nothing that they hold.
        unsafe { rustix::mm::madvise(self.base.as_ptr().cast(), self.len(), advice) }.is_ok()
    }

    #[cfg(not(all(target_os = "linux", not(miri))))]
    fn want_huge_pages(&self) -> bool {
        false
    }
}

impl Drop for Slab {
    fn drop(&mut self) {
        // SAFETY: `base` came from `alloc` with this very layout, and is freed here only.
        unsafe { dealloc(self.base.as_ptr(), self.layout) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::memory::Memory;

    const PIECE: usize = SLAB / 8;

    #[test]
    fn pieces_lie_side_by_side_on_one_huge_page() {
        let pieces: Vec<Memory> = Memory::pieces(PIECE).collect();
        let at: Vec<usize> = pieces.iter().map(|piece| piece.pointer(0).as_ptr() as usize).collect();
        assert_eq!(at.len() * PIECE, SLAB);
        assert_eq!(at[0] % SLAB, 0);
        assert!(at.windows(2).all(|pair| pair[0] + PIECE == pair[1]));
        assert_eq!(Memory::pieces(2 * SLAB).map(|piece| piece.len()).collect::<Vec<_>>(), [2 * SLAB]);
    }
}
