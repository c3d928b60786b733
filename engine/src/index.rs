//! The index: where entries lie, and how much of each segment is live.

pub(crate) mod log_index;
pub(crate) mod spans;
pub(crate) mod terms;
pub(crate) mod usage;
pub(crate) mod footer;
pub(crate) mod claims;
pub(crate) mod durable_ends;
pub(crate) mod footer_cache;
