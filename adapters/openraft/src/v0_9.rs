//! The storage of openraft 0.9, with its feature `storage-v2`.
//!
//! Its core waits for each append of a group before it does anything else, so only appends of different groups share a
//! sync.
//!
//! A network implements `install_snapshot`, and passes the request to `Raft::install_snapshot`. With the feature
//! `generic-snapshot-data`, of this crate or of openraft, it implements `full_snapshot` instead: the receiver gets a
//! handle from `Raft::begin_receiving_snapshot`, and passes it to `Raft::install_full_snapshot` when all chunks have
//! arrived.

mod entry;
mod log;
mod machine;

pub use log::LogStore;
pub use machine::{MachineStore, SnapshotBuilder};
pub use openraft;
