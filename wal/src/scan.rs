//! Scanning a segment from front to back: its groups, its end, and how a walk goes on after damage.

pub(crate) mod walk;
pub(crate) mod window;
pub(crate) mod salvage;
pub(crate) mod verdict;
pub(crate) mod resume;
pub(crate) mod context;
pub(crate) mod scanned;
pub(crate) mod heads;
