//! The storage of openraft 0.9, with its feature `storage-v2`.
//!
//! Its core waits for each append of a group before it does anything else, so what shares a sync is the appends of many
//! groups.
//!
//! A network implements `install_snapshot`, and hands the request to `Raft::install_snapshot`. With the feature
//! `generic-snapshot-data`, of this crate or of openraft, it implements `full_snapshot` instead: the receiver's handle
//! is `Raft::begin_receiving_snapshot`'s, and goes to `Raft::install_full_snapshot` when all chunks have arrived.

mod entry;
mod log;
mod machine;

pub use log::LogStore;
pub use machine::{MachineStore, SnapshotBuilder};
pub use openraft;
