//! How a directory is opened, and why it cannot be.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::io::Errno;

use crate::{cause::write_error, facts::SyncMethod, owner::Owner};

/// Options of [`open`](crate::open); the defaults suit almost every use. Fields are assigned after
/// [`default`](Default::default): there may be more of them one day.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DiskOptions {
    /// Which backend runs the queues. The environment variable `LOGBOOM_BACKEND` (`ring` or `blocking`) overrides it.
    pub backend: BackendChoice,
    /// Whether reads and writes bypass the page cache.
    pub direct: DirectChoice,
    /// Whether to create the directory when it is missing; its parent must exist.
    pub create: bool,
    /// For how long to wait for the directory's lock. The operations in flight of a process that was killed hold it
    /// for up to some 200 ms, until the last of them has reached the device.
    pub lock_wait: Duration,
    /// Overrides how writes are made durable, which otherwise follows the device.
    pub sync_method: Option<SyncMethod>,
    /// Raises the pad unit, in bytes: a power of two, at most 64 KiB. It is never lowered below what the device needs.
    pub pad_unit: Option<usize>,
    /// The number of operations of one queue that are on their way to the device at once, from 1 to 4096; more wait
    /// their turn. Blocking calls have 4 at most.
    pub queue_depth: u32,
}

impl Default for DiskOptions {
    fn default() -> Self {
        DiskOptions {
            backend: BackendChoice::Auto,
            direct: DirectChoice::Auto,
            create: true,
            lock_wait: Duration::from_secs(2),
            sync_method: None,
            pad_unit: None,
            queue_depth: 64,
        }
    }
}

/// See [`DiskOptions::backend`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BackendChoice {
    /// io_uring where it runs, blocking system calls elsewhere.
    #[default]
    Auto,
    /// io_uring, or opening fails.
    Ring,
    /// Blocking system calls.
    Blocking,
}

/// See [`DiskOptions::direct`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DirectChoice {
    /// Direct IO where the file system means it.
    #[default]
    Auto,
    /// Through the page cache.
    Off,
}

/// Why a directory could not be opened. `{:#}` prints the source as well.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process, or another disk of this process, has the directory open; or operations of a killed process are
    /// still in flight.
    #[error("{} is in use{}", dir.display(), by(*owner))]
    Locked {
        /// The process that has the directory locked, as far as is known.
        owner: Option<Owner>,
        /// The directory.
        dir: PathBuf,
    },
    /// The path names something that is not a directory.
    #[error("{} is not a directory", dir.display())]
    NotADirectory {
        /// The path.
        dir: PathBuf,
    },
    /// The directory does not exist and [`DiskOptions::create`] is off, or its parent does not exist.
    #[error("{} does not exist", dir.display())]
    NotFound {
        /// The first part of the path that does not exist.
        dir: PathBuf,
    },
    /// The process may not read, or not write, the directory or a file in it.
    #[error(fmt = forbidden)]
    Permission {
        /// What was tried.
        what: String,
        /// The error.
        source: io::Error,
    },
    /// The file system is mounted read-only; [`open_read_only`](crate::open_read_only) works on it.
    #[error(fmt = read_only)]
    ReadOnly {
        /// The directory.
        dir: PathBuf,
        /// The error.
        source: io::Error,
    },
    /// The chosen backend does not run here, or an option has an invalid value.
    #[error("{what}: {hint}")]
    Backend {
        /// The option, and why it is refused.
        what: String,
        /// The remedy.
        hint: String,
    },
    /// Anything else that the file system or the device answered.
    #[error(fmt = cannot)]
    Io {
        /// What was tried.
        what: String,
        /// The error.
        source: io::Error,
    },
}

fn forbidden(what: &str, source: &io::Error, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write_error(f, format_args!("no permission to {what}"), source)
}

fn read_only(dir: &Path, source: &io::Error, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write_error(f, format_args!("{} is on a file system that is mounted read-only", dir.display()), source)
}

fn cannot(what: &str, source: &io::Error, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write_error(f, format_args!("cannot {what}"), source)
}

fn by(owner: Option<Owner>) -> String {
    owner.map_or_else(String::new, |owner| format!(" by {owner}"))
}

/// Why io_uring does not run here, and the remedy.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) what: String,
    pub(crate) hint: String,
}

/// The [`OpenError`] for an error number of the operating system.
pub(crate) fn refusal(errno: Errno, dir: &Path, what: &str) -> OpenError {
    let what = format!("{what} ({})", dir.display());
    match errno {
        Errno::NOENT => OpenError::NotFound { dir: missing(dir).into() },
        Errno::NOTDIR => OpenError::NotADirectory { dir: dir.into() },
        Errno::ROFS => OpenError::ReadOnly { dir: dir.into(), source: errno.into() },
        Errno::ACCESS | Errno::PERM => OpenError::Permission { what, source: errno.into() },
        errno => OpenError::Io { what, source: errno.into() },
    }
}

/// The first part of a path that is not there.
fn missing(dir: &Path) -> &Path {
    let above = dir.ancestors().filter(|path| !path.as_os_str().is_empty());
    above.take_while(|path| !path.exists()).last().unwrap_or(dir)
}
