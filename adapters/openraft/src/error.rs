//! Errors.

use std::fmt;

use logboom::{ReadError, ShardId, disk::write_error};

/// The result of most operations.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the application's code, of any type.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// An error of a store. Openraft gets it as the source of its own error, and stops the node. `{:#}` prints its
/// [sources](std::error::Error::source) as well.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An error of the engine. Never [`logboom::Error::Read`], which is [`Error::Read`].
    #[error(transparent)]
    Engine(logboom::Error),
    /// Requested entries are missing.
    #[error("{shard}: entries {start} to {end} are asked for, {absent} is not there")]
    Absent {
        /// The shard.
        shard: ShardId,
        /// The first requested index.
        start: u64,
        /// The end of the requested range, exclusive.
        end: u64,
        /// The first missing index.
        absent: u64,
    },
    /// The stored bytes were not written by this crate, or not for these types.
    #[error(fmt = malformed)]
    Malformed {
        /// The shard.
        shard: ShardId,
        /// What.
        what: String,
        /// Why.
        #[source]
        failure: Failure,
    },
    /// The state machine failed.
    #[error(fmt = machine)]
    Machine {
        /// The shard.
        shard: ShardId,
        /// The operation.
        what: &'static str,
        /// Its error.
        #[source]
        failure: Failure,
    },
    /// Entries could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The snapshot to install has not arrived completely.
    #[error("{shard}: the snapshot has not arrived as a whole")]
    Unfinished {
        /// The shard.
        shard: ShardId,
    },
}

impl Error {
    pub(crate) fn malformed(shard: ShardId, what: impl Into<String>, failure: impl Into<Failure>) -> Self {
        Self::Malformed { shard, what: what.into(), failure: failure.into() }
    }
}

fn malformed(shard: &ShardId, what: &str, failure: &Failure, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write_error(f, format_args!("{shard}: {what} is not what was written"), &**failure)
}

fn machine(shard: &ShardId, what: &str, failure: &Failure, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write_error(f, format_args!("{shard}: the state machine fails to {what}"), &**failure)
}

impl From<logboom::Error> for Error {
    fn from(error: logboom::Error) -> Self {
        match error {
            logboom::Error::Read(error) => Self::Read(error),
            error => Self::Engine(error),
        }
    }
}

impl From<logboom::snapshot::Error> for Error {
    fn from(error: logboom::snapshot::Error) -> Self {
        Self::Engine(error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_read_has_one_shape() {
        let read = ReadError::Unavailable { shard: ShardId(7), index: 9, last: None };
        let through_the_engine = Error::from(logboom::Error::from(read.clone()));
        assert!(matches!(through_the_engine, Error::Read(_)), "{through_the_engine:?}");
        assert!(matches!(Error::from(read), Error::Read(_)));
        assert!(matches!(Error::from(logboom::Error::Busy), Error::Engine(logboom::Error::Busy)));
    }
}
