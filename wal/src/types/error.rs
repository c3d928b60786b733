//! What can go wrong, by what a caller can do about it.

use std::{io, sync::Arc};

use logboom_disk::Cause;

use crate::types::{
    damage::{Damage, DamageKind},
    identity_fault::IdentityFault,
    ids::SegmentId,
};

/// An error of the log. Cheap to clone: one failure answers every waiter.
///
/// The text of an error says everything, what it came from included, since most are printed alone, as a line of a log.
/// [`source`](std::error::Error::source) gives that as well: print one of the two.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A batch was given up after it had its place in the log: its reservation was dropped, or a panic ended what wrote
    /// its records. Its group can never be written, so this poisons the log.
    #[error("a batch was given up {when} it was written")]
    Abandoned {
        /// `before` or `while`.
        when: &'static str,
    },
    /// As many bytes as allowed are accepted and not yet durable. Nothing was written; try again later.
    #[error("the log has as many bytes in flight as it admits")]
    Busy,
    /// A rule of the log's own is broken: a bug of it. Please report it.
    #[error("a bug of the log: {what}")]
    Bug {
        /// Which rule.
        what: &'static str,
    },
    /// The log was closed.
    #[error("the log is closed")]
    Closed,
    /// What recovery or a read found cannot be what was written; nothing was changed.
    #[error("corruption in segment {} at byte {}: {}", .0.segment, .0.offset, .0.what)]
    Corruption(Arc<Damage>),
    /// The directory holds something that is not a log of this kind.
    #[error("not a Logboom directory: {0}")]
    Foreign(String),
    /// A child that was forked has a copy of the log in memory, and is not the process that may use it.
    #[error("process {owner} opened the log, a process that is forked from it cannot use it")]
    Forked {
        /// The process that opened the log.
        owner: u32,
    },
    /// No prepared segment is left, and there is no room for another. Nothing was written; compacting and reclaiming
    /// still work.
    #[error("no prepared segment is left, and {0}")]
    Full(Capacity),
    /// The files of the directory are not all of the log that `LOGBOOM` names, or that is damaged. Nothing was changed.
    #[error("the log's identity: {0}")]
    Identity(Arc<IdentityFault>),
    /// The segment was retired meanwhile: what was to be read is no longer part of the log.
    #[error("segment {0} was retired")]
    Gone(SegmentId),
    /// The operating system refused an operation that the log can do without, or that it did not depend on yet.
    #[error("{what}: {error}")]
    Io {
        /// What was attempted.
        what: Arc<str>,
        /// The system's answer.
        #[source]
        error: Cause<io::Error>,
    },
    /// The call was not allowed: a bug of who made it. Nothing was done.
    #[error("not allowed: {what}")]
    Misuse {
        /// What was asked for, and why not.
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
    /// A write or a sync of the log failed earlier: what it left behind is unknown, so nothing is acknowledged any
    /// more. Reads of durable records go on; opening the log again recovers it.
    #[error("the log is poisoned by an earlier failure: {first}")]
    Poisoned {
        /// The first failure.
        #[source]
        first: Cause<Error>,
    },
    /// The directory that is copied to, or its disk. The log itself is not affected, unless it says so.
    #[error("the directory that is copied to: {0}")]
    Target(#[source] Cause<Error>),
    /// The records of a batch have more bytes than one group takes.
    #[error("records of {bytes} bytes exceed what one group takes, {limit}")]
    TooLarge {
        /// Encoded size in bytes.
        bytes: usize,
        /// The most bytes that a batch may have: [`Wal::batch_bytes_max`](crate::Wal::batch_bytes_max).
        limit: usize,
    },
    /// A batch has more records than one group takes, which is [`GROUP_RECORDS_MAX`](crate::GROUP_RECORDS_MAX).
    #[error("{records} records exceed what one group takes, {}", crate::types::ids::GROUP_RECORDS_MAX)]
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

/// What has no room left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Capacity {
    /// The log itself: another segment file would exceed its bound.
    #[error("the log may not take more than its bound of {bytes_max} bytes (space_bytes_max)")]
    Bound {
        /// [`Options::space_bytes_max`](crate::Options::space_bytes_max).
        bytes_max: u64,
    },
    /// The device, or the file system on it.
    #[error("the device is full")]
    Device,
    /// What the process may use of the file system.
    #[error("the quota on the file system is used up")]
    Quota,
}

impl Capacity {
    /// What an answer of the system says to be full, which is no failure of the device; `None` for any other answer.
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
