//! Operations, crashes and recoveries, beside the model.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| logboom_sim::fuzz::engine_crash(bytes));
