//! Directories that were written by the log, and edited.
#![no_main]
logboom_fuzz::target!(logboom_wal::fuzz::segment_recover);
