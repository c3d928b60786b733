//! Bulk loads: rows past what an entry of the log takes.

mod check;
mod run;

pub use check::LoadCheck;
pub use run::{DuplicateInRun, LoadRun, SortedRun};
