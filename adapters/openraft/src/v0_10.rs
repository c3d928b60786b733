//! The storage of openraft 0.10.
//!
//! Its core continues while appends are in flight, so that appends of one group share syncs too. A network implements
//! `full_snapshot`: the receiver gets a handle from [`MachineStore::receive`], and passes it to
//! `Raft::install_full_snapshot` when all chunks have arrived.

mod entry;
mod log;
mod machine;

pub use log::LogStore;
pub use machine::{MachineStore, SnapshotBuilder};
pub use openraft_v0_10 as openraft;
