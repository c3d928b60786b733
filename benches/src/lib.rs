//! The benchmarks of Logboom, side by side with the peer that its users have today and with the machine's own limit.
//!
//! `logboom-bench` measures whole systems under load: every round of every system runs in a child process of its own
//! ([`job`]), so that memory, caches and threads are its own, and the parent ([`suite`]) alternates the systems and
//! reports the median of each figure ([`report`]). The criterion benches beside this library measure the stages of the
//! data path one by one, [`device`] the disk below all of them, and [`guard`] counts the instructions of operations.
//!
//! Nothing but this package depends on the peer.

#![forbid(unsafe_code)]

pub mod cli;
pub mod suite;
pub mod interrupt;
pub mod workload;
pub mod job;
pub mod load;
pub mod system;
pub mod stream;
pub mod bare;
pub mod payload;
pub mod latency;
pub mod usage;
pub mod place;
pub mod machine;
pub mod report;
pub mod stage;
pub mod scaling;
pub mod device;
pub mod guard;

/// Any error: a benchmark can only report it and end.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// A result with any error.
pub type Result<T, E = Error> = std::result::Result<T, E>;
