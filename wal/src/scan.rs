//! A segment front to back: what counts, where it ends, and where a walk goes on behind damage.

pub(crate) mod walk;
pub(crate) mod window;
pub(crate) mod salvage;
pub(crate) mod verdict;
pub(crate) mod resume;
pub(crate) mod base;
pub(crate) mod scanned;
pub(crate) mod heads;
