//! The model of the log tail: what a writer of tables decides, without IO, threads or clocks.
//!
//! The caller passes the time in and carries out what comes back, so a seed repeats a history. Today it has the
//! timestamps of commits and the clock that gives them; nothing uses the crate yet.
//!
//! Commits are ordered by [`Timestamp`]s, which a writer takes from its [`HybridClock`].

#![forbid(unsafe_code)]

mod clock;
mod object_id;
mod timestamp;

pub use clock::{BoundReached, HybridClock, RESERVE};
pub use object_id::{NotAnObjectId, ObjectId};
pub use timestamp::Timestamp;
