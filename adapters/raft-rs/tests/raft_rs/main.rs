//! raft-rs on the engine: contracts, published scenarios, and a simulated cluster.
#![expect(clippy::unwrap_used, reason = "tests")]

mod contract;
mod fetching;
mod importing;
mod joining;
mod lost;
mod ready;
mod rows;
mod simulation;
mod support;
