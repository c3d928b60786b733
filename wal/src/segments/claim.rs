//! Whose log a file is of, as its first blocks say: a file is only ever written over when it is known to be of this
//! log, or to be of none.

use crate::{
    format::{crc::seed_of, group, record::u32_at},
    segments::{identity::Identity, segment, slots},
};

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// Nothing is there that a log begins a file with.
    None,
    /// A copy of the identity, or a checksum that it seeds, says that it is of this log.
    Ours,
    /// Of another log: of this one, where it has a copy of the identity.
    Foreign(Option<[u64; 2]>),
    /// There are headers, and no checksum of theirs is right for this log. It rotted, or is of another.
    Unverified,
}

impl Claim {
    /// What the first blocks of a segment's file say; `is_verified` when a header in them is one of this log.
    pub(crate) fn of_segment(blocks: &[u8], identity: &Identity, is_verified: bool) -> Self {
        Self::by_copy(blocks, identity, is_verified).unwrap_or_else(|| {
            let seeds: Vec<u32> = blocks.chunks_exact(identity.pad).filter_map(implied_seed).collect();
            match *seeds {
                [] => Self::None,
                // Two checksums that are right for one seed are no accident.
                [one, other] if one == other => Self::Foreign(None),
                _ => Self::Unverified,
            }
        })
    }

    /// What the header of a checkpoint slot that is not intact says; `is_whole` when its content is the one of which
    /// the header states the checksum, which is not seeded.
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

/// The seed for which the checksum of the header that a block begins with is right; `None` if there is no header.
pub(crate) fn implied_seed(block: &[u8]) -> Option<u32> {
    let len = match u32_at(block.get(..8)?, 4) {
        segment::MAGIC => segment::HEADER,
        slots::MAGIC => slots::HEADER,
        group::MAGIC => group::GROUP_HEADER,
        _ => return None,
    };
    Some(seed_of(block.get(4..len)?, u32_at(block, 0)))
}
