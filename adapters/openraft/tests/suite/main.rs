//! Openraft's own suites for storage, run as they are on the engine.

#![expect(clippy::unwrap_used, reason = "a test states its expectation by unwrapping")]
#![expect(clippy::print_stdout, reason = "what was run is worth a line")]

mod fixture;
#[cfg(feature = "v0_9")]
mod v0_9;
#[cfg(feature = "v0_10")]
mod v0_10;
