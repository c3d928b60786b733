//! What can go wrong, by what a caller can do about it.

use std::{io, sync::Arc};

use crate::{Damage, SegmentId};

/// An error of the log. Cheap to clone: one failure answers every waiter.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// As many bytes as allowed are accepted and not yet durable. Nothing was written; try again later.
    #[error("the log has as many bytes in flight as it admits")]
    Busy,
    /// The log was closed.
    #[error("the log is closed")]
    Closed,
    /// What recovery or a read found cannot be what was written; nothing was changed.
    #[error("corruption in segment {} at byte {}: {}", .0.segment, .0.offset, .0.what)]
    Corruption(Arc<Damage>),
    /// The directory holds something that is not a log of this kind.
    #[error("not a Logboom directory: {0}")]
    Foreign(String),
    /// No segment is left and the device is full. Nothing was written; compacting and reclaiming still work.
    #[error("the device is full and no prepared segment is left")]
    Full,
    /// The segment was retired meanwhile: what was to be read is no longer part of the log.
    #[error("segment {0} was retired")]
    Gone(SegmentId),
    /// The operating system refused an operation that the log can do without, or that it did not depend on yet.
    #[error("{what}: {error}")]
    Io {
        /// What was attempted.
        what: Arc<str>,
        /// The system's answer.
        error: Arc<io::Error>,
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
        first: Arc<Error>,
    },
    /// The directory that is copied to, or its disk. The log itself is not affected, unless it says so.
    #[error("the directory that is copied to: {0}")]
    Target(Arc<Error>),
    /// A batch cannot be written in one group.
    #[error("{bytes} bytes in {records} records exceed what one group takes ({limit} bytes, 65536 records)")]
    TooLarge {
        /// Encoded size in bytes.
        bytes: usize,
        /// The number of records.
        records: usize,
        /// The most bytes that a batch may have.
        limit: usize,
    },
    /// The directory cannot be opened with this configuration or on this device.
    #[error("unsupported: {0}")]
    Unsupported(String),
}

impl Error {
    pub(crate) fn io(what: impl Into<Arc<str>>, error: io::Error) -> Self {
        Self::Io { what: what.into(), error: Arc::new(error) }
    }

    pub(crate) fn corruption(segment: SegmentId, offset: u32, what: impl Into<String>) -> Self {
        Self::Corruption(Arc::new(Damage {
            segment,
            offset,
            group: None,
            what: what.into(),
            lost: Vec::new(),
            unknown: false,
        }))
    }
}

/// Whether the device has no room, which is no failure of it.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
