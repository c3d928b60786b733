//! A batch on its way into the log: planned under the locks of its shards, logged, and seen at once.

pub(crate) mod admit;
pub(crate) mod submit;
pub(crate) mod validate;
pub(crate) mod batch;
pub(crate) mod rejected;
pub(crate) mod snapshot_batch;
