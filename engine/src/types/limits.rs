//! The limits of a batch and of what it holds.

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
