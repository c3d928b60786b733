//! For the fuzz target of containers: makes checksums good again, since one does not tell that a program was right.
//!
//! Compiled with the feature `fuzz` only, and no part of what the crate promises.

use crate::{
    block::{HEADER, seed_of, seeded_crc, u32_at, u64_at},
    manifest::{Manifest, padded},
    registered::Registered,
};

/// The length of a container's header.
const CONTAINER_HEADER: usize = 128;
/// What stands in front of the archive in a manifest.
const MANIFEST_PREFIX: usize = 16;
/// Where a container's header has what is needed of it.
const MANIFEST_AT: usize = 72;
const MANIFEST_LEN: usize = 80;
const MANIFEST_CRC: usize = 88;

/// Makes the checksum of a manifest right.
pub fn seal_manifest(bytes: &mut [u8]) {
    let Some((prefix, archive)) = bytes.split_first_chunk_mut::<MANIFEST_PREFIX>() else { return };
    put_u32(prefix, 8, crc32fast::hash(archive));
}

/// Makes the checksums of a block right that was sent, or lies in a container: those of what it holds, as far as that
/// is not compressed, and its own.
pub fn seal_block(bytes: &mut [u8]) {
    let Some((header, rest)) = bytes.split_first_chunk_mut::<HEADER>() else { return };
    let stored = &rest[..rest.len().min(u32_at(header, 28) as usize)];
    let crc = crc32fast::hash(stored);
    put_u32(header, 32, crc);
    if header[40] == crate::codec::RAW {
        put_u32(header, 36, crc);
    }
    let own = seeded_crc(&header[4..], seed_of(&[u64_at(header, 8)]));
    put_u32(header, 0, own);
}

/// Makes every checksum of a container of `log` right, from its blocks to its header; what a log would have registered
/// then. Nothing if it has no room for a header.
pub fn seal_container(bytes: &mut [u8], log: [u64; 2]) -> Option<Registered> {
    if bytes.len() < CONTAINER_HEADER {
        return None;
    }
    let range = usize::try_from(u64_at(bytes, MANIFEST_AT)).ok().and_then(|at| {
        let len = usize::try_from(u64_at(bytes, MANIFEST_LEN)).ok()?;
        Some(at..at.checked_add(len)?)
    });
    if let Some(range) = range.filter(|range| range.start >= CONTAINER_HEADER && range.end <= bytes.len()) {
        seal_manifest(&mut bytes[range.clone()]);
        if let Ok(mut manifest) = Manifest::decode(&bytes[range.clone()]) {
            seal_blocks(bytes, &mut manifest);
            // The same tables take the same room.
            if let Some(encoded) = manifest.encode().ok().filter(|encoded| encoded.len() == range.len()) {
                bytes[range.clone()].copy_from_slice(&encoded);
            }
        }
        let crc = crc32fast::hash(&bytes[range]);
        put_u32(bytes, MANIFEST_CRC, crc);
    }
    let own = seeded_crc(&bytes[4..CONTAINER_HEADER], seed_of(&log));
    put_u32(bytes, 0, own);
    Some(Registered {
        index: u64_at(bytes, 40),
        term: u64_at(bytes, 48),
        id: u64_at(bytes, 56),
        file: u64_at(bytes, 64),
        manifest_crc: u32_at(bytes, MANIFEST_CRC),
    })
}

fn seal_blocks(bytes: &mut [u8], manifest: &mut Manifest) {
    let pad = u64::from(u32_at(bytes, 12));
    if pad == 0 {
        return;
    }
    let mut at = pad;
    for block in &mut manifest.blocks {
        let end = at.saturating_add(HEADER as u64 + u64::from(block.stored));
        let range = usize::try_from(at).unwrap_or(usize::MAX)..usize::try_from(end).unwrap_or(usize::MAX);
        let Some(found) = bytes.get_mut(range) else { return };
        seal_block(found);
        block.crc = u32_at(found, 0);
        at += padded(block.stored, pad);
    }
}

fn put_u32(bytes: &mut [u8], at: usize, number: u32) {
    bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
}
