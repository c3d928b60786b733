//! The body of a checkpoint.

pub(crate) mod body;
pub(crate) mod damages;
pub(crate) mod snapshot_table;
