//! Files: segments and their footers, checkpoint slots, the identity, and prepared segments.

pub(crate) mod medium;
pub(crate) mod segment;
pub(crate) mod footer;
pub(crate) mod identity;
pub(crate) mod slots;
pub(crate) mod supply;
pub(crate) mod log_match;
pub(crate) mod unreadable;
pub(crate) mod aside;
