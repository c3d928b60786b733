//! The model of the log tail: what a writer of tables decides, without IO, threads or clocks.
//!
//! The caller passes the time in and carries out what comes back, so a seed repeats a history. Today it has the
//! timestamps of commits and the clock that gives them, the encoding of keys, metadata of objects, and the words of
//! object storage.
//!
//! Commits are ordered by [`Timestamp`]s, which a writer takes from its [`HybridClock`]. Rows of a table have
//! keys ([`key`]), which are stored as bytes that sort as the keys do. Objects lie in a [`store`]; what
//! the log knows of one is its [`block_meta`].

#![forbid(unsafe_code)]

pub mod block_meta;
mod clock;
#[cfg(feature = "fuzz")]
pub mod fuzz;
pub mod key;
mod object_id;
mod physical;
pub mod rows;
pub mod store;
mod timestamp;
mod widening;

pub use clock::{BoundReached, HybridClock, RESERVE};
pub use object_id::{NotAnObjectId, ObjectId};
pub use timestamp::Timestamp;
pub use widening::{widen, widens};
