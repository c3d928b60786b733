//! The errors of the engine, by what a caller can do about them.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use logboom_disk::{Cause, lacks_files, write_error};
use logboom_wal::Capacity;

use crate::types::{
    error::read_error::ReadError,
    ids::ShardId,
    limits::{BATCH_RECORDS_MAX, Limit},
    refusal::Refusal,
};

pub(crate) mod read_error;

/// The result of most operations.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call of the engine failed. A batch that was refused has written and changed nothing. Cheap to clone.
///
/// `{:#}` prints all of it in one line: the text of the error, and those of its
/// [sources](std::error::Error::source) behind it. `{}` leaves the sources out, so that code which walks along them
/// prints nothing twice.
///
/// *retry*: the same call may succeed later, when the named condition has changed. *caller*: the same call fails again,
/// and the log is unchanged. *damage*: some durable data is lost. *fatal*: the log must be opened again.
///
/// | variant | what it is | what to do |
/// |---|---|---|
/// | `Abandoned` | fatal | a thread of yours has panicked in a call: open the log again |
/// | `Beyond` | caller | the log ends before the index; `Batch::reset_to` goes further |
/// | `Bug` | fatal | report it; open the log again where it is poisoned by it |
/// | `Busy` | retry | wait for a ticket first |
/// | `Closed` | caller | open the log again |
/// | `Compacted` | caller | the log begins above the index: append from its first index on |
/// | `Config` | caller | change what is named: a field, or the device |
/// | `Corruption` | damage | docs/repair.md |
/// | `Empty` | caller | do not submit empty batches |
/// | `Exhausted` | caller | read it by `Engine::open_read_only`, and write its shards to a new log |
/// | `Files` | retry | raise the limit of open files, or compact |
/// | `Foreign` | caller | give another directory |
/// | `Forked` | caller | use the log in the process that opened it |
/// | `Full` | retry | compact, or free what is named |
/// | `Gap` | caller | append the index that is expected |
/// | `Identity` | damage | `logboom repair` lists what can be done |
/// | `Io` | retry | see to the disk; if the next call says `Poisoned`, a sync has failed: open the log again |
/// | `Leased` | retry | when the lease is gone; `Batch::compact_past_leases` does not wait |
/// | `Locked` | retry | when the other has closed it |
/// | `NewerFormat` | caller | use the version that wrote it, or a later one |
/// | `NotLazy` | caller | submit it as `Durable` |
/// | `Permission` | caller | give the process the right |
/// | `Poisoned` | fatal | nothing is acknowledged any more: open the log again |
/// | `Quarantined` | damage | heal the shard, accept the loss or destroy it |
/// | `Read` | as `ReadError` | `Corrupted` is damage; `Compacted` and `Unavailable` are answers |
/// | `ReadOnly` | caller | mount the file system for writing |
/// | `Snapshot` | as `snapshot::Error` | `Damaged` and `Missing` are damage: fetch another one |
/// | `Target` | as its cause | the directory of the backup failed; this log is unaffected |
/// | `Term` | caller | the entry is not the one of the log |
/// | `TooLarge` | caller | make it smaller |
/// | `Unapplied` | retry | when the entries are applied |
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A thread panicked in a call that submits. That poisons the log: later batches can never become durable.
    #[error("a batch was abandoned before all of it was written: a thread has panicked")]
    Abandoned,
    /// An index past the end of the log was given to `truncate_after`, `compact_through` or `heal`.
    #[error("{shard}: index {index} is beyond the last entry ({})", Shown(*.last))]
    Beyond {
        /// The shard.
        shard: ShardId,
        /// The index that was given.
        index: u64,
        /// The last index of the log, `None` if it is empty.
        last: Option<u64>,
    },
    /// [`Config::admission_bytes`](crate::Config::admission_bytes) are accepted and not yet durable: try again later.
    #[error("the limit of bytes that await durability is reached: wait for a ticket, or raise `admission_bytes`")]
    Busy,
    /// An invariant of the engine or its log is broken. Please report it.
    #[error("a bug of Logboom: {what}")]
    Bug {
        /// Which invariant.
        what: Arc<str>,
    },
    /// The engine was closed.
    #[error("the engine is closed")]
    Closed,
    /// An index at or below the boundary, or below the first entry, was written.
    #[error("{shard}: index {index} is below the log, which begins at {first}")]
    Compacted {
        /// The shard.
        shard: ShardId,
        /// The index that was given.
        index: u64,
        /// The first index that can be written: the first entry's, or the one behind the boundary.
        first: u64,
    },
    /// The configuration is invalid.
    #[error("configuration: {reason}")]
    Config {
        /// What is wrong with it.
        reason: String,
    },
    /// Stored bytes are not those that were written. An opening that fails with this changes nothing.
    #[error("corruption: {what}")]
    Corruption {
        /// The shard whose state is contradictory, if it is about one.
        shard: Option<ShardId>,
        /// What was found, and where.
        what: Arc<str>,
    },
    /// A batch without operations was submitted.
    #[error("the batch is empty")]
    Empty,
    /// The numbers of segments, openings or groups are used up. The log can be read, by
    /// [`Engine::open_read_only`](crate::Engine::open_read_only).
    #[error("the log has no number left for another segment")]
    Exhausted,
    /// The process or the system has reached its limit of open files. A log keeps one file open for each segment in
    /// use, and about twenty others. Raise the limit (`ulimit -n`, `LimitNOFILE`), use larger segments, or compact.
    #[error(fmt = lacks_descriptors)]
    Files {
        /// What was attempted.
        what: Arc<str>,
        /// The answer.
        #[source]
        error: Cause<io::Error>,
    },
    /// The directory does not exist, or does not hold a log of this engine.
    #[error("{}not a Logboom directory: {what}", Subject(.dir))]
    Foreign {
        /// The directory; `None` if the caller opened it, as a [`Disk`](logboom_disk::Disk).
        dir: Option<PathBuf>,
        /// What was found.
        what: String,
    },
    /// The call was made in a forked child of the process that opened the log. Nothing was done.
    #[error("process {owner} opened the log, a forked child cannot use it")]
    Forked {
        /// The process that opened the log.
        owner: u32,
    },
    /// Some files of the directory do not belong to the log that its `LOGBOOM` file names, or that file is damaged:
    /// `logboom repair` lists them, and the remedies. An opening that fails with this changes nothing.
    #[error("the log's identity: {what}")]
    Identity {
        /// Which files are of which log.
        what: Arc<str>,
    },
    /// No prepared segment is left, and there is no space for another; [`Capacity`] says which limit was hit.
    /// Compacting frees space. Accepted batches are not affected.
    #[error(fmt = full)]
    Full {
        /// Which limit was hit.
        capacity: Capacity,
        /// The answer of the system; `None` for the log's own bound.
        #[source]
        error: Option<Cause<io::Error>>,
    },
    /// An entry was appended that does not continue the log.
    #[error("{shard}: entry {got} does not continue the log, {expected} would")]
    Gap {
        /// The shard.
        shard: ShardId,
        /// The index that would continue it.
        expected: u64,
        /// The index that was given.
        got: u64,
    },
    /// A system call failed.
    #[error(fmt = attempted)]
    Io {
        /// What was attempted.
        what: Arc<str>,
        /// The answer.
        #[source]
        error: Cause<io::Error>,
    },
    /// `compact_through` was given an index above that of a leased snapshot, whose reader needs the log above it. See
    /// [`Batch::compact_past_leases`](crate::Batch::compact_past_leases).
    #[error("{shard}: a snapshot of index {held} is leased, the log cannot be compacted through {index}")]
    Leased {
        /// The shard.
        shard: ShardId,
        /// The index that was given.
        index: u64,
        /// The lowest index of a leased snapshot.
        held: u64,
    },
    /// Another process, or another engine of this one, has the directory open for writing.
    #[error("the log in {} is in use{}", dir.display(), Owner(.owner))]
    Locked {
        /// The directory.
        dir: PathBuf,
        /// The owner, if known: another process, this one, or one that has ended and left its lock file.
        owner: Option<String>,
    },
    /// The directory was written by a newer version.
    #[error("the log has format version {found}, this version reads up to {supported}")]
    NewerFormat {
        /// The version that the directory states.
        found: u32,
        /// The newest version that can be read.
        supported: u32,
    },
    /// A lazy batch holds an operation that raft's safety depends on: a truncation, overwriting append, heal, reset,
    /// destruction, accepted loss or hard state. Submit it as `Durable`.
    #[error("{operation} cannot be lazy: submit it as `Durable`")]
    NotLazy {
        /// The operation.
        operation: &'static str,
    },
    /// The process lacks the permission for the directory or a file in it.
    #[error(fmt = forbidden)]
    Permission {
        /// What was attempted.
        what: Arc<str>,
        /// The answer.
        #[source]
        error: Cause<io::Error>,
    },
    /// An earlier write or sync of the log failed. No batch is acknowledged any more, because the state on disk is
    /// unknown; reads still work. Opening the log again recovers it.
    #[error(fmt = poisoned)]
    Poisoned {
        /// The first failure.
        #[source]
        first: Cause<Error>,
    },
    /// Something of the shard is lost that the call depends on: see [`Shard::quarantine`](crate::Shard::quarantine).
    #[error("{shard} is in quarantine: heal it, accept the loss or destroy it (docs/repair.md)")]
    Quarantined {
        /// The shard.
        shard: ShardId,
    },
    /// Entries, or the term of one, could not be read. What [`ReadError::Io`] and [`ReadError::Log`] say is an error of
    /// its own here, as of any other call: [`Error::Io`] or [`Error::Files`], [`Error::Forked`] or [`Error::Bug`].
    #[error(transparent)]
    Read(ReadError),
    /// The file system is mounted read-only.
    #[error(fmt = read_only)]
    ReadOnly {
        /// What was attempted.
        what: Arc<str>,
        /// The answer.
        #[source]
        error: Cause<io::Error>,
    },
    /// The directory or disk that a [backup](crate::Engine::backup) is written to failed.
    #[error(fmt = of_target)]
    Target {
        /// What it was.
        #[source]
        error: Cause<Error>,
    },
    /// [`Batch::heal`](crate::Batch::heal) was given an entry whose term differs from that of the log's entry.
    #[error("{shard}: entry {index} has term {stored}, not {given}")]
    Term {
        /// The shard.
        shard: ShardId,
        /// The index of the entry.
        index: u64,
        /// The term that the log has there.
        stored: u64,
        /// The term that was given.
        given: u64,
    },
    /// A snapshot could not be built, received, registered or read.
    #[error(transparent)]
    Snapshot(#[from] logboom_snapshot::Error),
    /// Something exceeds its limit.
    #[error(
        "{}{what} of {size}{} exceeds the limit of {limit} ({})",
        At(*.shard, *.index),
        .what.unit(),
        .what.bound()
    )]
    TooLarge {
        /// The shard of the operation; `None` for a batch as a whole.
        shard: Option<ShardId>,
        /// The index of the entry, if it is about one.
        index: Option<u64>,
        /// Which limit.
        what: Limit,
        /// Its size: bytes, except for [`Limit::Index`] (an index) and [`Limit::Records`] (their number).
        size: u64,
        /// The greatest allowed, inclusive.
        limit: u64,
    },
    /// `compact_through` was given an index above the [applied floor](crate::Shard::raise_applied_floor).
    #[error("{shard}: entries from {first} on are not applied, the log cannot be compacted through {index}")]
    Unapplied {
        /// The shard.
        shard: ShardId,
        /// The index that was given.
        index: u64,
        /// The first entry that is not known to be applied.
        first: u64,
    },
}

