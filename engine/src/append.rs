//! Appending: validates a batch under the locks of its shards, writes it to the log's open group and publishes it.

pub(crate) mod admit;
pub(crate) mod submit;
pub(crate) mod validate;
pub(crate) mod batch;
pub(crate) mod rejected;
pub(crate) mod snapshot_batch;
