//! `logboom repair`.
