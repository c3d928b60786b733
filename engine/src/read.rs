//! Entries by shard and index, verified, from memory or from the log.

pub(crate) mod shard;
pub(crate) mod query;
pub(crate) mod readers;
pub(crate) mod entries;
pub(crate) mod shared_payloads;
pub(crate) mod store;
pub(crate) mod lost;
