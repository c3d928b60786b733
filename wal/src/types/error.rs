//! Errors, by what a caller can do about them.

use std::{fmt, io, sync::Arc};

use logboom_disk::{Cause, write_error};

use crate::types::{
    damage::{Damage, DamageKind},
    identity_fault::IdentityFault,
    ids::SegmentId,
};

/// An error of the log. Cheap to clone: all waiters get the same failure.
///
/// `{:#}` prints all of it in one line: the text of the error, and those of its
/// [sources](std::error::Error::source) behind it. `{}` leaves the sources out, so that code which walks along them
/// prints nothing twice.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A batch was abandoned after it got its place in the log: its reservation was dropped, or the code that wrote its
    /// records panicked. Its group can never be written, so this poisons the log.
    #[error("a batch was abandoned before all of it was written")]
    Abandoned,
    /// The bytes that are accepted and not yet durable have reached their bound. Nothing was written; try again later.
    #[error("the bytes in flight have reached the admission limit")]
    Busy,
    /// An invariant of the log is broken: a bug of the log. Please report it.
    #[error("a bug of the log: {what}")]
    Bug {
        /// The invariant.
        what: Arc<str>,
    },
    /// The log was closed.
    #[error("the log is closed")]
    Closed,
    /// Recovery or a read found bytes that cannot be what was written; nothing was changed.
    #[error("corruption in segment {} at byte {}: {}", .0.segment, .0.offset, .0.what)]
    Corruption(Arc<Damage>),
    /// The numbers of segments, epochs or groups are used up: the log can be read, and written no more.
    #[error("the log has no number left for another segment")]
    Exhausted,
    /// The directory holds something other than a log of this kind.
    #[error("not a Logboom directory: {0}")]
    Foreign(String),
    /// The caller is a forked child: only the process that opened the log may use it.
    #[error("process {owner} opened the log, a forked child cannot use it")]
    Forked {
        /// The process that opened the log.
        owner: u32,
    },
    /// No prepared segment is left, and there is no space for another. Nothing was written; compacting and reclaiming
    /// still work.
    #[error(fmt = full)]
    Full {
        /// Which limit was hit.
        capacity: Capacity,
        /// The answer of the operating system; `None` for the log's own bound.
        #[source]
        error: Option<Cause<io::Error>>,
    },
    /// `LOGBOOM` is damaged, or some files are not of the log that it names. Nothing was changed.
    #[error("the log's identity: {0}")]
    Identity(Arc<IdentityFault>),
    /// The segment was retired meanwhile: what was to be read is no longer part of the log.
    #[error("segment {0} was retired")]
    Gone(SegmentId),
    /// The operating system failed an operation that the log can do without, or on which nothing depends yet.
    #[error(fmt = attempted)]
    Io {
        /// What was attempted.
        what: Arc<str>,
        /// The error of the operating system.
        #[source]
        error: Cause<io::Error>,
    },
    /// The call was not allowed: a bug of the caller. Nothing was done.
    #[error("not allowed: {what}")]
    Misuse {
        /// What was requested, and why it is not allowed.
        what: String,
    },
    /// The directory was written by a newer version of this library.
    #[error("the log has format version {found}, this library reads up to {supported}")]
    NewerFormat {
        /// The version that the directory states.
        found: u32,
        /// The newest version that this library can read.
        supported: u32,
    },
    /// A write or a sync of the log failed earlier: the state on disk is unknown since, so nothing is acknowledged any
    /// more. Durable records can still be read; opening the log again recovers it.
    #[error(fmt = poisoned)]
    Poisoned {
        /// The first failure.
        #[source]
        first: Cause<Error>,
    },
    /// The target directory of a copy, or its disk, failed. The log itself is not affected, unless the error inside
    /// says so.
    #[error(fmt = of_target)]
    Target(#[source] Cause<Error>),
    /// The records of a batch have more bytes than one group takes.
    #[error("records of {bytes} bytes exceed the limit of one group, {limit} bytes")]
    TooLarge {
        /// Encoded size in bytes.
        bytes: usize,
        /// The most bytes that a batch may have: [`Wal::batch_bytes_max`](crate::Wal::batch_bytes_max).
        limit: usize,
    },
    /// A batch has more records than one group takes, which is [`GROUP_RECORDS_MAX`](crate::GROUP_RECORDS_MAX).
    #[error("{records} records exceed the limit of one group, {}", crate::types::ids::GROUP_RECORDS_MAX)]
    TooMany {
        /// The number of records.
        records: usize,
    },
    /// The directory cannot be opened with this configuration or on this device.
    #[error("unsupported: {0}")]
    Unsupported(String),
}

