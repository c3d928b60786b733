//! Metadata of objects and blocks of the log tail.
#![no_main]
logboom_fuzz::target!(logboom_logtail_core::fuzz::block_meta);
