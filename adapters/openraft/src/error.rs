//! What can go wrong.

use logboom::{ReadError, ShardId};

/// The result of most operations.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the application's own code fails with: whatever it likes.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Why an operation of a store failed. Openraft is given it as the source of its own error, and ends the node.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The engine refused, or failed.
    #[error(transparent)]
    Engine(#[from] logboom::Error),
    /// Entries are not there that were asked for and cannot be missing.
    #[error("{shard}: entries {start} to {end} are asked for, {absent} is not there")]
    Absent {
        /// The shard.
        shard: ShardId,
        /// The first that was asked for.
        start: u64,
        /// The end of what was asked for, exclusive.
        end: u64,
        /// The first that is not there.
        absent: u64,
    },
    /// Something was stored that is not what this crate writes, or not for these types.
    #[error("{shard}: {what} is not what was written: {failure}")]
    Malformed {
        /// The shard.
        shard: ShardId,
        /// What.
        what: String,
        /// Why.
        failure: Failure,
    },
    /// The state machine failed.
    #[error("{shard}: the state machine fails to {what}: {failure}")]
    Machine {
        /// The shard.
        shard: ShardId,
        /// What it was to do.
        what: &'static str,
        /// What it says.
        failure: Failure,
    },
    /// Entries could not be read.
    #[error("{shard}: {error}")]
    Read {
        /// The shard.
        shard: ShardId,
        /// Why not.
        error: ReadError,
    },
    /// A snapshot was to be installed of which nothing, or not everything, has arrived.
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

impl From<logboom::snapshot::Error> for Error {
    fn from(error: logboom::snapshot::Error) -> Self {
        Self::Engine(error.into())
    }
}
