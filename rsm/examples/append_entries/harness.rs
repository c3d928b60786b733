//! A leader and a follower that make the calls of `append_entries` in their order, on simulated machines. Not a raft:
//! there is no election, and no third server.
//!
//! There is one thread. What NuRaft leaves to its commit thread is done in between, and a log that does not wait
//! ([`Appending::Parallel`](logboom_rsm::log_store::Appending)) comes further when somebody steps its engine: so a case
//! has one transcript. What a log does when threads call it at the same time is in `conformance::log_store`.

pub(crate) mod cases;
mod fuse;
mod journal;
mod pair;
mod server;
mod traced;
mod transcript;

/// What anything here fails with.
pub(crate) type Result<T> = std::result::Result<T, logboom_rsm::Failure>;
