//! What can go wrong, by what a caller can do about it.

use logboom::ShardId;

/// The result of most operations.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation of the adapter failed.
///
/// Those that say that a log contradicts itself are what raft-rs would end the process for, or, worse, go on with.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// What is applied does not lie in the log: entries that the application needs are compacted, or it has applied
    /// what the log has lost.
    #[error("{shard}: index {applied} is applied, the log goes from {first} to {last}")]
    Applied {
        /// The shard.
        shard: ShardId,
        /// What the application has applied, or is asked to drop.
        applied: u64,
        /// The first index of the log, or where it continues if it is empty.
        first: u64,
        /// The last index of the log.
        last: u64,
    },
    /// More is committed than there is: the commit index is logged behind what it covers, so entries were lost.
    #[error("{shard}: index {commit} is committed, the log goes from {first} to {last}")]
    Commit {
        /// The shard.
        shard: ShardId,
        /// The commit index that was stored.
        commit: u64,
        /// The first index of the log, or where it continues if it is empty.
        first: u64,
        /// The last index of the log.
        last: u64,
    },
    /// The engine failed, or refused something. [`logboom::Error::Poisoned`] is for good: see
    /// [fail stop](crate#fail-stop).
    #[error(transparent)]
    Engine(#[from] logboom::Error),
    /// A group that has a log, or a configuration, was to be created.
    #[error("{shard} exists")]
    Exists {
        /// The shard.
        shard: ShardId,
    },
    /// What is stored is nothing that this adapter has written.
    #[error("{shard}: {what}")]
    Malformed {
        /// The shard.
        shard: ShardId,
        /// What was found.
        what: String,
    },
    /// The snapshot of a `Ready` was not [received](crate::Group::received) before its message was given to the core.
    #[error("{shard}: no snapshot of index {index} and term {term} was received")]
    NoSnapshot {
        /// The shard.
        shard: ShardId,
        /// Its index.
        index: u64,
        /// Its term.
        term: u64,
    },
    /// Entries could not be read.
    #[error("{shard}: {error}")]
    Read {
        /// The shard.
        shard: ShardId,
        /// Why.
        error: logboom::ReadError,
    },
    /// The log has entries of a later term than the hard state: that was lost, and with it maybe a vote.
    #[error("{shard}: the hard state is of term {term}, the last entry of term {last_term}")]
    Term {
        /// The shard.
        shard: ShardId,
        /// The term of the hard state; 0 if there is none.
        term: u64,
        /// The term of the last entry.
        last_term: u64,
    },
    /// A group that was [imported](crate::Import) when a crash came: it is to be imported again.
    #[error("{shard}: its import was cut short, and is to be done again")]
    Unfinished {
        /// The shard.
        shard: ShardId,
    },
}

impl From<Error> for raft::Error {
    fn from(error: Error) -> Self {
        Self::Store(raft::StorageError::Other(Box::new(error)))
    }
}
