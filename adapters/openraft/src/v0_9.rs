//! Openraft 0.9.

mod entry;
mod log;
mod machine;

pub use log::LogStore;
pub use machine::{MachineStore, SnapshotBuilder};
pub use openraft;
