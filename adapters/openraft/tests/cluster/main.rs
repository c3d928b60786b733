//! Clusters of three nodes in this process, each with an engine of its own: written to, snapshotted, purged and
//! restarted, under either version of openraft.

#![expect(clippy::unwrap_used, reason = "a test states its expectation by unwrapping")]
#![expect(clippy::print_stdout, reason = "what was run is worth a line")]

mod scenario;
mod v0_9;
mod v0_10;
mod in_flight;
