//! The limits of a batch and of what it holds.

use std::fmt;

/// The longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 1024;
/// The longest value, in bytes.
pub const VALUE_BYTES_MAX: usize = 64 << 10;
/// The longest hard state and the longest commit hint, in bytes.
pub const STATE_BYTES_MAX: usize = 64;
/// The longest context of an entry, in bytes.
pub const CONTEXT_BYTES_MAX: usize = u16::MAX as usize;
/// The most records of a batch. Each operation takes one record, but consecutive entries of a shard and term share
/// records of up to 64 KiB, and an [overwrite](crate::Batch::overwrite) takes one more.
pub const BATCH_RECORDS_MAX: usize = logboom_wal::GROUP_RECORDS_MAX as usize;

/// What [`Error::TooLarge`](crate::Error::TooLarge) is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Limit {
    /// A batch, in encoded bytes.
    Batch,
    /// A commit hint.
    CommitHint,
    /// The context of an entry.
    Context,
    /// Payload and context of one entry together.
    Entry,
    /// The hard state.
    HardState,
    /// An index: `u64::MAX` is not one.
    Index,
    /// A key.
    Key,
    /// The records of a batch.
    Records,
    /// A value.
    Value,
}

impl Limit {
    /// What its size is counted in, with a space before it.
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::Index | Self::Records => "",
            _ => " bytes",
        }
    }
}

impl Limit {
    /// The setting or the constant that bounds it.
    pub(crate) fn bound(self) -> &'static str {
        match self {
            Self::Batch => "a quarter of a segment: `Config::segment_bytes`",
            Self::CommitHint | Self::HardState => "`STATE_BYTES_MAX`",
            Self::Context => "`CONTEXT_BYTES_MAX`",
            Self::Entry => "a quarter of a segment, less its framing: `Config::segment_bytes`",
            Self::Index => "`u64::MAX` is no index",
            Self::Key => "`KEY_BYTES_MAX`",
            Self::Records => "`BATCH_RECORDS_MAX`",
            Self::Value => "`VALUE_BYTES_MAX`",
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Batch => "a batch",
            Self::CommitHint => "a commit hint",
            Self::Context => "a context",
            Self::Entry => "an entry",
            Self::HardState => "a hard state",
            Self::Index => "an index",
            Self::Key => "a key",
            Self::Records => "a number of records",
            Self::Value => "a value",
        })
    }
}
