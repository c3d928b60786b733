//! Opening: rebuilds the state of every shard from checkpoint, footers and records.

pub(crate) mod open;
pub(crate) mod log_options;
pub(crate) mod replay;
pub(crate) mod shard_recovery;
pub(crate) mod report;
pub(crate) mod steady;
