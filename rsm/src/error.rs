//! Errors, by what a caller can do about them.

use std::{fmt, io};

use logboom::{Cause, ReadError, disk::write_error, snapshot};

/// An error of a machine, of any type.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The result type of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of a driver. Cheap to clone.
///
/// `{:#}` prints all of it in one line: the text of the error, and those of its
/// [sources](std::error::Error::source) behind it. `{}` leaves the sources out, so that code which walks along them
/// prints nothing twice.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The machine's state or the newest snapshot includes entries beyond the end of the log: one of them is from
    /// another time or another shard.
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
    /// The engine refused something. Never [`logboom::Error::Read`], which is [`Error::Read`].
    #[error(transparent)]
    Engine(logboom::Error),
    /// The driver has stopped after an error that leaves the machine unusable. Opening a new driver with a new machine
    /// recovers.
    #[error(fmt = halted)]
    Halted {
        /// What failed.
        #[source]
        first: Cause<Error>,
    },
    /// The machine failed.
    #[error(fmt = failed)]
    Machine {
        /// The name of the method that failed.
        call: &'static str,
        /// Its error.
        #[source]
        failure: Cause<dyn std::error::Error + Send + Sync>,
    },
    /// The log is compacted, and no snapshot covers the entries that were dropped.
    #[error("the log begins at {first}, and no snapshot reaches that far")]
    NoSnapshot {
        /// The first index of the log, or where it continues if it is empty.
        first: u64,
    },
    /// A snapshot object came out of order, or a transfer was finished before its last object.
    #[error("object {} of a snapshot instead of {}", Shown(.got), Shown(.wanted))]
    Object {
        /// The object that must come next; `None` when the transfer is complete.
        wanted: Option<u64>,
        /// The object that came; `None` if the transfer was finished instead.
        got: Option<u64>,
    },
    /// The machine returned a number of outputs that differs from the number of entries.
    #[error("{got} outputs of {expected} entries")]
    Outputs {
        /// The number of entries.
        expected: usize,
        /// The number of outputs.
        got: usize,
    },
    /// The log could not be read. After [`ReadError::Corrupted`] the entries can be healed, and then applying
    /// continues.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The log was truncated below the applied index: committed entries were replaced.
    #[error("the log ends at {}, entries up to {applied} are applied", Shown(.last))]
    Rewound {
        /// The last index that was applied.
        applied: u64,
        /// The last index of the log, its boundary included; `None` if it has none.
        last: Option<u64>,
    },
    /// The received snapshot is not newer than the applied state.
    #[error("entries up to {applied} are applied, a snapshot of {index} adds nothing")]
    Stale {
        /// The last index that was applied.
        applied: u64,
        /// The index of the snapshot.
        index: u64,
    },
    /// The last entry of the state has another term in the log: the two are of different histories.
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

    /// Turns a machine's failure while it reads or writes a snapshot into an error. Errors of the snapshot itself, the
    /// stop signal included, came back through the machine.
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
        let snapshot = found.unwrap_or_else(|| snapshot::Error::Io { what: "snapshot".into(), error: error.into() });
        Self::Engine(snapshot.into())
    }

    /// Whether a save ended because of the stop signal.
    pub fn is_stopped(&self) -> bool {
        matches!(self, Self::Engine(logboom::Error::Snapshot(snapshot::Error::Stopped)))
    }
}

impl From<logboom::Error> for Error {
    fn from(error: logboom::Error) -> Self {
        match error {
            logboom::Error::Read(error) => Self::Read(error),
            error => Self::Engine(error),
        }
    }
}

impl From<snapshot::Error> for Error {
    fn from(error: snapshot::Error) -> Self {
        Self::Engine(error.into())
    }
}

fn halted(first: &Cause<Error>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write_error(f, "the driver has stopped", &**first)
}

fn failed(call: &str, failure: &Cause<dyn std::error::Error + Send + Sync>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write_error(f, format_args!("the machine fails in `{call}`"), &**failure)
}

/// Prints an index or its absence.
struct Shown<'i>(&'i Option<u64>);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(index) => write!(f, "{index}"),
            None => f.write_str("none"),
        }
    }
}

#[cfg(test)]
mod tests {
    use logboom::ShardId;

    use super::*;

    #[test]
    fn a_walk_along_the_sources_prints_nothing_twice() {
        let machine = Error::machine("update", io::Error::from_raw_os_error(5).into());
        let error = Error::Halted { first: machine.into() };
        let chain = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
        let walked: Vec<String> = chain.map(ToString::to_string).collect();
        let text = "the driver has stopped: the machine fails in `update`: Input/output error (os error 5)";
        assert_eq!((walked.join(": "), format!("{error:#}")), (text.to_owned(), text.to_owned()));
    }

    #[test]
    fn what_a_machine_failed_with_is_at_the_end_of_the_chain() {
        let machine = Error::machine("update", io::Error::from_raw_os_error(5).into());
        let halted = Error::Halted { first: machine.into() };
        let chain = std::iter::successors(Some(&halted as &dyn std::error::Error), |error| error.source());
        let last = chain.last().and_then(|last| last.downcast_ref::<io::Error>()).map(io::Error::raw_os_error);
        assert_eq!(last, Some(Some(5)), "{halted}");
    }

    #[test]
    fn a_failed_read_has_one_shape() {
        let read = ReadError::Unavailable { shard: ShardId(7), index: 9, last: None };
        let through_the_engine = Error::from(logboom::Error::from(read.clone()));
        assert!(matches!(through_the_engine, Error::Read(_)), "{through_the_engine:?}");
        assert!(matches!(Error::from(read), Error::Read(_)));
        assert!(matches!(Error::from(logboom::Error::Busy), Error::Engine(logboom::Error::Busy)));
    }
}
