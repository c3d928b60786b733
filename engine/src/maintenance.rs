//! Background work: sealing segments, writing checkpoints, moving live records, freeing segments.
//!
//! `Core` and its machines import each other: machines work on the state in `Core`, and `Core` starts them.

pub(crate) mod core;
pub(crate) mod seal;
pub(crate) mod checkpointer;
pub(crate) mod compact;
pub(crate) mod reclaim;
pub(crate) mod victim;
pub(crate) mod pace;
pub(crate) mod space_requests;
pub(crate) mod space;
pub(crate) mod reclaim_at_open;
pub(crate) mod verifier;
pub(crate) mod snapshot_files;
