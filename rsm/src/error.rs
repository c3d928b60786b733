//! What can go wrong, by what a caller can do about it.

use std::{io, sync::Arc};

use logboom::{ReadError, snapshot};

/// What a machine fails with: whatever it likes.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What the functions of this crate return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a driver cannot do something. Cheap to clone.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The machine's state, or the newest snapshot, stands for more than the log has: the one or the other is of
    /// another time, or of another shard.
    #[error("the state is that of entry {applied}, the log ends at {}", Shown(.last))]
    Ahead {
        /// The last index that is part of the state.
        applied: u64,
        /// The last index of the log, its boundary included; `None` if it has none.
        last: Option<u64>,
    },
    /// The driver was closed.
    #[error("the driver is closed")]
    Closed,
    /// The engine refused something.
    #[error(transparent)]
    Engine(#[from] logboom::Error),
    /// Something failed after which the machine must not be used any more; the driver does nothing since. Opening a
    /// new driver with a new machine recovers.
    #[error("the driver has stopped: {first}")]
    Halted {
        /// What failed.
        first: Arc<Error>,
    },
    /// The machine failed.
    #[error("{call}: {failure}")]
    Machine {
        /// What it was asked to do: the name of the method.
        call: &'static str,
        /// What it said.
        failure: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// The log begins behind its beginning, and there is no snapshot that stands for what came before.
    #[error("the log begins at {first}, and no snapshot reaches that far")]
    NoSnapshot {
        /// The first index of the log, or where it continues if it is empty.
        first: u64,
    },
    /// An object of a snapshot came that is not the next one, or a transfer was ended before its last.
    #[error("object {got} of a snapshot instead of {}", Shown(.wanted))]
    Object {
        /// The object that is to come next; `None` when all is there.
        wanted: Option<u64>,
        /// The object that came; `u64::MAX` when none did.
        got: u64,
    },
    /// The machine gave another number of outputs than it was given entries.
    #[error("{got} outputs of {expected} entries")]
    Outputs {
        /// The number of entries.
        expected: usize,
        /// The number of outputs.
        got: usize,
    },
    /// The log could not be read. After [`ReadError::Corrupted`] the entries can be healed, and applying goes on.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The log was truncated below what was applied: entries were replaced that had been committed.
    #[error("the log ends at {}, entries up to {applied} are applied", Shown(.last))]
    Rewound {
        /// The last index that was applied.
        applied: u64,
        /// The last index of the log, its boundary included; `None` if it has none.
        last: Option<u64>,
    },
    /// What was received is not newer than what is applied.
    #[error("entries up to {applied} are applied, a snapshot of {index} adds nothing")]
    Stale {
        /// The last index that was applied.
        applied: u64,
        /// The index of the snapshot.
        index: u64,
    },
    /// The last entry that is part of the state has another term in the log: they are of different histories.
    #[error("entry {index} has term {log} in the log, and {state} in the state")]
    Term {
        /// The last index that is part of the state.
        index: u64,
        /// The term in the log.
        log: u64,
        /// The term that was applied, or that the snapshot states.
        state: u64,
    },
}

impl Error {
    pub(crate) fn machine(call: &'static str, failure: Failure) -> Self {
        Self::Machine { call, failure: failure.into() }
    }

    /// What a machine failed with that reads or writes a snapshot. What the snapshot itself failed with, the signal to
    /// stop included, came back through the machine.
    pub(crate) fn streaming(call: &'static str, failure: Failure) -> Self {
        match failure.downcast::<io::Error>() {
            Ok(error) if error.get_ref().is_some_and(|inner| inner.is::<snapshot::Error>()) => Self::io(*error),
            Ok(error) => Self::machine(call, error),
            Err(failure) => Self::machine(call, failure),
        }
    }

    /// What reading or writing a snapshot failed with.
    pub(crate) fn io(error: io::Error) -> Self {
        let found = error.get_ref().and_then(|source| source.downcast_ref::<snapshot::Error>()).cloned();
        let snapshot = found.unwrap_or_else(|| snapshot::Error::Io { what: "snapshot".into(), error: Arc::new(error) });
        Self::Engine(snapshot.into())
    }

    /// Whether a save came to nothing because it was asked to stop.
    pub fn is_stopped(&self) -> bool {
        matches!(self, Self::Engine(logboom::Error::Snapshot(snapshot::Error::Stopped)))
    }
}

impl From<snapshot::Error> for Error {
    fn from(error: snapshot::Error) -> Self {
        Self::Engine(error.into())
    }
}

/// An index that may not be there.
struct Shown<'i>(&'i Option<u64>);

impl std::fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(index) => write!(f, "{index}"),
            None => f.write_str("none"),
        }
    }
}
