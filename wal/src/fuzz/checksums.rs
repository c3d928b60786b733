//! Recomputes the checksums of edited bytes: a fuzzer cannot guess them.

use std::collections::BTreeMap;

use super::{Image, PAD};
use crate::{
    format::{
        group::{GROUP_HEADER, Shape, put_u32, table_bytes},
        record::{RECORD_HEADER, seeded_crc, u32_at, u64_at},
    },
    scan::walk::raw_headers,
};

/// The magic words of headers at the start of a block, at byte 4 of each.
const SEGMENT: &[u8; 4] = b"LBSG";
const GROUP: &[u8; 4] = b"LBGR";
const TABLE: &[u8; 4] = b"LBDT";
const FOOTER: &[u8; 4] = b"LBFT";
const CHECKPOINT: &[u8; 4] = b"LBCP";
/// The offset of the identity's checksum.
const IDENTITY_CRC_AT: usize = 60;
/// The length of every header of a block but a group's.
const HEADER: usize = 64;

/// New checksums of group headers, by the old ones: chains and origins refer to them.
type Moved = BTreeMap<u32, u32>;

pub(super) fn fix_checksums(image: &mut Image) {
    let Some(seed) = image.files.get_mut("LOGBOOM").and_then(|bytes| fix_identity(bytes)) else { return };
    let identity = image.files["LOGBOOM"][..HEADER].to_vec();
    for (name, bytes) in &mut image.files {
        if name != "LOGBOOM" && is(bytes, HEADER - 4, b"LOGB") {
            // The copy after the header.
            bytes[HEADER..2 * HEADER].copy_from_slice(&identity);
        }
        if name.starts_with("checkpoint-") && is(bytes, 0, CHECKPOINT) {
            fix_checkpoint(bytes, seed);
        }
    }
    // In the order in which they were begun: the origin of a later segment has the last checksum of an earlier one.
    let mut segments: Vec<_> = image.files.iter_mut().filter(|(name, _)| name.starts_with("segment-")).collect();
    segments.sort_by_key(|(_, bytes)| if is(bytes, 0, SEGMENT) { u64_at(bytes, 8) } else { 0 });
    let mut moved = Moved::new();
    for (_, bytes) in segments {
        fix_segment(bytes, seed, &mut moved);
    }
}

/// The offsets of structures that a checksum covers: headers of blocks, and of records in groups that look intact.
pub(super) fn structures(bytes: &[u8]) -> Vec<usize> {
    let mut found = Vec::new();
    for at in (0..bytes.len().saturating_sub(HEADER)).step_by(PAD) {
        if [SEGMENT, GROUP, TABLE, CHECKPOINT].iter().any(|magic| is(bytes, at, magic)) {
            found.push(at);
        }
        found.extend(trailer_of(bytes, at));
        if let Some((area, count)) = records_of(bytes, at) {
            found.extend(raw_headers(&bytes[area.clone()]).take(count).map(|(offset, _)| area.start + offset));
        }
    }
    found
}

fn is(bytes: &[u8], at: usize, magic: &[u8; 4]) -> bool {
    bytes.len() >= at + PAD && bytes[at + 4..at + 8] == *magic
}

/// The offset of the trailer of a footer, at the end of the block at `at`, if there is one.
fn trailer_of(bytes: &[u8], at: usize) -> Option<usize> {
    let trailer = at + PAD - HEADER;
    (bytes.len() >= at + PAD && bytes[trailer + 4..trailer + 8] == *FOOTER).then_some(trailer)
}

fn put_crc(bytes: &mut [u8], seed: u32) {
    let crc = seeded_crc(&bytes[4..], seed);
    put_u32(bytes, 0, crc);
}

fn fix_identity(bytes: &mut [u8]) -> Option<u32> {
    let header = bytes.get_mut(..HEADER)?;
    let crc = crc32fast::hash(&header[..IDENTITY_CRC_AT]);
    put_u32(header, IDENTITY_CRC_AT, crc);
    Some(crc32fast::hash(&header[24..40]))
}

fn fix_checkpoint(bytes: &mut [u8], seed: u32) {
    let len = u64_at(bytes, 32) as usize;
    if let Some(content) = PAD.checked_add(len).and_then(|end| bytes.get(PAD..end)) {
        let crc = crc32fast::hash(content);
        put_u32(bytes, 40, crc);
    }
    put_crc(&mut bytes[..HEADER], seed);
}

