//! Why a flush or a checkpoint does not go on.

use std::error::Error;

use super::error::Stopped;
use crate::{block_meta::MetaError, clock::BoundReached, log::Refusal, table::TableError};

/// Why a flush or a checkpoint does not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FlushError<E: Error + 'static> {
    /// A memtable cannot be read.
    #[error("a memtable cannot be read")]
    Table(#[from] TableError),
    /// The metadata of an object contradict each other.
    #[error("the metadata of an object")]
    Meta(#[from] MetaError),
    /// The record is longer than the log takes.
    #[error("the record of {bytes} bytes is longer than the {max} that the log takes")]
    TooLarge {
        /// The record's length.
        bytes: usize,
        /// The longest one.
        max: usize,
    },
    /// No timestamp may be given before the clock's bound is durable. Try again then.
    #[error("the clock waits for its bound")]
    Clock(#[from] BoundReached),
    /// The log refused a record. Try again where that says so.
    #[error("a record")]
    Log(#[from] Refusal<E>),
    /// The writer has stopped.
    #[error("the writer has stopped: {0}")]
    Stopped(Stopped),
}
