//! Openraft 0.10.

mod entry;
mod log;
mod machine;

pub use log::LogStore;
pub use machine::{MachineStore, SnapshotBuilder};
pub use openraft_v0_10 as openraft;
