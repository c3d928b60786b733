//! Snapshots: a container as it lies, and as it is sent.
#![no_main]
logboom_fuzz::target!(logboom::fuzz::snapshot_container);
