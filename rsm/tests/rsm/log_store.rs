//! Logs: the contract, who keeps it and who does not, crashes, and threads.

mod conformance;
mod crash;
mod memory;
mod shard_log;
