//! The simulator that tries to make the log tail lose transactions.
//!
//! A *history* is a random sequence of what clients do to a tail: open transactions at any timestamp, write, delete,
//! commit, retry, change the catalog, read. It happens on the machine of [`logboom_sim`], whose disk fails, loses power
//! and has its process killed at any operation, and whose wall clock jumps. A plain model in memory has every version
//! of every row, and so says what a scan must show at each timestamp between horizon and watermark, before and after
//! each opening. All decisions come from a seed, so that a failing history can be repeated.
//!
//! A simulator that finds nothing proves something only if it would find a bug: [`marks`] count the interesting places
//! that histories reach, and *mutants* are deliberate bugs, each of which must be found.

#![forbid(unsafe_code)]

mod value;
mod catalog;
mod rows;
mod effects;
mod model;
mod scan;
mod check;
mod chosen;
mod draft;
mod loading;
mod records;
mod life;
mod objects;
mod history;
pub mod marks;
#[cfg(feature = "mutants")]
pub mod mutants;

pub use check::Check;
pub use history::{Counts, every_crash, run_seed};
