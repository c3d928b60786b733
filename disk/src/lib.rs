//! The disk below Logboom: aligned buffers, and the few operations that a log needs of a directory.
//!
//! Everything that the log reads or writes passes through three small traits, [`Disk`] (a directory), [`File`] and
//! [`Queue`] (operations in flight), so the same log runs on io_uring, on plain system calls and on a disk that is
//! simulated in memory and can lose power. Bytes live in [`Chunk`]s: aligned memory that is written once, then frozen
//! and shared without copies by the kernel, by readers of the recent tail, and by `bytes::Bytes`.
//!
//! This crate knows nothing of logs, groups or shards. It is the only one of the workspace that contains `unsafe`;
//! each block states the obligation that it discharges.

#![deny(unsafe_code)]

#[expect(unsafe_code, reason = "memory that is shared in parts while it is filled in parts")]
mod buffer;
mod cause;
mod disk;
mod facts;
mod stats;
mod transfer;
mod inline;
mod owner;
mod options;
mod place;
mod lock;
mod blocking;
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "the kernel reads and writes memory that it is handed by address")]
mod ring;
mod os;
#[expect(unsafe_code, reason = "memory that the kernel wipes in a forked child")]
mod process;
mod sim;

pub use buffer::{Carver, Chunk, LINE, Pool, Region, Slice};
pub use cause::{Cause, write_error};
pub use disk::{Completion, Disk, File, Mode, Op, OpKind, Queue, Sync, Wait, Wake};
pub use facts::{Backend, Facts, SyncMethod, WriteCache};
pub use inline::InlineQueue;
pub use options::{BackendChoice, DirectChoice, DiskOptions, OpenError};
pub use os::{is_vacant, open, open_read_only};
pub use owner::Owner;
pub use process::{Process, lacks_files};
pub use sim::{Fate, Fault, FaultKind, Operation, Rot, SimDisk, SimOptions, Undecided, Unsynced};
pub use stats::DiskStats;
