//! What can go wrong, by what a caller can do about it.

use std::{fmt, io, sync::Arc};

/// What the functions of this crate return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a snapshot could not be built, received, read or found.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// What is stored, or was received, is not what was written.
    #[error("shard {shard}: snapshot {id:016x} is damaged: {what}")]
    Damaged {
        /// The shard.
        shard: u64,
        /// The snapshot.
        id: u64,
        /// What was found, and where.
        what: Arc<str>,
    },
    /// There is no file of that name in the snapshot, or the file ends before the offset that was asked for.
    #[error("no such place in the snapshot: {what}")]
    Absent {
        /// What was asked for.
        what: Arc<str>,
    },
    /// The file system is full. Nothing is left of what was built or received.
    #[error("the file system is full")]
    Full,
    /// A chunk, or a manifest, is of another snapshot or another shard than the one that is received.
    #[error("not of this transfer: {what}")]
    Foreign {
        /// In what it differs.
        what: Arc<str>,
    },
    /// The transfer was ended before everything had arrived.
    #[error("incomplete: file {file} has arrived up to {offset} only")]
    Incomplete {
        /// The number of the file.
        file: u32,
        /// The bytes of it that are there.
        offset: u64,
    },
    /// The operating system refused something that is not a sync. Nothing is left of what was built or received.
    #[error("{what}: {error}")]
    Io {
        /// What was attempted.
        what: Arc<str>,
        /// The answer.
        error: Arc<io::Error>,
    },
    /// What was given as a manifest is none, or says what cannot be.
    #[error("no manifest of a snapshot: {what}")]
    Malformed {
        /// What is wrong with it.
        what: Arc<str>,
    },
    /// The shard's snapshot is registered, and its file is not there.
    #[error("shard {shard}: the registered snapshot {id:016x} is missing")]
    Missing {
        /// The shard.
        shard: u64,
        /// The snapshot.
        id: u64,
    },
    /// A file's name would not stay within a directory, is too long, or is there already.
    #[error("the name {name:?} {reason}")]
    Name {
        /// The name.
        name: Arc<str>,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// It was written by a newer version.
    #[error("the snapshot has format version {found}, this version reads up to {supported}")]
    NewerFormat {
        /// The version that it states.
        found: u32,
        /// The newest version that can be read.
        supported: u32,
    },
    /// A chunk does not follow what has arrived; send again from [`Receiver::position`](crate::Receiver::position).
    #[error("out of order: file {file} at {offset} is wanted next")]
    OutOfOrder {
        /// The number of the file that is wanted next.
        file: u32,
        /// The offset in it.
        offset: u64,
    },
    /// The shard has a newer snapshot registered: by index, then by term.
    #[error("stale: shard {shard} has a snapshot of index {index}, term {term}")]
    Stale {
        /// The shard.
        shard: u64,
        /// The index of its newest snapshot.
        index: u64,
        /// The term of its newest snapshot.
        term: u64,
    },
    /// It was [stopped](crate::Stop::stop). Nothing is left of it.
    #[error("stopped")]
    Stopped,
    /// A sync failed: nothing is known of any unsynced write on the device, the log's included. The
    /// [host](crate::Host::sync_failed) was told.
    #[error("{what}: {error}")]
    Sync {
        /// What was attempted.
        what: Arc<str>,
        /// The answer.
        error: Arc<io::Error>,
    },
    /// Something exceeds its limit.
    #[error("{what} of {size} exceeds the limit of {limit}")]
    TooLarge {
        /// What.
        what: What,
        /// Its size in bytes; of [`What::Files`], their number.
        size: u64,
        /// The greatest allowed, inclusive.
        limit: u64,
    },
    /// This build lacks the codec that the snapshot was compressed with.
    #[error("compressed with {codec}, which this build lacks")]
    Unsupported {
        /// The codec.
        codec: &'static str,
    },
}

/// What [`Error::TooLarge`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum What {
    /// The membership.
    Membership,
    /// The user's metadata.
    Metadata,
    /// The number of files of a snapshot.
    Files,
    /// One file of a snapshot.
    File,
}

impl Error {
    /// An error of anything but a sync.
    pub(crate) fn io(what: impl Into<Arc<str>>, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Io { what: what.into(), error: Arc::new(error) },
        }
    }

    pub(crate) fn malformed(what: impl Into<Arc<str>>) -> Self {
        Self::Malformed { what: what.into() }
    }
}

/// For what is read and written through the traits of the standard library: the error is found again as the source.
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Damaged { .. } | Error::Malformed { .. } => io::ErrorKind::InvalidData,
            Error::Full => io::ErrorKind::StorageFull,
            Error::Io { error, .. } | Error::Sync { error, .. } => error.kind(),
            Error::Name { .. } | Error::TooLarge { .. } => io::ErrorKind::InvalidInput,
            Error::Absent { .. } | Error::Missing { .. } => io::ErrorKind::NotFound,
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Membership => "a membership",
            Self::Metadata => "metadata",
            Self::Files => "a number of files",
            Self::File => "a file",
        })
    }
}
