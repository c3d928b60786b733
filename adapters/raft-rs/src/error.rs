//! Errors, by what a caller can do about them.

use logboom::ShardId;

/// The result of most operations.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the adapter.
///
/// The variants for an inconsistent log stand for cases in which raft-rs would panic or, worse, continue.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The applied index is outside the log: entries that the application needs are compacted, or it has applied
    /// entries that the log has lost.
    #[error("{shard}: index {applied} is applied, the log goes from {first} to {last}")]
    Applied {
        /// The shard.
        shard: ShardId,
        /// The index that is applied, or to be dropped.
        applied: u64,
        /// The first index of the log, or where it continues if it is empty.
        first: u64,
        /// The last index of the log.
        last: u64,
    },
    /// The commit index is beyond the end of the log: it is logged behind the entries that it covers, so entries were
    /// lost.
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
    /// An error of the engine. [`logboom::Error::Poisoned`] is permanent: see [fail stop](crate#fail-stop). Never
    /// [`logboom::Error::Read`], which is [`Error::Read`].
    #[error(transparent)]
    Engine(logboom::Error),
    /// The group to create has a log or a configuration already.
    #[error("{shard} exists")]
    Exists {
        /// The shard.
        shard: ShardId,
    },
    /// The stored bytes were not written by this adapter.
    #[error("{shard}: {what}")]
    Malformed {
        /// The shard.
        shard: ShardId,
        /// The finding.
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
    #[error(transparent)]
    Read(#[from] logboom::ReadError),
    /// The log has entries of a later term than the hard state, so a hard state was lost, and maybe a vote with it.
    #[error("{shard}: the hard state is of term {term}, the last entry of term {last_term}")]
    Term {
        /// The shard.
        shard: ShardId,
        /// The term of the hard state; 0 if there is none.
        term: u64,
        /// The term of the last entry.
        last_term: u64,
    },
    /// A crash interrupted the [import](crate::Import) of the group: import it again.
    #[error("{shard}: its import was cut short, and is to be done again")]
    Unfinished {
        /// The shard.
        shard: ShardId,
    },
}

impl From<logboom::Error> for Error {
    fn from(error: logboom::Error) -> Self {
        match error {
            logboom::Error::Read(error) => Self::Read(error),
            error => Self::Engine(error),
        }
    }
}

impl From<Error> for raft::Error {
    fn from(error: Error) -> Self {
        Self::Store(raft::StorageError::Other(Box::new(error)))
    }
}

#[cfg(test)]
mod tests {
    use logboom::ReadError;

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