impl Error {
    pub(crate) fn refused(shard: ShardId, index: u64, refusal: Refusal) -> Self {
        match refusal {
            Refusal::Gap { expected, got } => Self::Gap { shard, expected, got },
            Refusal::Compacted { first } => Self::Compacted { shard, index, first },
            Refusal::Beyond { last } => Self::Beyond { shard, index, last },
            Refusal::Quarantined => Self::Quarantined { shard },
            Refusal::Term { index, stored, given } => Self::Term { shard, index, stored, given },
            Refusal::Leased { held } => Self::Leased { shard, index, held },
            Refusal::Unapplied { first } => Self::Unapplied { shard, index, first },
            Refusal::IndexMax => Self::index_max(shard),
        }
    }

    /// The error for `u64::MAX`, which is not an index.
    pub(crate) fn index_max(shard: ShardId) -> Self {
        let (index, limit) = (Some(u64::MAX), u64::MAX - 1);
        Self::TooLarge { shard: Some(shard), index, what: Limit::Index, size: u64::MAX, limit }
    }

    /// With the directory that was to be opened, which the log below does not know.
    pub(crate) fn in_dir(self, dir: &Path) -> Self {
        match self {
            Self::Foreign { dir: None, what } => Self::Foreign { dir: Some(dir.into()), what },
            Self::Target { error } => Self::Target { error: error.into_inner().in_dir(dir).into() },
            other => other,
        }
    }

