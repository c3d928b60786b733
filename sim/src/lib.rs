//! The simulator that tries to make Logboom lose data.
//!
//! A *history* is a random sequence of everything that an engine can be asked for, on a simulated disk that fails,
//! loses power and has its process killed, beside a plain model in memory that says what must be there. All decisions
//! come from one source of [`Choices`], a seed or the bytes of a fuzzer, so that a history that fails can be repeated.
//!
//! The silence of a simulator proves as much as it would notice: *marks* count the interesting places that histories
//! came by, and *mutants* are deliberate bugs, each of which must be found.

#![forbid(unsafe_code)]

mod choices;
mod content;
mod model;
mod operation;
mod world;
mod check;
mod foreign;
mod tickets;
mod history;
mod damage;
mod runner;
pub mod fuzz;
mod script;
pub mod marks;
#[cfg(feature = "mutants")]
pub mod mutants;

pub use check::{Check, Failure};
pub use choices::Choices;
pub use history::{Counts, Scope, run};
pub use runner::{Run, Totals, repeat, run_seed, run_seeds};
pub use script::{Tried, every_crash, every_failure};
