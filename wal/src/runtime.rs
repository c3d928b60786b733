//! Threads, clocks and locks, and a disk that is monitored for stalls.

pub(crate) mod worker;
pub(crate) mod sync;
pub(crate) mod park_flag;
pub(crate) mod watched;
pub(crate) mod watched_queue;
pub(crate) mod foreign;
pub(crate) mod notices;
pub(crate) mod device_watch;
pub(crate) mod faults;