    pub(crate) fn corruption(shard: ShardId, what: impl fmt::Display) -> Self {
        Self::Corruption { shard: Some(shard), what: format!("{shard}: {what}").into() }
    }

    pub(crate) fn malformed(what: impl Into<Arc<str>>) -> Self {
        Self::Corruption { shard: None, what: what.into() }
    }

    /// Tells apart what a caller can act on.
    pub(crate) fn io(what: impl Into<Arc<str>>, error: io::Error) -> Self {
        Self::shared_io(what.into(), error.into())
    }

    pub(crate) fn shared_io(what: Arc<str>, error: Cause<io::Error>) -> Self {
        if lacks_files(&error) {
            return Self::Files { what, error };
        }
        if let Some(capacity) = Capacity::of(&error) {
            return Self::Full { capacity, error: Some(error) };
        }
        match error.kind() {
            io::ErrorKind::PermissionDenied => Self::Permission { what, error },
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { what, error },
            _ => Self::Io { what, error },
        }
    }
}

impl From<logboom_wal::Error> for Error {
    fn from(error: logboom_wal::Error) -> Self {
        use logboom_wal::Error as Wal;
        match error {
            Wal::Abandoned => Self::Abandoned,
            Wal::Bug { what } => Self::Bug { what },
            Wal::Busy => Self::Busy,
            Wal::Closed => Self::Closed,
            Wal::Corruption(_) => Self::malformed(error.to_string()),
            Wal::Exhausted => Self::Exhausted,
            Wal::Foreign(what) => Self::Foreign { dir: None, what },
            Wal::Forked { owner } => Self::Forked { owner },
            Wal::Full { capacity, error } => Self::Full { capacity, error },
            Wal::Identity(fault) => Self::Identity { what: fault.to_string().into() },
            Wal::Io { what, error } => Self::shared_io(what, error),
            // The engine made the call.
            Wal::Misuse { what } => Self::Bug { what: what.into() },
            Wal::NewerFormat { found, supported } => Self::NewerFormat { found, supported },
            Wal::Poisoned { first } => Self::Poisoned { first: Self::from(first.into_inner()).into() },
            Wal::Target(error) => Self::Target { error: Self::from(error.into_inner()).into() },
            Wal::TooLarge { bytes, limit } => {
                let (size, limit) = (bytes as u64, limit as u64);
                Self::TooLarge { shard: None, index: None, what: Limit::Batch, size, limit }
            }
            Wal::TooMany { records } => {
                let (size, limit) = (records as u64, BATCH_RECORDS_MAX as u64);
                Self::TooLarge { shard: None, index: None, what: Limit::Records, size, limit }
            }
            Wal::Unsupported(reason) => Self::Config { reason },
            // No call of the engine's may meet it: the index names no segment that is retired.
            Wal::Gone(_) => Self::Bug { what: error.to_string().into() },
            // None is left, as a test says. A variant that is new is not to be tried again before it has its line.
            other => Self::Bug { what: other.to_string().into() },
        }
    }
}

