//! How to embed Logboom in an async server: appends over TCP, on two runtimes.
//!
//! ```sh
//! cargo run --release -p logboom-serve --bin serve-tokio -- --dir /tmp/log
//! cargo run --release -p logboom-serve --bin serve-tokio-uring -- --dir /tmp/log
//! ```
//!
//! Nothing in the engine knows of a runtime: it has threads of its own, and a [`Ticket`](logboom::Ticket) is a plain
//! future that any executor can await. What the two servers share is in this library; what is left in
//! `src/bin/serve-tokio.rs` and `src/bin/serve-tokio-uring.rs` is how each runtime accepts, reads and writes.
//!
//! # What an answer promises
//!
//! | answer | the entry |
//! |---|---|
//! | [`Answer::Durable`] | is in its shard's log at that index, and survives power loss |
//! | [`Answer::Refused`] | is not in the log, and never will be |
//! | [`Answer::Unknown`] | was accepted when the log failed: the next opening tells |
//! | none, and the connection is gone | one of the above, as for any network |
//!
//! A client need not wait for an answer before it sends the next request: up to [`IN_FLIGHT_MAX`] requests of a
//! connection are accepted while their answers are outstanding, so that one sync of the disk serves many of them.
//! Answers come in the order of the requests, since tickets complete in the order of submission.
//!
//! Memory is bounded: by frame ([`PAYLOAD_BYTES_MAX`]), by connection ([`IN_FLIGHT_MAX`]), and by the engine
//! ([`admission_bytes`](logboom::Config)), whose admission a task awaits without blocking its thread.
//!
//! On SIGTERM or SIGINT a server takes no further connection and reads no further request, sends the answers to what it
//! has accepted, and closes the engine.

#![forbid(unsafe_code)]

mod protocol;
mod appender;
mod answers;
mod requests;
mod options;
mod client;

pub use answers::{Answers, IN_FLIGHT_MAX};
pub use appender::{Accepted, Appender};
pub use client::Client;
pub use options::Options;
pub use protocol::{Answer, Decoder, Malformed, PAYLOAD_BYTES_MAX, Request};
pub use requests::{Requests, connection};
