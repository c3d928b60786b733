//! A segment: one file of fixed size, written from start to end, sealed by a footer, and recycled.
//!
//! FORMAT.md, "Segment", states the bytes.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
};

use logboom_disk::{File, Pool, Slice};

use crate::{
    format::{
        framing::Framing,
        group::{Life, Origin, in_segment, put_u32, put_u64},
        record::{seeded_crc, u32_at, u64_at},
    },
    segments::{footer::footer_space, identity::Identity, slots::SegmentRow},
    types::ids::{SegmentId, Sequence},
};
use std::collections::BTreeMap;

pub(crate) const MAGIC: u32 = u32::from_le_bytes(*b"LBSG");
pub(crate) const HEADER: usize = 64;

/// More slots than any device has room for, and far below the overflow of the next number.
const SLOTS_MAX: u32 = 1 << 31;

/// The file name of slot `slot`. It never changes; the header in the file says which segment it holds.
pub(crate) fn slot_name(slot: u32) -> String {
    format!("segment-{slot:06}")
}

/// The slot in the file name of a segment; `None` for other names.
///
/// Accepts the canonical spelling only, and no slot of [`SLOTS_MAX`] or above: no two files have one slot, and the next
/// number never overflows.
pub(crate) fn slot_of(name: &str) -> Option<u32> {
    let slot = name.strip_prefix("segment-")?.parse().ok()?;
    (slot < SLOTS_MAX && slot_name(slot) == name).then_some(slot)
}

/// The new name of the file of slot `slot`, when it is put aside.
pub(crate) fn aside_name(slot: u32) -> String {
    format!("aside-{slot:06}")
}

/// The former slot of a file that was put aside. Its number is not used again: the next file put aside under it would
/// replace this one.
pub(crate) fn aside_slot(name: &str) -> Option<u32> {
    let slot = name.strip_prefix("aside-")?.parse().ok()?;
    (slot < SLOTS_MAX && aside_name(slot) == name).then_some(slot)
}

/// One life of a segment file.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) id: SegmentId,
    pub(crate) slot: u32,
    pub(crate) file: Arc<dyn File>,
    pub(crate) size: u32,
    pub(crate) life: Life,
    /// Bytes that header and groups take; grows while the segment is active.
    end: AtomicU32,
    /// The first and the last group; `last < first` if there is none.
    first: AtomicU64,
    last: AtomicU64,
    /// No more groups are added.
    closed: AtomicBool,
    /// The file has a verified footer.
    footer: AtomicBool,
    /// The segment stays without a footer.
    unsealable: AtomicBool,
    /// At opening the file could not be read completely, or was too long: it is not recycled.
    odd: AtomicBool,
    /// The bytes that are left for the parts of the footer.
    footer_space: AtomicU32,
}

/// A segment, as the layer above sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SegmentInfo {
    /// The segment.
    pub id: SegmentId,
    /// The number in the file's name.
    pub slot: u32,
    /// Bytes that header and groups take; the footer lies at the end of the file.
    pub end: u32,
    /// The lowest sequence that a record in the segment can have.
    pub first: Sequence,
    /// Exclusive: every record in the segment has a lower sequence.
    pub limit: Sequence,
    /// Whether the segment has a footer.
    pub footer: bool,
    /// Whether the segment stays without a footer, because what it would list does not fit.
    pub unsealable: bool,
    /// Whether groups are still added.
    pub active: bool,
    /// The most bytes that the parts of the footer may have together.
    pub footer_space: u32,
}

/// All segments: the cold ones first, then those of the log.
pub(crate) fn infos(segments: &BTreeMap<SegmentId, Arc<Segment>>) -> Vec<SegmentInfo> {
    let cold = segments.range(SegmentId::COLD..);
    cold.chain(segments.range(..SegmentId::COLD)).map(|(_, segment)| segment.info()).collect()
}

impl SegmentInfo {
    /// The name of its file in the directory.
    pub fn file_name(&self) -> String {
        slot_name(self.slot)
    }
}

impl Segment {
    pub(crate) fn new(life: Life, slot: u32, file: Arc<dyn File>, size: u32, end: u32, groups: (u64, u64)) -> Self {
        Self {
            id: life.segment,
            slot,
            file,
            size,
            life,
            end: AtomicU32::new(end),
            first: AtomicU64::new(groups.0),
            last: AtomicU64::new(groups.1),
            closed: AtomicBool::new(false),
            footer: AtomicBool::new(false),
            unsealable: AtomicBool::new(false),
            odd: AtomicBool::new(false),
            footer_space: AtomicU32::new(0),
        }
    }

    pub(crate) fn info(&self) -> SegmentInfo {
        SegmentInfo {
            id: self.id,
            slot: self.slot,
            end: self.end(),
            first: Sequence::new(self.first.load(Ordering::Acquire), 0),
            limit: Sequence::new(self.last() + 1, 0),
            footer: self.has_footer(),
            unsealable: self.unsealable.load(Ordering::Acquire),
            active: !self.is_closed(),
            footer_space: self.footer_space.load(Ordering::Acquire),
        }
    }

