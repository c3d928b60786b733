//! The storage of openraft 0.10.
//!
//! Its core goes on while appends are on their way, so that the appends of one group share syncs as well. A network
//! implements `full_snapshot`: the receiver's handle is [`MachineStore::receive`]'s, and goes to
//! `Raft::install_full_snapshot` when all chunks have arrived.

mod entry;
mod log;
mod machine;

pub use log::LogStore;
pub use machine::{MachineStore, SnapshotBuilder};
pub use openraft_v0_10 as openraft;
