//! Decides from a file's first blocks which log it belongs to. The log overwrites a file only if it belongs to this
//! log, or to none.

use crate::{
    format::{crc::seed_of, group, record::u32_at},
    segments::{identity::Identity, segment, slots},
};

/// The log that a file belongs to, compared with this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LogMatch {
    /// The file does not begin as one of a log.
    None,
    /// A copy of the identity, or a checksum with its seed, proves that the file belongs to this log.
    Ours,
    /// The file belongs to another log: to the one given, if the file has a copy of the identity.
    Foreign(Option<[u64; 2]>),
    /// There are headers, and their checksums are all wrong for this log. The file is damaged, or belongs to another
    /// log.
    Unverified,
}

impl LogMatch {
    /// Judges a segment file by its first blocks; `is_verified` if a header in them verified.
    pub(crate) fn of_segment(blocks: &[u8], identity: &Identity, is_verified: bool) -> Self {
        Self::by_copy(blocks, identity, is_verified).unwrap_or_else(|| {
            let seeds: Vec<u32> = blocks.chunks_exact(identity.pad).filter_map(implied_seed).collect();
            match *seeds {
                [] => Self::None,
                // Two checksums that match one seed are no coincidence.
                [one, other] if one == other => Self::Foreign(None),
                _ => Self::Unverified,
            }
        })
    }

    /// Judges a checkpoint slot that is not intact by its header; `is_whole` if the content matches the checksum in the
    /// header, which is not seeded.
    pub(crate) fn of_slot(header: &[u8], identity: &Identity, is_whole: bool) -> Self {
        let is_verified = implied_seed(header) == Some(identity.seed());
        Self::by_copy(header, identity, is_verified).unwrap_or_else(|| match implied_seed(header) {
            None => Self::None,
            Some(_) if is_whole => Self::Foreign(None),
            Some(_) => Self::Unverified,
        })
    }

    fn by_copy(block: &[u8], identity: &Identity, is_verified: bool) -> Option<Self> {
        match Identity::copy_in(block) {
            Some(copy) if copy != *identity => Some(Self::Foreign(Some(copy.log))),
            Some(_) => Some(Self::Ours),
            None => is_verified.then_some(Self::Ours),
        }
    }
}

/// The seed that makes the checksum of the header at the start of `block` right; `None` if there is no header.
pub(crate) fn implied_seed(block: &[u8]) -> Option<u32> {
    let len = match u32_at(block.get(..8)?, 4) {
        segment::MAGIC => segment::HEADER,
        slots::MAGIC => slots::HEADER,
        group::MAGIC => group::GROUP_HEADER,
        _ => return None,
    };
    Some(seed_of(block.get(4..len)?, u32_at(block, 0)))
}
