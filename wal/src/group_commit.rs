//! Writing: batches are admitted, appended to the open group, committed in groups, and acknowledged in order.

pub(crate) mod admission;
pub(crate) mod append;
pub(crate) mod committer;
pub(crate) mod env;
pub(crate) mod state;
pub(crate) mod log;
pub(crate) mod scheduler;
pub(crate) mod close;
pub(crate) mod drive;
pub(crate) mod cold;
pub(crate) mod watermark;
pub(crate) mod ticket;
pub(crate) mod wakers;
pub(crate) mod wait_queue;
pub(crate) mod metrics;
pub(crate) mod health;
pub(crate) mod delivery;
pub(crate) mod preparation;
pub(crate) mod rows;
pub(crate) mod read;