/// An index that may not be there.
struct Shown(Option<u64>);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(index) => write!(f, "{index}"),
            None => f.write_str("the log is empty"),
        }
    }
}

/// What makes room.
struct Room(Capacity);

impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("compact shards (`Engine::space` names those that hold the most)")?;
        f.write_str(match self.0 {
            Capacity::Bound { .. } => ", or raise the bound",
            Capacity::Quota => ", or have the quota raised",
            _ => " of the log that lies there, or free space on it",
        })
    }
}

fn attempted(what: &str, error: &Cause<io::Error>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write_error(f, what, &**error)
}

fn lacks_descriptors(what: &str, error: &Cause<io::Error>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write_error(f, format_args!("the limit of open files is reached: {what}"), &**error)
}

fn forbidden(what: &str, error: &Cause<io::Error>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write_error(f, format_args!("no permission: {what}"), &**error)
}

fn read_only(what: &str, error: &Cause<io::Error>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write_error(f, format_args!("the file system is mounted read-only: {what}"), &**error)
}

fn full(capacity: &Capacity, error: &Option<Cause<io::Error>>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let text = format_args!("{capacity}: {}", Room(*capacity));
    match error {
        Some(error) => write_error(f, text, &**error),
        None => f.write_fmt(text),
    }
}

fn poisoned(first: &Cause<Error>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write_error(f, "the log failed earlier", &**first)
}

fn of_target(error: &Cause<Error>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write_error(f, "the target of the copy failed", &**error)
}

/// A directory that is not a log, if it is known.
struct Subject<'d>(&'d Option<PathBuf>);

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |dir| write!(f, "{} is ", dir.display()))
    }
}

/// Shard and index of what exceeds a limit, as far as there are any.
struct At(Option<ShardId>, Option<u64>);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |shard| write!(f, "{shard}: "))?;
        self.1.filter(|&index| index < u64::MAX).map_or(Ok(()), |index| write!(f, "entry {index}: "))
    }
}

struct Owner<'o>(&'o Option<String>);

impl fmt::Display for Owner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(owner) => write!(f, " by {owner}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