impl Error {
    pub(crate) fn io(what: impl Into<Arc<str>>, error: io::Error) -> Self {
        Self::Io { what: what.into(), error: error.into() }
    }

    /// [`Error::Full`] if the operating system says that a resource is used up, or [`Error::Io`].
    pub(crate) fn full_or_io(what: impl Into<Arc<str>>, error: io::Error) -> Self {
        match Capacity::of(&error) {
            Some(capacity) => Self::Full { capacity, error: Some(error.into()) },
            None => Self::io(what, error),
        }
    }

    pub(crate) fn corruption(segment: SegmentId, offset: u32, what: impl Into<String>) -> Self {
        Self::Corruption(Arc::new(Damage {
            kind: DamageKind::Records,
            segment,
            offset,
            group: None,
            what: what.into(),
            lost: Vec::new(),
            unknown: false,
        }))
    }
}

fn attempted(what: &str, error: &Cause<io::Error>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write_error(f, what, &**error)
}

fn full(capacity: &Capacity, error: &Option<Cause<io::Error>>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let text = format_args!("no prepared segment is left, and {capacity}");
    match error {
        Some(error) => write_error(f, text, &**error),
        None => f.write_fmt(text),
    }
}

fn poisoned(first: &Cause<Error>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write_error(f, "the log is poisoned by an earlier failure", &**first)
}

fn of_target(error: &Cause<Error>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write_error(f, "the target of the copy failed", &**error)
}

/// The resource that is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Capacity {
    /// The log's own bound: another segment file would exceed it.
    #[error(
        "the log has reached its bound of {bytes_max} bytes (space_bytes_max): its segment files take {used_bytes} \
         bytes, {kept_back_bytes} of them unused and kept back for reclaiming and for the next opening"
    )]
    Bound {
        /// [`Options::space_bytes_max`](crate::Options::space_bytes_max).
        bytes_max: u64,
        /// What all segment files take: a whole number of segments, so the bound may leave less than one unused.
        used_bytes: u64,
        /// What of that no append may take: unused segments, into which reclaiming moves records, and of which the next
        /// opening needs one.
        kept_back_bytes: u64,
    },
    /// The device, or the file system on it.
    #[error("the device is full")]
    Device,
    /// The process's quota on the file system.
    #[error("the quota on the file system is used up")]
    Quota,
}

impl Capacity {
    /// The resource that an error of the system reports as used up, which is no failure of the device; `None` for any
    /// other error.
    pub fn of(error: &io::Error) -> Option<Self> {
        match error.kind() {
            io::ErrorKind::StorageFull => Some(Self::Device),
            io::ErrorKind::QuotaExceeded => Some(Self::Quota),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Code that reports an error prints its text and those of its sources.
    #[test]
    fn a_walk_along_the_sources_prints_nothing_twice() {
        let io = Error::io("writing", io::Error::from_raw_os_error(5));
        let io_text = "writing: Input/output error (os error 5)";
        let poisoned = Error::Poisoned { first: io.clone().into() };
        let poison_text = format!("the log is poisoned by an earlier failure: {io_text}");
        let target_text = format!("the target of the copy failed: {poison_text}");
        for (error, text) in [
            (Error::Target(poisoned.clone().into()), target_text),
            (poisoned, poison_text),
            (io, io_text.to_owned()),
            (Error::Closed, "the log is closed".to_owned()),
        ] {
            let chain = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
            let walked: Vec<String> = chain.map(ToString::to_string).collect();
            assert_eq!((walked.join(": "), format!("{error:#}")), (text.clone(), text));
        }
    }

    #[test]
    fn the_answer_of_the_system_is_at_the_end_of_the_chain() {
        let io = Error::io("writing", io::Error::from_raw_os_error(5));
        let poisoned = Error::Poisoned { first: io.clone().into() };
        for error in [io.clone(), poisoned, Error::Target(io.into())] {
            let chain = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
            let last = chain.last().and_then(|last| last.downcast_ref::<io::Error>()).map(io::Error::raw_os_error);
            assert_eq!(last, Some(Some(5)), "{error}");
        }
    }
}
