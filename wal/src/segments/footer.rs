//! The footer of a segment: the index of the layer above, at the end of the file.
//!
//! It has two parts: a *head*, which every opening reads, and a *body*, which the first read from the segment loads.
//! FORMAT.md, "Footer", states the bytes.

use std::io;

use logboom_disk::{Slice, Sync};

use crate::{
    format::{
        framing::Framing,
        group::{Life, in_segment, put_u32, put_u64},
        record::{seeded_crc, u32_at, u64_at},
    },
    segments::{
        medium::Medium,
        segment::{Segment, read_slice},
        slots::Failure,
        unreadable::{UnreadableRanges, read_or_zeros},
    },
    types::{
        error::Error,
        ids::{NUMBER_MAX, SegmentId, round_up},
        mutants::{Mutant, unless},
    },
};

const MAGIC: u32 = u32::from_le_bytes(*b"LBFT");
const TRAILER: usize = 64;

/// The bytes at the end of a segment that are read for its footer's head: enough for the head of a thousand owners.
pub(crate) const FOOTER_READ_BYTES: usize = 64 << 10;

/// Footers are written in pieces of this many bytes, so that the pool keeps no large buffers for them.
const PIECE: usize = 1 << 20;

/// An intact footer.
#[derive(Clone, Debug)]
pub struct FooterParts {
    /// The part that openings read.
    pub head: Slice,
    /// The part that reads from the segment need.
    pub body: Slice,
}

/// The segment that was begun after another, as the other's footer names it: its first group was durable by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Successor {
    pub(crate) id: SegmentId,
    pub(crate) nonce: u64,
}

/// What the trailer of an intact footer says of its segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FooterSummary {
    /// The end of the segment's groups in bytes, and its last group.
    pub(crate) end: u32,
    pub(crate) last: u64,
    /// `None` if the footer names no successor: in a cold segment, or in version 1.
    pub(crate) successor: Option<Successor>,
}

/// The trailer at the end of a segment: sizes and checksums of the footer's parts.
struct Trailer {
    head_len: usize,
    head_crc: u32,
    body_len: usize,
    body_crc: u32,
}

impl Segment {
    /// The offset at which a footer with these parts begins; `None` if it does not fit.
    pub(crate) fn footer_at(&self, head: &[u8], body: &[u8], pad: usize) -> Option<usize> {
        let at = (self.size as usize).checked_sub(footer_bytes(head.len(), body.len(), pad));
        at.filter(|&at| at >= self.end() as usize)
    }

    /// Writes the footer; durable on return. Every group of the segment must be durable: a crash could take away a
    /// group that the footer lists. The first group of `successor` must be durable too: if it is missing later, it
    /// counts as lost. After a failure the footer may be written again.
    pub(crate) fn write_footer(
        &self,
        (head, body): (&[u8], &[u8]),
        successor: Option<Successor>,
        medium: &Medium,
    ) -> Result<(), Failure> {
        let Framing { pad, seed } = medium.framing;
        let Some(at) = self.footer_at(head, body, pad) else {
            let what = format!("the footer does not fit segment {}", self.id);
            return Err(Failure::Write(io::Error::new(io::ErrorKind::InvalidInput, what)));
        };
        let head_at = round_up(body.len(), pad);
        let mut last = vec![0; self.size as usize - at - head_at];
        last[..head.len()].copy_from_slice(head);
        let trailer_at = last.len() - TRAILER;
        self.encode_trailer(&mut last[trailer_at..], (head, body), successor, seed);
        // The body goes first: openings read the head alone, and it implies that the body is there.
        if !body.is_empty() {
            self.write_part(body, at, medium)?;
        }
        self.write_part(&last, at + head_at, medium)?;
        self.mark_footer();
        Ok(())
    }

    /// Removes the footer; durable on return. The segment can be sealed again, even if this fails.
    pub(crate) fn remove_footer(&self, medium: &Medium) -> Result<(), Failure> {
        self.forget_footer();
        self.write_part(&[0], self.size as usize - medium.framing.pad, medium)
    }

