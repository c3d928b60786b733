//! A leader and a follower that make the calls of `append_entries` in their order, on simulated machines. Not a raft:
//! there is no election, and nobody else.

pub(crate) mod cases;
mod fuse;
mod journal;
mod pair;
mod server;
mod traced;
mod transcript;

/// What anything here fails with.
pub(crate) type Result<T> = std::result::Result<T, logboom_rsm::Failure>;
