//! Errors of a log, by what a core can do about them.

use std::{fmt, sync::Arc};

use logboom::{Cause, ReadError, disk::write_error};

use crate::error::Failure;

/// The result type of a log's methods.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of a log. Cheap to clone. `{:#}` prints its [sources](std::error::Error::source) as well.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The entry to replace is compacted.
    #[error("the log begins at {start}")]
    Compacted {
        /// The first index that can be written.
        start: u64,
    },
    /// The store has failed for good: nothing becomes durable any more, and entries that are not durable may be lost. A
    /// leader resigns; opening the store again recovers it.
    #[error(fmt = failed)]
    Failed {
        /// The failure.
        #[source]
        failure: Cause<dyn std::error::Error + Send + Sync>,
    },
    /// The written entry does not continue the log.
    #[error("entry {index} does not continue the log, {next} would")]
    Gap {
        /// The index that would continue it.
        next: u64,
        /// The index that was given.
        index: u64,
    },
    /// The bytes are not a pack, are damaged, or are packed for another index. Ask the peer again.
    #[error("not a pack of these entries: {what}")]
    Pack {
        /// What is wrong with them.
        what: Arc<str>,
    },
    /// This call had no effect; the store stays usable. The device is full, an entry is too large, or a compaction goes
    /// too far.
    #[error(transparent)]
    Refused {
        /// Why.
        failure: Cause<dyn std::error::Error + Send + Sync>,
    },
    /// An entry exists, or existed, and cannot be read. Other entries can.
    #[error(fmt = unreadable)]
    Unreadable {
        /// Why.
        #[source]
        failure: Cause<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    /// [`Error::Failed`].
    pub fn failed(failure: impl Into<Failure>) -> Self {
        Self::Failed { failure: failure.into().into() }
    }

    /// [`Error::Refused`].
    pub fn refused(failure: impl Into<Failure>) -> Self {
        Self::Refused { failure: failure.into().into() }
    }

    /// [`Error::Unreadable`].
    pub fn unreadable(failure: impl Into<Failure>) -> Self {
        Self::Unreadable { failure: failure.into().into() }
    }

    /// [`Error::Pack`].
    pub fn pack(what: impl Into<Arc<str>>) -> Self {
        Self::Pack { what: what.into() }
    }
}

fn failed(failure: &Cause<dyn std::error::Error + Send + Sync>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write_error(f, "the log has failed", &**failure)
}

fn unreadable(failure: &Cause<dyn std::error::Error + Send + Sync>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write_error(f, "the log cannot be read", &**failure)
}

impl From<logboom::Error> for Error {
    fn from(error: logboom::Error) -> Self {
        use logboom::Error as Engine;
        match error {
            Engine::Compacted { first, .. } => Self::Compacted { start: first },
            Engine::Gap { expected, got, .. } => Self::Gap { next: expected, index: got },
            Engine::Read(error) => error.into(),
            Engine::Closed | Engine::Poisoned { .. } => Self::failed(error),
            _ => Self::refused(error),
        }
    }
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        Self::unreadable(error)
    }
}
