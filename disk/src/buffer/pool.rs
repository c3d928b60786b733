//! Where chunks come from, and where their memory goes when the last reference is dropped.

use std::{collections::BTreeMap, fmt, sync::atomic::Ordering};

use super::{
    Carver, Chunk, Region,
    memory::Memory,
    slab::SLAB,
    sync::{Arc, AtomicUsize, Mutex},
};

/// A source of aligned memory that is used again and again.
///
/// Clones share one pool. Memory comes in size classes, the powers of two from 4 KiB up. It is zeroed when it is
/// first allocated, and not when it is used again: what a fresh region holds is unspecified. All methods may be
/// called from any thread.
#[derive(Clone)]
pub struct Pool {
    shared: Arc<Shared>,
}

impl Pool {
    /// An empty pool that keeps at most `idle_bytes_max` bytes for later use; what comes back beyond that is freed.
    /// Large chunks are cut from huge pages: they are made several at a time, and freed when none of them is in use.
    pub fn new(idle_bytes_max: usize) -> Self {
        let idle = Mutex::new(Idle { bytes: 0, classes: BTreeMap::new() });
        Pool { shared: Arc::new(Shared { idle_bytes_max, bytes: AtomicUsize::new(0), idle }) }
    }

    /// The carver of a fresh chunk of at least `len` bytes.
    pub fn carver(&self, len: usize) -> Carver {
        Carver::new(Chunk::new(self.shared.take(len), self.clone()))
    }

    /// The first `len` bytes of a fresh chunk, rounded up to a multiple of [`LINE`](super::LINE).
    pub fn region(&self, len: usize) -> Region {
        let mut carver = self.carver(len);
        carver.carve(len).unwrap_or_else(|| unreachable!("a fresh chunk holds what it was made for"))
    }

    /// The bytes that are allocated now, in use and idle.
    pub fn bytes(&self) -> usize {
        self.shared.bytes.load(Ordering::Relaxed)
    }

    /// The allocated bytes that are idle, kept for later use.
    pub fn idle_bytes(&self) -> usize {
        self.shared.idle.lock().bytes
    }

    pub(super) fn give_back(&self, memory: Memory) {
        self.shared.give_back(memory);
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}

/// The smallest size class, in bytes: a page. A small slice pins its whole chunk, and a cold scan reads records that
/// lie far apart into a chunk each.
const CLASS_MIN: usize = 4096;

/// From this size class on, 256 KiB, memory lies on huge pages. Smaller transfers gain nothing by it.
const CLASS_HUGE: usize = SLAB / 8;

struct Shared {
    idle_bytes_max: usize,
    bytes: AtomicUsize,
    idle: Mutex<Idle>,
}

struct Idle {
    bytes: usize,
    classes: BTreeMap<usize, Vec<Memory>>,
}

impl Shared {
    fn take(&self, len: usize) -> Memory {
        let class = len.max(CLASS_MIN).next_power_of_two();
        let idle = self.idle.lock().take(class);
        if let Some(mut memory) = idle {
            memory.assert_poisoned();
            return memory;
        }
        if class < CLASS_HUGE || self.idle_bytes_max < SLAB {
            self.bytes.fetch_add(class, Ordering::Relaxed);
            return Memory::zeroed(class);
        }
        // Outside the lock: a huge page takes long to make.
        let mut pieces = Memory::pieces(class);
        let Some(first) = pieces.next() else { unreachable!("a slab is at least as large as its pieces") };
        let mut rest: Vec<Memory> = pieces.collect();
        rest.iter_mut().for_each(Memory::thaw);
        let idle = rest.len() * class;
        self.bytes.fetch_add(class + idle, Ordering::Relaxed);
        self.idle.lock().add(class, rest);
        first
    }

