//! The header of metadata, and the archive behind it.

use rkyv::{
    rancor::{Error as RkyvError, Failure},
    util::AlignedVec,
};

use super::{
    MetaError, ObjectMeta, ObjectMetaRef,
    check::check,
    stored::{ArchivedStoredObject, StoredObject},
};

/// What metadata begin with.
const MAGIC: [u8; 4] = *b"LBOM";

/// The version that is written, and the only one that there was.
const VERSION: u16 = 1;

/// Magic (4 bytes), version (u16), zero (u16), length of the archive (u32), CRC-32 of all but itself (u32). A multiple
/// of the archive's alignment.
const HEADER: usize = 16;

/// Where the checksum stands in the header.
const CRC_AT: usize = 12;

pub(super) fn encode(meta: &ObjectMeta) -> Result<Vec<u8>, MetaError> {
    let archive = rkyv::to_bytes::<RkyvError>(&StoredObject::from(meta)).map_err(|_| MetaError::Malformed)?;
    access(&archive)?;
    let len = u32::try_from(archive.len()).map_err(|_| MetaError::Inconsistent("more than 4 GiB"))?;
    let mut bytes = Vec::with_capacity(HEADER + archive.len());
    bytes.extend(MAGIC);
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend([0; 2]);
    bytes.extend(len.to_le_bytes());
    let crc = checksum(&bytes, &archive);
    bytes.extend(crc.to_le_bytes());
    bytes.extend_from_slice(&archive);
    Ok(bytes)
}

pub(super) fn read<R>(bytes: &[u8], read: impl FnOnce(ObjectMetaRef<'_>) -> R) -> Result<R, MetaError> {
    let archive = split(bytes)?;
    if archive.as_ptr().align_offset(align_of::<ArchivedStoredObject>()) == 0 {
        return Ok(read(ObjectMetaRef(access(archive)?)));
    }
    let mut aligned = AlignedVec::<16>::with_capacity(archive.len());
    aligned.extend_from_slice(archive);
    Ok(read(ObjectMetaRef(access(&aligned)?)))
}

/// The archive behind the header, which is as it was written.
fn split(bytes: &[u8]) -> Result<&[u8], MetaError> {
    let short = MetaError::Length { len: bytes.len(), expected: HEADER as u64 };
    let Some((header, archive)) = bytes.split_first_chunk::<HEADER>() else {
        return Err(if MAGIC.starts_with(bytes) || bytes.starts_with(&MAGIC) { short } else { MetaError::Foreign });
    };
    let [m0, m1, m2, m3, v0, v1, _, _, l0, l1, l2, l3, c0, c1, c2, c3] = *header;
    if [m0, m1, m2, m3] != MAGIC {
        return Err(MetaError::Foreign);
    }
    let version = u16::from_le_bytes([v0, v1]);
    if version > VERSION {
        return Err(MetaError::Newer { found: version, supported: VERSION });
    }
    let expected = HEADER as u64 + u64::from(u32::from_le_bytes([l0, l1, l2, l3]));
    if bytes.len() as u64 != expected {
        return Err(MetaError::Length { len: bytes.len(), expected });
    }
    let expected = u32::from_le_bytes([c0, c1, c2, c3]);
    let found = checksum(&header[..CRC_AT], archive);
    if found != expected {
        return Err(MetaError::Checksum { found, expected });
    }
    // Version 0 was never written, and its bytes would have another meaning.
    if version < VERSION { Err(MetaError::Malformed) } else { Ok(archive) }
}

fn access(archive: &[u8]) -> Result<&ArchivedStoredObject, MetaError> {
    let object = rkyv::access::<ArchivedStoredObject, Failure>(archive).map_err(|_| MetaError::Malformed)?;
    check(object)?;
    Ok(object)
}

fn checksum(header: &[u8], archive: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(header);
    hasher.update(archive);
    hasher.finalize()
}
