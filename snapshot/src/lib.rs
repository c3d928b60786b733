//! Snapshot files: streamed in, checksummed, leased, shipped by chunk, retained.
//!
//! A *snapshot* replaces a shard's log up to an index: the state of its application at that index, as one or several
//! *files*, with the index, its term and the membership. It is one container file in the directory of the log, so that
//! a crash leaves all of it or nothing. The bytes are laid out in `FORMAT.md` beside this crate.
//!
//! [`Store::build`] and [`Store::receive`] both return a [`Built`] in the end: a complete, durable snapshot that is not
//! registered yet. The layer above registers it in the log, and calls [`Store::set`]. A [`Lease`] keeps a registered
//! snapshot from being deleted, for as long as it lives.
//!
//! Nothing here holds a whole snapshot in memory, runs in the background, or reads a clock.

#![forbid(unsafe_code)]

#[cfg(feature = "mutants")]
pub mod mutants;
#[cfg(not(feature = "mutants"))]
mod mutants;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod error;
mod host;
mod stop;
mod progress;
mod entry_id;
mod spec;
mod name;
mod codec;
mod block;
mod registered;
mod position;
mod manifest;
mod header;
mod pipe;
mod medium;
mod opened;
mod shared;
mod lease;
mod built;
mod draft;
mod builder;
mod fetch;
mod reader;
mod chunk;
mod receiver;
mod export;
mod keep;
mod store;

pub use block::CHUNK_BYTES_MAX;
pub use builder::{Builder, FileWriter};
pub use built::Built;
pub use chunk::{Chunk, Chunks};
pub use entry_id::EntryId;
pub use error::{Error, Result, What};
pub use host::Host;
pub use keep::Keep;
pub use lease::Lease;
pub use manifest::{FileInfo, Manifest};
pub use name::{NAME_BYTES_MAX, check_name};
pub use position::Position;
pub use progress::Progress;
pub use reader::Reader;
pub use receiver::Receiver;
pub use registered::Registered;
pub use spec::{Codec, FILES_MAX, MEMBERSHIP_BYTES_MAX, METADATA_BYTES_MAX, Spec};
pub use stop::Stop;
pub use store::Store;
