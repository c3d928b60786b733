//! The guard against regressions: instructions per operation, compared with a record that is committed.
//!
//! Times say nothing on a machine that others use; the number of instructions that an operation takes is the same
//! there as anywhere. Callgrind counts them, hardware or none, on a simulated disk, without threads. What is counted
//! are the calls of one function, so set-up does not show.
//!
//! [`operations`] says what is counted, [`callgrind`] counts it in a child process, [`record`] compares, [`command`]
//! is what the command line calls.

pub mod operations;
pub mod callgrind;
pub mod record;
pub mod command;

mod fixture;

/// Runs a round of an operation; callgrind counts what is done in here, and nothing else.
///
/// It is found by its path, [`callgrind::COUNTED`], and stands alone for that.
#[inline(never)]
fn counted(round: &mut dyn FnMut() -> crate::Result<()>) -> crate::Result<()> {
    // Not as a tail call: collecting ends where this function returns.
    std::hint::black_box(round())
}