    fn give_back(&self, mut memory: Memory) {
        memory.thaw();
        let class = memory.len();
        let mut idle = self.idle.lock();
        idle.add(class, [memory]);
        if idle.bytes > self.idle_bytes_max {
            let surplus = idle.take_last_allocation(class);
            drop(idle);
            self.bytes.fetch_sub(surplus.len() * class, Ordering::Relaxed);
        }
    }
}

impl Idle {
    fn add(&mut self, class: usize, memory: impl IntoIterator<Item = Memory>) {
        let idle = self.classes.entry(class).or_default();
        let before = idle.len();
        idle.extend(memory);
        self.bytes += (idle.len() - before) * class;
    }

    fn take(&mut self, class: usize) -> Option<Memory> {
        let memory = self.classes.get_mut(&class)?.pop()?;
        self.bytes -= class;
        Some(memory)
    }

    /// Takes the piece that was returned last with all pieces of its allocation; nothing while one of them is in use.
    fn take_last_allocation(&mut self, class: usize) -> Vec<Memory> {
        let Some(idle) = self.classes.get_mut(&class) else { return Vec::new() };
        let Some(last) = idle.pop() else { return Vec::new() };
        if idle.iter().filter(|memory| memory.is_beside(&last)).count() + 1 < last.siblings() {
            idle.push(last);
            return Vec::new();
        }
        let mut taken: Vec<Memory> = idle.extract_if(.., |memory| memory.is_beside(&last)).collect();
        taken.push(last);
        self.bytes -= taken.len() * class;
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again_after_the_last_reference() {
        let pool = Pool::new(1 << 20);
        let slice = pool.region(100).freeze();
        let clone = slice.clone();
        let address = slice.as_ptr();
        drop(slice);
        let other = pool.region(100);
        assert_ne!(other.as_ptr(), address, "the chunk is still referred to");
        drop(clone);
        assert_eq!(pool.region(100).as_ptr(), address);
        assert_eq!(pool.bytes(), 2 * CLASS_MIN);
    }

    #[test]
    #[cfg(debug_assertions)]
    fn released_memory_is_poisoned() {
        let pool = Pool::new(1 << 20);
        let mut region = pool.region(100);
        region.fill(1);
        drop(region.freeze());
        assert!(pool.region(CLASS_MIN).iter().all(|byte| *byte == 0xDB));
    }

    #[test]
    fn no_more_than_the_bound_stays_idle() {
        let pool = Pool::new(CLASS_MIN);
        let regions = [pool.region(1), pool.region(1), pool.region(CLASS_MIN + 1)];
        assert_eq!(pool.bytes(), 4 * CLASS_MIN);
        drop(regions);
        assert_eq!(pool.bytes(), CLASS_MIN);
    }

    #[test]
    fn large_chunks_are_made_together_and_kept_like_others() {
        let pool = Pool::new(SLAB);
        let one = pool.region(CLASS_HUGE);
        assert_eq!(pool.bytes(), SLAB);
        let others: Vec<Region> = (0..SLAB / CLASS_HUGE).map(|_| pool.region(CLASS_HUGE)).collect();
        assert_eq!(pool.bytes(), 2 * SLAB);
        assert_eq!(pool.idle_bytes(), 2 * SLAB - (1 + others.len()) * CLASS_HUGE);
        drop((one, others));
        assert_eq!((pool.bytes(), pool.idle_bytes()), (SLAB, SLAB));
        // One that keeps less than that makes them one by one.
        let frugal = Pool::new(SLAB - 1);
        let region = frugal.region(CLASS_HUGE);
        assert_eq!(frugal.bytes(), region.len());
    }

    #[test]
    fn fresh_memory_is_zero_and_aligned() {
        let region = Pool::new(0).region(CLASS_MIN);
        assert!(region.iter().all(|byte| *byte == 0));
        assert_eq!(region.as_ptr() as usize % 4096, 0);
    }

    #[test]
    fn a_chunk_outlives_its_pool() {
        let pool = Pool::new(1 << 20);
        let mut region = pool.region(64);
        drop(pool);
        region[0] = 7;
        assert_eq!(region.freeze()[0], 7);
    }
}
