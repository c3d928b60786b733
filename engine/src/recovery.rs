//! Opening: checkpoint, footers and records become the state of every shard again.

pub(crate) mod open;
pub(crate) mod log_options;
pub(crate) mod replay;
pub(crate) mod shard_recovery;
pub(crate) mod report;
pub(crate) mod steady;
