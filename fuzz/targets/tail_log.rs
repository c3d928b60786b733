//! Logs of the log tail: records, items of checkpoints, recovery.
#![no_main]
logboom_fuzz::target!(logboom_logtail_core::fuzz::tail_log);
