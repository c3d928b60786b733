//! The footer of a segment: what the layer above lists of it, at the other end of the file.
//!
//! It has two parts: a *head*, which is read at every opening, and a *body*, which is read when the segment is first
//! read from. The bytes are laid out in FORMAT.md, "Footer".

use std::io;

use logboom_disk::{Slice, Sync};

use crate::{
    format::{
        framing::Framing,
        group::{Life, in_segment, put_u32, put_u64},
        record::{seeded_crc, u32_at, u64_at},
    },
    segments::{
        holes::{Holes, read_around},
        medium::Medium,
        segment::{Segment, read_slice},
        slots::Failure,
    },
    types::{
        error::Error,
        ids::{NUMBER_MAX, SegmentId, round_up},
        mutants::{Mutant, unless},
    },
};

const MAGIC: u32 = u32::from_le_bytes(*b"LBFT");
const TRAILER: usize = 64;

/// So much of the end of a segment is read for its footer's head: one of a thousand owners is in it.
pub(crate) const TAIL: usize = 64 << 10;

/// Footers are written in pieces of this size, so that no large memory is kept for the next one.
const PIECE: usize = 1 << 20;

/// An intact footer.
#[derive(Clone, Debug)]
pub struct FooterParts {
    /// What is needed of it at opening.
    pub head: Slice,
    /// What is needed for reading from the segment.
    pub body: Slice,
}

/// The segment that was begun behind another, as that one's footer names it: its first group was durable by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Successor {
    pub(crate) id: SegmentId,
    pub(crate) nonce: u64,
}

/// What an intact footer says of its segment as a whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stated {
    /// Where it ends, in bytes, and with which group.
    pub(crate) end: u32,
    pub(crate) last: u64,
    /// `None` where none is stated: a cold segment has none, nor had any in version 1.
    pub(crate) successor: Option<Successor>,
}

/// What the end of a segment says of the parts before it.
struct Trailer {
    head_len: usize,
    head_crc: u32,
    body_len: usize,
    body_crc: u32,
}

impl Segment {
    /// Where a footer with these parts begins; `None` if there is no room for it.
    pub(crate) fn footer_at(&self, head: &[u8], body: &[u8], pad: usize) -> Option<usize> {
        let at = (self.size as usize).checked_sub(footer_bytes(head.len(), body.len(), pad));
        at.filter(|&at| at >= self.end() as usize)
    }

    /// Writes the footer, durably. Called when every group of the segment is durable: a footer that names a group which
    /// a crash then takes away would list records that do not exist. The first group of `successor` must be durable as
    /// well: where it is not found later, it is lost. After a failure the footer may be written again.
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
        // The head is read alone and stands for the body: a crash must not leave it without.
        if !body.is_empty() {
            self.write_part(body, at, medium)?;
        }
        self.write_part(&last, at + head_at, medium)?;
        self.mark_footer();
        Ok(())
    }

    /// Makes the segment one without a footer, durably. It can be sealed anew, whatever becomes of this.
    pub(crate) fn remove_footer(&self, medium: &Medium) -> Result<(), Failure> {
        self.forget_footer();
        self.write_part(&[0], self.size as usize - medium.framing.pad, medium)
    }

    fn write_part(&self, bytes: &[u8], at: usize, medium: &Medium) -> Result<(), Failure> {
        // Apart: a write that fails concerns the footer, and a sync that fails the whole log.
        for (nth, piece) in bytes.chunks(PIECE).enumerate() {
            let slice = Slice::padded_copy(&medium.pool, piece, medium.framing.pad);
            self.file.write_at(&[slice], (at + nth * PIECE) as u64, Sync::None).map_err(Failure::Write)?;
        }
        self.file.sync_data().map_err(Failure::Sync)
    }

    /// The footer, or `None` when there is none or a part of it is not intact.
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

    /// The footer's head, as the end of the segment says, and has if it is not too long.
    pub(crate) fn head(&self, medium: &Medium, tail: Slice) -> io::Result<Option<Slice>> {
        let size = self.size as usize;
        let tail = tail.slice(..TAIL.min(size));
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

    /// The trailer at the end of `tail`, the end of the segment.
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

    /// What an intact footer states. It may say more than is known of the segment, and never less.
    pub(crate) fn stated(&self, medium: &Medium) -> io::Result<Option<Stated>> {
        let (Framing { pad, seed }, size) = (medium.framing, self.size as usize);
        let block = read_around(&*self.file, &medium.pool, pad, size - pad..size, &mut Holes::default())?;
        let bytes = &block[pad - TRAILER..];
        let (last, end) = (u64_at(bytes, 24), u32_at(bytes, 32));
        let is_its = is_footer(bytes, seed) && self.is_of_its_life(bytes);
        let is_possible = last >= self.last() && last < NUMBER_MAX && (self.end()..self.size).contains(&end);
        let is_possible = is_possible && (end as usize).is_multiple_of(pad);
        let (behind, nonce) = (u32_at(bytes, 52), u64_at(bytes, 56));
        let successor = Successor { id: SegmentId(self.id.0.saturating_add(behind.into())), nonce };
        let successor = (behind > 0 && !self.id.is_cold() && !successor.id.is_cold()).then_some(successor);
        Ok((is_its && is_possible).then_some(Stated { end, last, successor }))
    }

    /// Takes the end that an intact footer states: one is written when nothing follows.
    pub(crate) fn adopt_end(&self, medium: &Medium) -> io::Result<bool> {
        let stated = self.stated(medium)?;
        if let Some(Stated { end, last, .. }) = stated {
            self.extend(end, last);
        }
        Ok(stated.is_some())
    }
}

impl Successor {
    pub(crate) fn of(life: &Life) -> Self {
        Self { id: life.segment, nonce: life.nonce }
    }

    pub(crate) fn is(&self, life: &Life) -> bool {
        *self == Self::of(life)
    }

    /// How far it is behind the segment that names it; `None` if that cannot be said in a footer.
    fn behind(self, segment: SegmentId) -> Option<u32> {
        u32::try_from(self.id.0.checked_sub(segment.0)?).ok()
    }
}

/// Bytes at the end of a segment that a footer with these parts takes.
fn footer_bytes(head: usize, body: usize, pad: usize) -> usize {
    round_up(body, pad) + round_up(head + TRAILER, pad)
}

/// The most bytes at the end of a segment that a footer with parts of `bytes` bytes together takes, however they are
/// divided.
pub(crate) fn footer_bytes_max(bytes: usize, pad: usize) -> usize {
    round_up(bytes + TRAILER, pad) + pad
}

/// The most bytes that the parts of a footer may have together where there are `free` bytes, whole pad units, for it.
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
