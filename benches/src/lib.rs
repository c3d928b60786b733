//! The benchmarks of Logboom, which compare it with raft-engine and with the limit of the machine.
//!
//! `logboom-bench` measures whole systems under load: every round of every system runs in its own child process
//! ([`job`]), with its own memory, caches and threads, and the parent ([`suite`]) alternates the systems and reports
//! the median of each figure ([`report`]). The criterion benches beside this library measure the stages of the data
//! path one by one, [`device`] measures the disk, and [`guard`] counts the instructions of operations.
//!
//! Only this package depends on the systems that Logboom is compared with.

#![forbid(unsafe_code)]

pub mod cli;
pub mod suite;
pub mod interrupt;
pub mod workload;
pub mod tail;
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

/// Any error: a benchmark can only report it and exit.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// A result with any error.
pub type Result<T, E = Error> = std::result::Result<T, E>;
