//! Errors, by what a caller can do about them.

use std::{fmt, io, sync::Arc};

use logboom_disk::{Cause, write_error};

/// The result type of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of building, receiving, reading or finding a snapshot.
///
/// `{:#}` prints all of it in one line: the text of the error, and those of its
/// [sources](std::error::Error::source) behind it. `{}` leaves the sources out, so that code which walks along them
/// prints nothing twice.
///
/// *retry*: the same call may succeed later. *caller*: the same call fails again, and nothing has changed. *damage*:
/// some durable data is lost. *fatal*: the log must be opened again.
///
/// | variant | what it is | what to do |
/// |---|---|---|
/// | `Absent` | caller | ask for a file that the snapshot has, and a place in it |
/// | `Damaged` | damage | fetch another snapshot, or make a newer one |
/// | `Foreign` | caller | give what is of this shard and this transfer |
/// | `Full` | retry | when there is room: begin again |
/// | `Incomplete` | caller | send what is missing, from `Receiver::position` on |
/// | `Io` | retry | see to the disk, and begin again |
/// | `Malformed` | caller | ask the sender for the manifest again |
/// | `Missing` | damage | fetch another snapshot, or make a newer one |
/// | `Name` | caller | give the file another name |
/// | `NewerFormat` | caller | use the version that wrote it, or a later one |
/// | `OutOfOrder` | caller | send from the named position on |
/// | `Stale` | caller | drop it: the shard has one that is newer, or this one |
/// | `Stopped` | retry | begin again, if it is still wanted |
/// | `Sync` | fatal | the log is poisoned: open it again |
/// | `TooLarge` | caller | make it smaller |
/// | `Unsupported` | caller | build with the feature of the codec |
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The stored or received bytes differ from those that were written.
    #[error("shard {shard}: snapshot {id:016x} is damaged: {what}")]
    Damaged {
        /// The shard.
        shard: u64,
        /// The snapshot.
        id: u64,
        /// The finding and its place.
        what: Arc<str>,
    },
    /// The snapshot has no file of that name, or the file ends before the requested offset.
    #[error("no such place in the snapshot: {what}")]
    Absent {
        /// The requested place.
        what: Arc<str>,
    },
    /// The file system is full. The partial snapshot was removed.
    #[error(fmt = full)]
    Full {
        /// The answer: the device is full, or a quota is used up.
        #[source]
        error: Cause<io::Error>,
    },
    /// A chunk or a manifest is of another snapshot or another shard.
    #[error("not of this transfer: {what}")]
    Foreign {
        /// The difference.
        what: Arc<str>,
    },
    /// The transfer was finished before all chunks had arrived.
    #[error("incomplete: file {file} has arrived up to {offset} only")]
    Incomplete {
        /// The number of the file.
        file: u32,
        /// The bytes of it that have arrived.
        offset: u64,
    },
    /// An operation other than a sync failed. The partial snapshot was removed.
    #[error(fmt = attempted)]
    Io {
        /// What was attempted.
        what: Arc<str>,
        /// The answer.
        #[source]
        error: Cause<io::Error>,
    },
    /// The bytes are not a manifest, or state something impossible.
    #[error("no manifest of a snapshot: {what}")]
    Malformed {
        /// What is wrong with it.
        what: Arc<str>,
    },
    /// The shard's registered snapshot has no file.
    #[error("shard {shard}: the registered snapshot {id:016x} is missing")]
    Missing {
        /// The shard.
        shard: u64,
        /// The snapshot.
        id: u64,
    },
    /// A file's name would leave the directory, is too long, or was used before.
    #[error("the name {name:?} {reason}")]
    Name {
        /// The name.
        name: Arc<str>,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A newer version wrote the snapshot.
    #[error("the snapshot has format version {found}, this version reads up to {supported}")]
    NewerFormat {
        /// The version that it states.
        found: u32,
        /// The newest version that can be read.
        supported: u32,
    },
    /// A chunk does not follow the last one that arrived; send again from
    /// [`Receiver::position`](crate::Receiver::position).
    #[error("out of order: file {file} at {offset} is wanted next")]
    OutOfOrder {
        /// The number of the file that is expected next.
        file: u32,
        /// The offset in it.
        offset: u64,
    },
    /// The shard has a newer snapshot registered, by index, then by term: one that is built, received or registered
    /// comes too late. For what is received also if it has that snapshot already.
    #[error("stale: shard {shard} has a snapshot of index {index}, term {term}")]
    Stale {
        /// The shard.
        shard: u64,
        /// The index of its newest snapshot.
        index: u64,
        /// The term of its newest snapshot.
        term: u64,
    },
    /// The operation was [stopped](crate::Stop::stop). The partial snapshot was removed.
    #[error("stopped")]
    Stopped,
    /// A sync failed: any unsynced write on the device may be lost, the log's included. The
    /// [host](crate::Host::sync_failed) was notified.
    #[error(fmt = attempted)]
    Sync {
        /// What was attempted.
        what: Arc<str>,
        /// The answer.
        #[source]
        error: Cause<io::Error>,
    },
    /// A size exceeds its limit.
    #[error("{what} of {size}{} exceeds the limit of {limit}", if *.what == What::Files { "" } else { " bytes" })]
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

fn attempted(what: &str, error: &Cause<io::Error>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write_error(f, what, &**error)
}

fn full(error: &Cause<io::Error>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write_error(f, "the file system is full", &**error)
}

/// The subject of [`Error::TooLarge`].
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
    /// The error of an operation other than a sync.
    pub(crate) fn io(what: impl Into<Arc<str>>, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { error: error.into() },
            _ => Self::Io { what: what.into(), error: error.into() },
        }
    }

    /// The error for a snapshot of shard `found` where one of shard `expected` was to come.
    pub fn of_shard(found: u64, expected: u64) -> Self {
        Self::Foreign { what: format!("it is of shard {found}, and one of shard {expected} is expected").into() }
    }

    pub(crate) fn malformed(what: impl Into<Arc<str>>) -> Self {
        Self::Malformed { what: what.into() }
    }
}

/// For reads and writes through the traits of the standard library: the error is the source of the `io::Error`.
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Damaged { .. } | Error::Malformed { .. } => io::ErrorKind::InvalidData,
            Error::Full { error } | Error::Io { error, .. } | Error::Sync { error, .. } => error.kind(),
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
