//! Errors of opening a store.

use std::{error::Error, fmt, io, path::PathBuf};

use logboom_logtail_core::{
    store::{MarkerError, StoreError},
    write_error,
};

/// A store could not be opened. `{:#}` prints the sources too.
///
/// *retry*: may succeed later. *caller*: fails again.
///
/// | variant | what it is | what to do |
/// |---|---|---|
/// | `Absent` | caller | let the writer open it first, or give another location |
/// | `Client` | caller | correct the settings or the URL |
/// | `Directory` | retry | see to the file system and its rights |
/// | `Feature` | caller | build with the feature |
/// | `Foreign` | caller | give another location: this one is another log's |
/// | `Location` | caller | give a path or a URL that is known |
/// | `Marker` | caller | as its source says |
/// | `Overwrites` | caller | use a store that can create a name only where it is absent |
/// | `Root` | caller | give a directory below the root |
/// | `Store` | retry | as its source says |
/// | `Thread` | retry | see to the limits of the process |
/// | `Unmarked` | caller | mount what the objects are on, or give their location |
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The store was opened for reading, and no log has created it.
    #[error("{location}: no log has its objects there")]
    Absent {
        /// The location.
        location: String,
    },
    /// The client of the cloud refuses the settings.
    #[error("{location}: {reason}")]
    Client {
        /// The location.
        location: String,
        /// What is wrong.
        reason: String,
    },
    /// The directory cannot be created, or made durable.
    #[error(fmt = directory)]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The answer.
        #[source]
        error: io::Error,
    },
    /// The location is of a cloud that this build lacks.
    #[error("{location}: this build lacks the feature {feature}")]
    Feature {
        /// The location.
        location: String,
        /// The feature.
        feature: &'static str,
    },
    /// The store has the objects of another log.
    #[error("{location} has the objects of the log {found}, not of {expected}")]
    Foreign {
        /// The location.
        location: String,
        /// The identity of the log whose objects are there, in hex.
        found: String,
        /// The identity of the log that opens it, in hex.
        expected: String,
    },
    /// The location is no path, and no URL that is known.
    #[error("{location:?} is neither a path nor a URL of a store")]
    Location {
        /// The location.
        location: String,
    },
    /// The store's marker cannot be read, or none can be made of the identity.
    #[error(fmt = marker)]
    Marker {
        /// The location.
        location: String,
        /// What is wrong with it.
        #[source]
        error: MarkerError,
    },
    /// The store put an object over one that was there.
    #[error("{location}: the store overwrites objects that it is to create only where there are none")]
    Overwrites {
        /// The location.
        location: String,
    },
    /// The location is the root directory, which has more than a log's objects.
    #[error("{location:?} is the root directory, which is not for a store")]
    Root {
        /// The location.
        location: String,
    },
    /// The marker could not be read or created.
    #[error(fmt = store)]
    Store {
        /// The location.
        location: String,
        /// The error of the store.
        #[source]
        error: StoreError,
    },
    /// The store's thread did not start, or its runtime.
    #[error(fmt = thread)]
    Thread {
        /// The answer.
        #[source]
        error: io::Error,
    },
    /// The log has objects, and the store has no marker: it is another one, or has lost its objects.
    #[error("{location}: the log has objects, and the marker of their store is not there")]
    Unmarked {
        /// The location.
        location: String,
    },
}

fn directory(path: &std::path::Path, error: &io::Error, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    sourced(f, format_args!("the directory {} cannot be used", path.display()), error)
}

fn marker(location: &str, error: &MarkerError, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    sourced(f, format_args!("{location}: that it is this log's cannot be told"), error)
}

fn store(location: &str, error: &StoreError, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    sourced(f, format_args!("{location}: the store does not open"), error)
}

fn thread(error: &io::Error, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    sourced(f, "the thread of a store does not start", error)
}

fn sourced(f: &mut fmt::Formatter<'_>, text: impl fmt::Display, error: &(dyn Error + 'static)) -> fmt::Result {
    write_error(f, text, Some(error))
}