    pub(crate) fn row(&self) -> SegmentRow {
        SegmentRow {
            id: self.id,
            epoch: self.life.epoch,
            nonce: self.life.nonce,
            first: self.first_group(),
            last: self.last(),
            slot: self.slot,
            end: self.end(),
        }
    }

    pub(crate) fn end(&self) -> u32 {
        self.end.load(Ordering::Acquire)
    }

    pub(crate) fn last(&self) -> u64 {
        self.last.load(Ordering::Acquire)
    }

    pub(crate) fn first_group(&self) -> u64 {
        self.first.load(Ordering::Acquire)
    }

    pub(crate) fn extend(&self, end: u32, last: u64) {
        self.end.store(end, Ordering::Release);
        self.last.store(last, Ordering::Release);
    }

    pub(crate) fn set_first_group(&self, first: u64) {
        self.first.store(first, Ordering::Release);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Ends the adding of groups: the footer may take the rest of the file.
    pub(crate) fn close(&self, pad: usize) {
        let space = footer_space((self.size - self.end()) as usize, pad);
        self.footer_space.store(in_segment(space), Ordering::Release);
        self.closed.store(true, Ordering::Release);
    }

    pub(crate) fn has_footer(&self) -> bool {
        self.footer.load(Ordering::Acquire)
    }

    pub(crate) fn mark_footer(&self) {
        self.footer.store(true, Ordering::Release);
    }

    pub(crate) fn forget_footer(&self) {
        self.footer.store(false, Ordering::Release);
    }

    /// Whether it is full and lacks a footer that it can have.
    pub(crate) fn wants_footer(&self) -> bool {
        self.is_closed() && !self.has_footer() && !self.unsealable.load(Ordering::Acquire)
    }

    pub(crate) fn mark_unsealable(&self) {
        self.unsealable.store(true, Ordering::Release);
    }

    pub(crate) fn is_odd(&self) -> bool {
        self.odd.load(Ordering::Acquire)
    }

    pub(crate) fn mark_odd(&self) {
        self.odd.store(true, Ordering::Release);
    }
}

/// Writes the header block that begins a life of a segment of this log.
pub(crate) fn encode_header(bytes: &mut [u8], life: &Life, identity: &Identity) {
    bytes.fill(0);
    put_u32(bytes, 4, MAGIC);
    put_u64(bytes, 8, life.segment.0);
    put_u64(bytes, 16, life.epoch);
    put_u64(bytes, 24, life.nonce);
    put_u64(bytes, 32, life.origin.segment.0);
    put_u32(bytes, 40, life.origin.end);
    put_u32(bytes, 44, life.origin.crc);
    put_u64(bytes, 48, life.origin.last);
    let crc = seeded_crc(&bytes[4..HEADER], identity.seed());
    put_u32(bytes, 0, crc);
    identity.put_copy(bytes);
}

/// The life in the header block of a segment, if the header is intact.
pub(crate) fn verify_header(bytes: &[u8], Framing { pad, seed }: Framing) -> Option<Life> {
    let bytes = bytes.get(..HEADER)?;
    if u32_at(bytes, 4) != MAGIC || u32_at(bytes, 0) != seeded_crc(&bytes[4..], seed) {
        return None;
    }
    let life = Life {
        segment: SegmentId(u64_at(bytes, 8)),
        epoch: u64_at(bytes, 16),
        nonce: u64_at(bytes, 24),
        origin: Origin {
            segment: SegmentId(u64_at(bytes, 32)),
            end: u32_at(bytes, 40),
            crc: u32_at(bytes, 44),
            last: u64_at(bytes, 48),
        },
    };
    life.is_possible(pad).then_some(life)
}

/// Reads `len` bytes at `offset`, both multiples of the pad unit.
pub(crate) fn read_slice(file: &dyn File, pool: &Pool, offset: usize, len: usize) -> io::Result<Slice> {
    let mut region = pool.region(len);
    file.read_at(&mut region, offset as u64)?;
    Ok(region.freeze().slice(0..len))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_reads_back_and_damage_is_seen() {
        let origin = Origin { segment: SegmentId(4), end: 8192, crc: 3, last: 77 };
        let life = Life { segment: SegmentId(5), epoch: 2, nonce: 11, origin };
        let mut bytes = vec![0; 512];
        let identity = Identity::with_seed(9, 1 << 20, 4096).unwrap();
        encode_header(&mut bytes, &life, &identity);
        assert_eq!(verify_header(&bytes, identity.framing()), Some(life));
        assert_eq!(Identity::copy_in(&bytes), Some(identity));
        for bit in 0..HEADER * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(verify_header(&bytes, identity.framing()), None, "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        let within = Life { origin: Origin { end: 8192 + 512, ..origin }, ..life };
        encode_header(&mut bytes, &within, &identity);
        assert_eq!(verify_header(&bytes, identity.framing()), None, "an origin that ends within a group");
    }

    #[test]
    fn slot_names_read_back() {
        for slot in [0, 7, 999_999, 1_234_567] {
            assert_eq!(slot_of(&slot_name(slot)), Some(slot));
        }
        for name in ["segment-1", "segment-", "segment-+00001", "segment-0000001", "segment-4294967295", "LOGBOOM"] {
            assert_eq!(slot_of(name), None, "{name}");
        }
    }
}
