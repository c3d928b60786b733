//! Footers and checkpoints, one at a time and below an engine.
#![no_main]
logboom_fuzz::target!(logboom::fuzz::metadata_archive);
