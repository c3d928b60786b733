//! The regression guard: compares instructions per operation with a committed record.
//!
//! Times are useless on a machine that other processes use; the number of instructions of an operation is the same on
//! any. Callgrind counts them, without hardware counters, on a simulated disk and without threads. Only the calls of
//! one function are counted, so set-up is left out.
//!
//! [`operations`] defines the operations, [`callgrind`] counts one in a child process, [`record`] compares the counts,
//! and [`command`] is the entry point of the command line.

pub mod operations;
pub mod callgrind;
pub mod record;
pub mod command;

mod fixture;

/// Runs a round of an operation. Callgrind counts this function and its callees, and nothing else.
///
/// Callgrind finds the function by its path, [`callgrind::COUNTED`], so it must not be inlined.
#[inline(never)]
fn counted(round: &mut dyn FnMut() -> crate::Result<()>) -> crate::Result<()> {
    // Prevents a tail call: callgrind stops collecting when this function returns.
    std::hint::black_box(round())
}
