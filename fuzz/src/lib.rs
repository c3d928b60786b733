//! Shared by the targets: a counting allocator, and the macro that makes a target of a body.

pub use libfuzzer_sys;

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The bytes allocated so far.
pub fn allocated() -> u64 {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated as u64
}

/// Makes a body a target.
#[macro_export]
macro_rules! target {
    ($body:path) => {
        $crate::libfuzzer_sys::fuzz_target!(|bytes: &[u8]| $body(bytes, &$crate::allocated));
    };
}