    fn write_part(&self, bytes: &[u8], at: usize, medium: &Medium) -> Result<(), Failure> {
        // A separate sync: a failed write concerns the footer alone, a failed sync the whole log.
        for (nth, piece) in bytes.chunks(PIECE).enumerate() {
            let slice = Slice::padded_copy(&medium.pool, piece, medium.framing.pad);
            self.file.write_at(&[slice], (at + nth * PIECE) as u64, Sync::None).map_err(Failure::Write)?;
        }
        self.file.sync_data().map_err(Failure::Sync)
    }

    /// Reads the footer; `None` if there is none, or a part of it is not intact.
    pub(crate) fn read_footer(&self, medium: &Medium) -> Result<Option<FooterParts>, Error> {
        let Medium { pool, framing, .. } = medium;
        let fail = |error| Error::io(format!("reading the footer of segment {}", self.id), error);
        let size = self.size as usize;
        let end = read_slice(&*self.file, pool, size - framing.pad, framing.pad).map_err(fail)?;
        let Some(trailer) = self.verify_trailer(&end, *framing) else { return Ok(None) };
        let len = footer_bytes(trailer.head_len, trailer.body_len, framing.pad);
        let bytes = read_slice(&*self.file, pool, size - len, len).map_err(fail)?;
        let head_at = round_up(trailer.body_len, framing.pad);
        let (head, body) = (bytes.slice(head_at..head_at + trailer.head_len), bytes.slice(0..trailer.body_len));
        let intact = crc32fast::hash(&head) == trailer.head_crc && crc32fast::hash(&body) == trailer.body_crc;
        Ok(intact.then_some(FooterParts { head, body }))
    }

    /// The footer's head, from `tail`, the end of the segment; read separately if it is longer than `tail`.
    pub(crate) fn head(&self, medium: &Medium, tail: Slice) -> io::Result<Option<Slice>> {
        let size = self.size as usize;
        let tail = tail.slice(..FOOTER_READ_BYTES.min(size));
        let Some(trailer) = self.verify_trailer(&tail, medium.framing) else { return Ok(None) };
        let len = footer_bytes(trailer.head_len, 0, medium.framing.pad);
        let (bytes, at) = match tail.len().checked_sub(len) {
            Some(at) => (tail, at),
            None => (read_slice(&*self.file, &medium.pool, size - len, len)?, 0),
        };
        let head = bytes.slice(at..at + trailer.head_len);
        Ok((crc32fast::hash(&head) == trailer.head_crc).then_some(head))
    }

    fn encode_trailer(&self, bytes: &mut [u8], (head, body): (&[u8], &[u8]), successor: Option<Successor>, seed: u32) {
        put_u32(bytes, 4, MAGIC);
        put_u64(bytes, 8, self.id.0);
        put_u64(bytes, 16, self.life.nonce);
        put_u64(bytes, 24, self.last());
        put_u32(bytes, 32, self.end());
        put_u32(bytes, 36, in_segment(body.len()));
        put_u32(bytes, 40, crc32fast::hash(body));
        put_u32(bytes, 44, in_segment(head.len()));
        put_u32(bytes, 48, crc32fast::hash(head));
        if let Some((behind, successor)) = successor.and_then(|successor| Some((successor.behind(self.id)?, successor)))
        {
            put_u32(bytes, 52, behind);
            put_u64(bytes, 56, successor.nonce);
        }
        let crc = seeded_crc(&bytes[4..TRAILER], seed);
        put_u32(bytes, 0, crc);
    }

    /// Verifies the trailer at the end of `tail`, the end of the segment.
    fn verify_trailer(&self, tail: &[u8], Framing { pad, seed }: Framing) -> Option<Trailer> {
        let bytes = &tail[tail.len() - TRAILER..];
        let ours = is_footer(bytes, seed) && unless(Mutant::StaleFooterAccepted, || self.is_its_footer(bytes), || true);
        let trailer = Trailer {
            body_len: u32_at(bytes, 36) as usize,
            body_crc: u32_at(bytes, 40),
            head_len: u32_at(bytes, 44) as usize,
            head_crc: u32_at(bytes, 48),
        };
        let len = footer_bytes(trailer.head_len, trailer.body_len, pad);
        (ours && len <= self.size as usize).then_some(trailer)
    }