fn fix_segment(bytes: &mut [u8], seed: u32, moved: &mut Moved) {
    for at in (0..bytes.len()).step_by(PAD) {
        if is(bytes, at, SEGMENT) && at == 0 {
            refer(bytes, 44, moved);
            put_crc(&mut bytes[..HEADER], seed);
        } else if is(bytes, at, GROUP) {
            fix_group(bytes, at, seed, moved);
        } else if let Some(trailer) = trailer_of(bytes, at) {
            fix_footer(bytes, trailer, seed);
        }
    }
}

fn fix_group(bytes: &mut [u8], at: usize, seed: u32, moved: &mut Moved) {
    if let Some((area, count)) = records_of(bytes, at) {
        let crc = fix_records(&mut bytes[area], count, seed);
        put_u32(bytes, at + 52, crc);
    }
    let shape = shape_of(bytes, at);
    if let Ok(len) = u32::try_from(shape.len()) {
        put_u32(bytes, at + 56, len);
    }
    fix_table(bytes, at + GROUP_HEADER, seed);
    if let Some(table) = shape.table_at() {
        fix_table(bytes, at.saturating_add(table), seed);
    }
    refer(bytes, at + 48, moved);
    refer(bytes, at + 92, moved);
    let before = u32_at(bytes, at);
    put_crc(&mut bytes[at..at + GROUP_HEADER], seed);
    moved.insert(before, u32_at(bytes, at));
}

/// Replaces a reference to an old checksum by the new one.
fn refer(bytes: &mut [u8], at: usize, moved: &Moved) {
    if let Some(&crc) = moved.get(&u32_at(bytes, at)) {
        put_u32(bytes, at, crc);
    }
}

fn shape_of(bytes: &[u8], at: usize) -> Shape {
    Shape {
        pad: PAD,
        records: u32_at(bytes, at + 64),
        echo_len: u32_at(bytes, at + 68) as usize,
        records_len: u32_at(bytes, at + 72) as usize,
    }
}

/// The area of the records of the group at `at`, and the number of records in its header.
fn records_of(bytes: &[u8], at: usize) -> Option<(std::ops::Range<usize>, usize)> {
    if !is(bytes, at, GROUP) {
        return None;
    }
    let shape = shape_of(bytes, at);
    let area = at + shape.records_at()..at + shape.records_end();
    (area.end <= bytes.len()).then_some((area, shape.records as usize))
}

/// Returns the checksum that binds the records to their header.
fn fix_records(area: &mut [u8], count: usize, seed: u32) -> u32 {
    let places: Vec<usize> = raw_headers(area).take(count).map(|(at, _)| at).collect();
    let mut crc = crc32fast::Hasher::new();
    for at in places {
        let end = at + RECORD_HEADER + u32_at(area, at + 52) as usize;
        if let Some(body) = area.get(at + RECORD_HEADER..end) {
            let body = crc32fast::hash(body);
            put_u32(area, at + 4, body);
        }
        put_crc(&mut area[at..at + RECORD_HEADER], seed);
        crc.update(&area[at..at + 4]);
    }
    crc.finalize()
}

fn fix_table(bytes: &mut [u8], at: usize, seed: u32) {
    let Some(header) = bytes.get(at..at.saturating_add(24)) else { return };
    let len = table_bytes(u32_at(header, 16));
    if header[4..8] == *TABLE
        && let Some(table) = bytes.get_mut(at..at + len)
    {
        put_crc(table, seed);
    }
}

fn fix_footer(bytes: &mut [u8], at: usize, seed: u32) {
    let mut before = Some(at + HEADER);
    // The head, and before it the body.
    for (len_at, crc_at, more) in [(at + 44, at + 48, HEADER), (at + 36, at + 40, 0)] {
        let len = u32_at(bytes, len_at) as usize;
        before = before.and_then(|at| at.checked_sub((len + more).next_multiple_of(PAD)));
        if let Some(part) = before.and_then(|from| bytes.get(from..from + len)) {
            let crc = crc32fast::hash(part);
            put_u32(bytes, crc_at, crc);
        }
    }
    put_crc(&mut bytes[at..at + HEADER], seed);
}
