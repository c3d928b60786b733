//! The state of each shard in memory.

pub(crate) mod state;
pub(crate) mod published;
pub(crate) mod shard_map;
pub(crate) mod quarantine;
pub(crate) mod applied;
pub(crate) mod keys;