    fn is_its_footer(&self, bytes: &[u8]) -> bool {
        self.is_of_its_life(bytes) && u64_at(bytes, 24) == self.last() && u32_at(bytes, 32) == self.end()
    }

    fn is_of_its_life(&self, bytes: &[u8]) -> bool {
        u64_at(bytes, 8) == self.id.0 && u64_at(bytes, 16) == self.life.nonce
    }

    /// The summary in the footer, if that is intact. Its end may be later than the known end of the segment, never
    /// earlier.
    pub(crate) fn footer_summary(&self, medium: &Medium) -> io::Result<Option<FooterSummary>> {
        let (Framing { pad, seed }, size) = (medium.framing, self.size as usize);
        let block = read_or_zeros(&*self.file, &medium.pool, pad, size - pad..size, &mut UnreadableRanges::default())?;
        let bytes = &block[pad - TRAILER..];
        let (last, end) = (u64_at(bytes, 24), u32_at(bytes, 32));
        let is_its = is_footer(bytes, seed) && self.is_of_its_life(bytes);
        let is_possible = last >= self.last() && last < NUMBER_MAX && (self.end()..self.size).contains(&end);
        let is_possible = is_possible && (end as usize).is_multiple_of(pad);
        let (behind, nonce) = (u32_at(bytes, 52), u64_at(bytes, 56));
        let successor = Successor { id: SegmentId(self.id.0.saturating_add(behind.into())), nonce };
        let successor = (behind > 0 && !self.id.is_cold() && !successor.id.is_cold()).then_some(successor);
        Ok((is_its && is_possible).then_some(FooterSummary { end, last, successor }))
    }

    /// Sets the segment's end to that of an intact footer, which is written only when no more groups follow.
    pub(crate) fn adopt_end(&self, medium: &Medium) -> io::Result<bool> {
        let summary = self.footer_summary(medium)?;
        if let Some(FooterSummary { end, last, .. }) = summary {
            self.extend(end, last);
        }
        Ok(summary.is_some())
    }
}

impl Successor {
    pub(crate) fn of(life: &Life) -> Self {
        Self { id: life.segment, nonce: life.nonce }
    }

    pub(crate) fn is(&self, life: &Life) -> bool {
        *self == Self::of(life)
    }

    /// The distance to `segment`, which names it; `None` if a footer cannot state it.
    fn behind(self, segment: SegmentId) -> Option<u32> {
        u32::try_from(self.id.0.checked_sub(segment.0)?).ok()
    }
}

/// The size of a footer with these parts, in bytes.
fn footer_bytes(head: usize, body: usize, pad: usize) -> usize {
    round_up(body, pad) + round_up(head + TRAILER, pad)
}

/// The size of a footer whose parts have `bytes` bytes together, in bytes, for the least favourable division.
pub(crate) fn footer_bytes_max(bytes: usize, pad: usize) -> usize {
    round_up(bytes + TRAILER, pad) + pad
}

/// The most bytes that the parts of a footer may have together if `free` bytes, whole pad units, are left for it.
pub(crate) fn footer_space(free: usize, pad: usize) -> usize {
    free.saturating_sub(pad + TRAILER)
}

fn is_footer(bytes: &[u8], seed: u32) -> bool {
    u32_at(bytes, 0) == seeded_crc(&bytes[4..TRAILER], seed) && u32_at(bytes, 4) == MAGIC
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_free_is_enough_however_it_is_divided() {
        let pad = 512;
        for bytes in 0..3 * pad {
            let most = (0..=bytes).map(|head| footer_bytes(head, bytes - head, pad)).max().unwrap_or(0);
            assert!(most <= footer_bytes_max(bytes, pad), "{bytes}");
            let free = footer_bytes_max(bytes, pad);
            assert!(footer_space(free, pad) >= bytes && footer_bytes_max(footer_space(free, pad), pad) <= free);
        }
    }
}
