//! The storage of openraft 0.9, with its features `storage-v2` and `generic-snapshot-data`.
//!
//! Its core waits for each append of a group before it does anything else, so what shares a sync is the appends of many
//! groups. A network implements `full_snapshot`: the receiver's handle is `Raft::begin_receiving_snapshot`'s, and goes
//! to `Raft::install_full_snapshot` when all chunks have arrived.

mod entry;
mod log;
mod machine;

pub use log::LogStore;
pub use machine::{MachineStore, SnapshotBuilder};
pub use openraft;
