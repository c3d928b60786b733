//! Records, group headers, tables and entry tables, one at a time.
#![no_main]
logboom_fuzz::target!(logboom::fuzz::record_decode);
