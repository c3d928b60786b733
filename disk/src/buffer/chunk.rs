//! `Chunk`: memory that is shared, and `Carver`: the right to hand out its bytes.

use std::{fmt, mem, ops::Range};

use super::{LINE, Pool, Region, Slice, memory::Memory, sync::Arc};

/// A piece of aligned memory that is written once, line by line, frozen, and then shared.
///
/// Clones refer to the same memory. It returns to its [`Pool`] when the last clone, [`Carver`], [`Region`] and
/// [`Slice`] is dropped. All methods may be called from any thread, without locks.
#[derive(Clone)]
pub struct Chunk {
    owner: Arc<Owner>,
}

impl Chunk {
    /// The chunk's size in bytes.
    #[expect(clippy::len_without_is_empty, reason = "no chunk is empty")]
    pub fn len(&self) -> usize {
        self.memory().len()
    }

    /// The bytes of `range`, if every line that it touches is frozen; otherwise, or beyond the end, `None`.
    pub fn slice(&self, range: Range<usize>) -> Option<Slice> {
        self.has(range.clone()).then(|| Slice::of_frozen(self.clone(), range))
    }

    /// Whether every line that the range touches exists and is frozen. `Slice` relies on this test.
    pub(super) fn has(&self, range: Range<usize>) -> bool {
        if range.start > range.end || range.end > self.len() {
            return false;
        }
        let lines = range.start / LINE..range.end.div_ceil(LINE);
        range.is_empty() || self.memory().is_frozen(lines)
    }

    pub(super) fn new(memory: Memory, pool: Pool) -> Self {
        Chunk { owner: Arc::new(Owner { memory, pool }) }
    }

    pub(super) fn memory(&self) -> &Memory {
        &self.owner.memory
    }

    /// Whether both are the same memory.
    pub(super) fn is(&self, other: &Chunk) -> bool {
        Arc::ptr_eq(&self.owner, &other.owner)
    }
}

impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chunk({} bytes at {:p})", self.len(), self.memory().pointer(0))
    }
}

/// Hands out the bytes of a [`Chunk`] once each, from its beginning to its end. A chunk has one carver.
#[derive(Debug)]
pub struct Carver {
    chunk: Chunk,
    position: usize,
}

impl Carver {
    /// Hands out the next `len` bytes, rounded up to a multiple of [`LINE`], or `None` if fewer remain.
    ///
    /// What the region holds is unspecified.
    pub fn carve(&mut self, len: usize) -> Option<Region> {
        let len = len.checked_next_multiple_of(LINE)?;
        if len > self.remaining() {
            return None;
        }
        let start = self.position;
        self.position += len;
        Some(Region::of_carved(self.chunk.clone(), start, len))
    }

    /// The number of bytes handed out, which is where in the chunk the next region begins.
    pub fn position(&self) -> usize {
        self.position
    }

    /// The number of bytes still to be handed out.
    pub fn remaining(&self) -> usize {
        self.len() - self.position
    }

    /// The chunk's size in bytes.
    #[expect(clippy::len_without_is_empty, reason = "no chunk is empty")]
    pub fn len(&self) -> usize {
        self.chunk.len()
    }

    /// The chunk, which gives slices of its frozen bytes.
    pub fn chunk(&self) -> &Chunk {
        &self.chunk
    }

    pub(super) fn new(chunk: Chunk) -> Self {
        Carver { chunk, position: 0 }
    }
}

struct Owner {
    memory: Memory,
    pool: Pool,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.pool.give_back(mem::replace(&mut self.memory, Memory::none()));
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn carving_ends_with_the_chunk() {
        let mut carver = Pool::new(0).carver(64 * 1024);
        assert_eq!(carver.carve(1).map(|region| region.len()), Some(LINE));
        assert_eq!(carver.position(), LINE);
        assert!(carver.carve(carver.remaining() + 1).is_none());
        assert!(carver.carve(usize::MAX).is_none());
        assert_eq!(carver.carve(carver.remaining()).map(|region| region.len()), Some(64 * 1024 - LINE));
        assert!(carver.carve(1).is_none());
        assert_eq!(carver.carve(0).map(|region| region.len()), Some(0));
    }

    #[test]
    fn only_frozen_lines_are_sliced() {
        let mut carver = Pool::new(0).carver(1);
        let chunk = carver.chunk().clone();
        let (mut first, second, third) = (carve(&mut carver), carve(&mut carver), carve(&mut carver));
        first.fill(1);
        assert!(chunk.slice(0..1).is_none());
        first.freeze();
        assert_eq!(chunk.slice(10..LINE).unwrap()[..], [1; LINE - 10]);
        assert!(chunk.slice(0..LINE + 1).is_none(), "the second region is being filled");
        third.freeze();
        assert!(chunk.slice(0..3 * LINE).is_none());
        second.freeze();
        assert_eq!(chunk.slice(0..3 * LINE).unwrap().len(), 3 * LINE);
    }

    #[test]
    fn regions_are_filled_in_threads_of_their_own() {
        let pool = Pool::new(1 << 20);
        for round in 1..4 {
            let mut carver = pool.carver(1);
            let chunk = carver.chunk().clone();
            let regions = [carve(&mut carver), carve(&mut carver)];
            drop(carver);
            thread::scope(|scope| {
                for mut region in regions {
                    scope.spawn(move || {
                        region.fill(round);
                        region.freeze();
                    });
                }
                let whole = loop {
                    match chunk.slice(0..2 * LINE) {
                        Some(whole) => break whole,
                        None => thread::yield_now(),
                    }
                };
                drop(chunk);
                assert_eq!(whole[..], [round; 2 * LINE]);
            });
            assert_eq!(pool.bytes(), 4096);
        }
    }

    #[test]
    fn an_abandoned_region_is_never_frozen() {
        let mut carver = Pool::new(0).carver(1);
        drop(carve(&mut carver));
        carve(&mut carver).freeze();
        assert!(carver.chunk().slice(0..LINE).is_none());
        assert!(carver.chunk().slice(LINE..2 * LINE).is_some());
    }

    #[test]
    #[expect(clippy::reversed_empty_ranges, reason = "it is what is tested")]
    fn ranges_outside_the_chunk_are_refused() {
        let chunk = Pool::new(0).carver(1).chunk().clone();
        assert!(chunk.slice(0..chunk.len() + 1).is_none());
        assert!(chunk.slice(2..1).is_none());
        assert!(chunk.slice(5..5).is_some_and(|slice| slice.is_empty()));
    }

    fn carve(carver: &mut Carver) -> Region {
        carver.carve(LINE).unwrap()
    }
}
