//! What raft cores rely on and their own suites cannot see: order, durability and crashes, for both versions.

#![expect(clippy::unwrap_used, reason = "a test states its expectation by unwrapping")]
#![expect(clippy::print_stdout, reason = "what was run is worth a line")]

mod fixture;
mod group;
mod on_v0_9;
mod on_v0_10;
mod format;
mod codec;
mod table;
mod flight;
mod histories;
mod readers;
mod machine;
mod stream;
