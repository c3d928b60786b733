//! The footer of a segment: what the layer above lists of it, at the other end of the file.
//!
//! The bytes are laid out in FORMAT.md, "Footer".

use std::io;

use logboom_disk::{Pool, Slice};

use crate::{
    Error,
    group::{in_segment, put_u32, put_u64},
    ids::{NUMBER_MAX, round_up},
    mutants::{self, Mutant},
    record::{seeded_crc, u32_at, u64_at},
    segment::{Segment, read_slice},
    slots::Failure,
};

const MAGIC: u32 = u32::from_le_bytes(*b"LBFT");
const TRAILER: usize = 64;

impl Segment {
    /// Writes the footer, durably. Called once, when every group of the segment is durable: a footer that names a
    /// group which a crash then takes away would list records that do not exist.
    pub(crate) fn write_footer(&self, body: &[u8], pool: &Pool, pad: usize, seed: u32) -> Result<(), Failure> {
        let len = footer_bytes(body.len(), pad);
        let at = (self.size as usize).checked_sub(len).filter(|&at| at >= self.end() as usize);
        let Some(at) = at else {
            let what = format!("a footer of {len} bytes does not fit segment {}", self.id);
            return Err(Failure::Write(io::Error::new(io::ErrorKind::InvalidInput, what)));
        };
        let mut region = pool.region(len);
        region.fill(0);
        let body_at = len - round_up(TRAILER, pad) - round_up(body.len(), pad);
        region[body_at..body_at + body.len()].copy_from_slice(body);
        let trailer = len - round_up(TRAILER, pad);
        self.encode_trailer(&mut region[trailer..], body, seed);
        // Apart: a write that fails concerns the footer, and a sync that fails the whole log.
        let slice = region.freeze().slice(0..len);
        self.file.write_at(&[slice], at as u64, logboom_disk::Sync::None).map_err(Failure::Write)?;
        self.file.sync_data().map_err(Failure::Sync)?;
        self.mark_footer();
        Ok(())
    }

    /// The footer's body, or `None` when there is none or it is not intact.
    pub(crate) fn read_footer(&self, pool: &Pool, pad: usize, seed: u32) -> Result<Option<Slice>, Error> {
        let fail = |error| Error::io(format!("reading the footer of segment {}", self.id), error);
        let block = round_up(TRAILER, pad);
        let trailer_at = self.size as usize - block;
        let trailer = read_slice(&*self.file, pool, trailer_at, block).map_err(fail)?;
        let Some((body_len, body_crc)) = self.verify_trailer(&trailer, seed) else {
            return Ok(None);
        };
        let padded = round_up(body_len, pad);
        if padded > trailer_at {
            return Ok(None);
        }
        let body = read_slice(&*self.file, pool, trailer_at - padded, padded).map_err(fail)?.slice(0..body_len);
        Ok((crc32fast::hash(&body) == body_crc).then_some(body))
    }

    fn encode_trailer(&self, bytes: &mut [u8], body: &[u8], seed: u32) {
        put_u32(bytes, 4, MAGIC);
        put_u64(bytes, 8, self.id.0);
        put_u64(bytes, 16, self.life.nonce);
        put_u64(bytes, 24, self.last());
        put_u32(bytes, 32, self.end());
        put_u32(bytes, 36, in_segment(body.len()));
        put_u32(bytes, 40, crc32fast::hash(body));
        let crc = seeded_crc(&bytes[4..TRAILER], seed);
        put_u32(bytes, 0, crc);
    }

    fn verify_trailer(&self, bytes: &[u8], seed: u32) -> Option<(usize, u32)> {
        let ours = is_footer(bytes, seed) && (mutants::is_on(Mutant::StaleFooterAccepted) || self.is_its_footer(bytes));
        ours.then(|| (u32_at(bytes, 36) as usize, u32_at(bytes, 40)))
    }

    fn is_its_footer(&self, bytes: &[u8]) -> bool {
        self.is_of_its_life(bytes) && u64_at(bytes, 24) == self.last() && u32_at(bytes, 32) == self.end()
    }

    fn is_of_its_life(&self, bytes: &[u8]) -> bool {
        u64_at(bytes, 8) == self.id.0 && u64_at(bytes, 16) == self.life.nonce
    }

    /// Takes the end that an intact footer states: one is written when nothing follows.
    pub(crate) fn adopt_end(&self, pool: &Pool, pad: usize, seed: u32) -> io::Result<bool> {
        let block = round_up(TRAILER, pad);
        let bytes = read_slice(&*self.file, pool, self.size as usize - block, block)?;
        let (last, end) = (u64_at(&bytes, 24), u32_at(&bytes, 32));
        let is_its = is_footer(&bytes, seed) && self.is_of_its_life(&bytes);
        let is_possible = last >= self.last() && last < NUMBER_MAX && end >= self.end() && end < self.size;
        if is_its && is_possible {
            self.extend(end, last);
        }
        Ok(is_its && is_possible)
    }
}

/// Bytes at the end of a segment that a footer with a body of `body` bytes takes.
pub(crate) fn footer_bytes(body: usize, pad: usize) -> usize {
    round_up(body, pad) + round_up(TRAILER, pad)
}

fn is_footer(bytes: &[u8], seed: u32) -> bool {
    u32_at(bytes, 0) == seeded_crc(&bytes[4..TRAILER], seed) && u32_at(bytes, 4) == MAGIC
}
