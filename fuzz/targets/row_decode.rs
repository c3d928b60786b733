//! Records of rows, appended to a chunk.
#![no_main]
logboom_fuzz::target!(logboom_logtail_core::fuzz::row_decode);
