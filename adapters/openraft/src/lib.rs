//! Logboom as the storage of openraft.

#![forbid(unsafe_code)]

mod error;
mod options;
mod field;
mod data;
mod log_id;
mod membership;
mod entry;
mod log;
mod machine;
mod aside;
mod snapshot_data;
mod keeper;
#[cfg(feature = "v0_9")]
pub mod v0_9;
#[cfg(feature = "v0_10")]
pub mod v0_10;

pub use data::{Data, DataCodec};
pub use entry::{Kind, Parts, StoredEntry};
pub use error::{Error, Failure, Result};
pub use field::Field;
pub use log_id::Leader;
pub use machine::{SnapshotView, StateMachine};
pub use options::Options;
pub use snapshot_data::SnapshotData;
