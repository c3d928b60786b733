//! What the engine does by itself: it seals segments, writes checkpoints, moves live records and gives space back.
//!
//! `Core` and the machines that work on it name each other: a machine needs what they share, and `Core` starts them.

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
