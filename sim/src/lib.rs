//! The simulator that tries to make Logboom lose data.
//!
//! A *history* is a random sequence of all operations of an engine, on a simulated disk that fails, loses power and has
//! its process killed. A plain model in memory says what the engine must hold. All decisions come from one source of
//! [`Choices`], a seed or the bytes of a fuzzer, so that a failing history can be repeated.
//!
//! A simulator that finds nothing proves something only if it would find a bug: *marks* count the interesting places
//! that histories reach, and *mutants* are deliberate bugs, each of which must be found.

//! Simulators of what stands above the engine share the [`World`], the [`Choices`] and the runner of histories.

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
pub use world::World;
