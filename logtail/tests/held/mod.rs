//! What is held in memory, by an allocator that counts.

use std::{
    alloc::System,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

pub(crate) const MIB: usize = 1 << 20;

/// The bytes that are allocated now.
fn held() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated.saturating_sub(stats.bytes_deallocated)
}

/// The most bytes that are held while `call` runs, beyond those before it.
pub(crate) fn most<T>(call: impl FnOnce() -> T) -> (usize, T) {
    let before = held();
    let (most, is_over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let watch = {
        let (most, is_over) = (Arc::clone(&most), Arc::clone(&is_over));
        thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                most.fetch_max(held(), Ordering::Relaxed);
                thread::sleep(Duration::from_micros(200));
            }
        })
    };
    let done = call();
    is_over.store(true, Ordering::Relaxed);
    watch.join().unwrap();
    (most.load(Ordering::Relaxed).saturating_sub(before), done)
}
