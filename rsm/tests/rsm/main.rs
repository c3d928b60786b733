//! Machines, policy and driver through the public surface of the crate.

#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "what a test relies on and does not find is its failure"
)]

mod append_entries;
mod conformance;

#[path = "../../examples/two_nodes/kv.rs"]
mod kv;
mod contracts;
mod damage;
mod driver;
mod histories;
mod kvstore;
mod log_store;
mod model;
mod policy;
mod recovery;
mod runner;
mod world;
