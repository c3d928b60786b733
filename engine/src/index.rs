//! Where entries lie, and what is live in which segment.

pub(crate) mod log;
pub(crate) mod spans;
pub(crate) mod terms;
pub(crate) mod tally;
pub(crate) mod footer;
pub(crate) mod claims;
pub(crate) mod durable_marks;
pub(crate) mod footer_cache;
