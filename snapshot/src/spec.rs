//! The description of a snapshot to build.

use crate::{
    entry_id::EntryId,
    error::{Error, Result, What},
};

/// The longest membership, in bytes.
pub const MEMBERSHIP_BYTES_MAX: usize = 1 << 20;
/// The longest metadata of the user, in bytes.
pub const METADATA_BYTES_MAX: usize = 1 << 20;
/// The most files of a snapshot.
pub const FILES_MAX: usize = 1 << 16;

/// The description of a snapshot to build, for [`Store::build`](crate::Store::build).
///
/// [`Spec::new`] takes what each snapshot has; the rest is set by name:
/// `Spec { membership, codec: Codec::Lz4, ..Spec::new(7, last) }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// The shard.
    pub shard: u64,
    /// The last index that the snapshot includes.
    pub index: u64,
    /// The term of that index.
    pub term: u64,
    /// The members of the raft group as of that index, encoded by the caller: at most [`MEMBERSHIP_BYTES_MAX`].
    pub membership: Vec<u8>,
    /// Metadata of the user: at most [`METADATA_BYTES_MAX`] bytes.
    pub metadata: Vec<u8>,
    /// How its blocks are compressed. Default: not at all.
    pub codec: Codec,
}

/// The compression of blocks. A block that does not shrink is stored uncompressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Codec {
    /// Not at all.
    #[default]
    None,
    /// LZ4 (feature `lz4`): fast, for repetitive data.
    Lz4,
}

impl Spec {
    /// The state of `shard` up to and including the entry `last`: without membership and metadata, not compressed.
    pub fn new(shard: u64, last: EntryId) -> Self {
        let EntryId { index, term } = last;
        Self { shard, index, term, membership: Vec::new(), metadata: Vec::new(), codec: Codec::None }
    }

    pub(crate) fn check(&self) -> Result<()> {
        check_size(What::Membership, self.membership.len(), MEMBERSHIP_BYTES_MAX)?;
        check_size(What::Metadata, self.metadata.len(), METADATA_BYTES_MAX)?;
        self.codec.check()
    }
}

pub(crate) fn check_size(what: What, size: usize, limit: usize) -> Result<()> {
    if size > limit {
        return Err(Error::TooLarge { what, size: size as u64, limit: limit as u64 });
    }
    Ok(())
}
