//! The error of reading entries, or the term of one.

use std::{fmt, io, ops::Range, sync::Arc};

use logboom_disk::{Cause, write_error};
use logboom_wal::Error as WalError;

use crate::types::{error::Error, ids::ShardId};

/// Why entries, or the term of one, could not be read. Cheap to clone. `{:#}` prints the sources as well.
///
/// *answer*: nothing failed, the log has no such entry. The other words are those of [`Error`].
///
/// | variant | what it is | what to do |
/// |---|---|---|
/// | `Compacted` | answer | the log begins above the index: read from `first` on, or send a snapshot |
/// | `Corrupted` | damage | docs/repair.md; the entries can be healed from another replica |
/// | `Io` | retry | see to the disk |
/// | `Log` | as its source | `Forked`: use the log in the process that opened it; `Bug`: report it |
/// | `Unavailable` | answer | the log ends below the index |
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The range begins below the first entry; a term: the index lies below the boundary, or below the first entry
    /// where there is none.
    #[error("{shard}: entry {index} is compacted: the log begins at {first}")]
    Compacted {
        /// The shard.
        shard: ShardId,
        /// The index that was asked for: of a range its start.
        index: u64,
        /// The first index of the log, or where it continues if it is empty.
        first: u64,
    },
    /// The entries are damaged or lost; from [`Shard::term`](crate::Shard::term), their terms too. Others are readable.
    #[error("{shard}: {}: {what}", Damaged(.range))]
    Corrupted {
        /// The shard.
        shard: ShardId,
        /// The entries that cannot be read, half-open.
        range: Range<u64>,
        /// What was found, and where: the segment and the byte, as far as they are known.
        what: Arc<str>,
    },
    /// A system call failed. Nothing is known to be lost: the same read may succeed later.
    #[error(fmt = attempted_for)]
    Io {
        /// The shard.
        shard: ShardId,
        /// What was attempted.
        what: Arc<str>,
        /// The answer.
        #[source]
        error: Cause<io::Error>,
    },
    /// The log cannot be read for another reason than a failed system call: [`Error::Forked`] or [`Error::Bug`].
    #[error(fmt = unreadable)]
    Log {
        /// The shard.
        shard: ShardId,
        /// The reason.
        #[source]
        error: Cause<Error>,
    },
    /// The range ends, or the index lies, past the last entry.
    #[error("{shard}: entry {index} is unavailable: {}", End(*.last))]
    Unavailable {
        /// The shard.
        shard: ShardId,
        /// The first index that was asked for and is not there.
        index: u64,
        /// The last index of the log, `None` if it is empty.
        last: Option<u64>,
    },
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Io { shard, what, error } => Self::shared_io(format!("{shard}: {what}").into(), error),
            ReadError::Log { error, .. } => error.into_inner(),
            error => Self::Read(error),
        }
    }
}

impl ReadError {
    /// The shard that was read.
    pub fn shard(&self) -> ShardId {
        match *self {
            Self::Compacted { shard, .. }
            | Self::Corrupted { shard, .. }
            | Self::Io { shard, .. }
            | Self::Log { shard, .. }
            | Self::Unavailable { shard, .. } => shard,
        }
    }

    /// A failure of the log that is no damage.
    pub(crate) fn log(shard: ShardId, error: WalError) -> Self {
        match error {
            WalError::Io { what, error } => Self::Io { shard, what, error },
            other => Self::Log { shard, error: Error::from(other).into() },
        }
    }

    /// Whether the entries may be intact: the disk, or the log, did not answer.
    pub(crate) fn is_failure(&self) -> bool {
        matches!(self, Self::Io { .. } | Self::Log { .. })
    }
}

fn attempted_for(shard: &ShardId, what: &str, error: &Cause<io::Error>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write_error(f, format_args!("{shard}: {what}"), &**error)
}

fn unreadable(shard: &ShardId, error: &Cause<Error>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write_error(f, format_args!("{shard}: the log cannot be read"), &**error)
}

/// Entries that are damaged, as a person counts them.
struct Damaged<'a>(&'a Range<u64>);

impl fmt::Display for Damaged<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Range { start, end } = *self.0;
        match end.saturating_sub(start) {
            0 | 1 => write!(f, "entry {start} is damaged"),
            _ if end == u64::MAX => write!(f, "the entries from {start} on are damaged"),
            _ => write!(f, "entries {start} to {} are damaged", end - 1),
        }
    }
}

/// Where a log ends.
struct End(Option<u64>);

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(last) => write!(f, "the log ends at {last}"),
            None => f.write_str("the log is empty"),
        }
    }
}
