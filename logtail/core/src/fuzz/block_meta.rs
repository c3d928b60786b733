//! Metadata of objects that were edited, also behind their checksum.

use super::Meter;
use crate::{
    block_meta::{BlockMeta, ObjectKind, ObjectMeta, TombstoneRange},
    ids::TableId,
    object_id::ObjectId,
    timestamp::Timestamp,
};

/// Where the length of the archive and the checksum stand in the header, and where the archive begins.
const LENGTH: usize = 8;
const CRC: usize = 12;
const ARCHIVE: usize = 16;

/// Decodes input, or metadata that the input edits.
///
/// What is decoded comes back when it is written again, and takes memory in proportion.
pub fn block_meta(bytes: &[u8], meter: Meter<'_>) {
    let Some((mode, input)) = bytes.split_first() else { return };
    match mode % 4 {
        0 => decode(input, meter),
        1 => decode(&edited(sample(), input), meter),
        2 => decode(&forged(input.to_vec()), meter),
        _ => decode(&forged(edited(sample(), input)), meter),
    }
}

fn decode(bytes: &[u8], meter: Meter<'_>) {
    let before = meter();
    let Ok(meta) = ObjectMeta::decode(bytes) else { return };
    let (allocated, len) = (meter() - before, bytes.len());
    assert!(allocated <= 8 * len as u64 + (4 << 10), "{allocated} allocated for {len}");
    let again = meta.encode().expect("what was read can be written");
    assert!(ObjectMeta::decode(&again) == Ok(meta), "read otherwise when it is written again");
}

/// Sets the byte at each place that the input names, three bytes an edit.
fn edited(mut bytes: Vec<u8>, input: &[u8]) -> Vec<u8> {
    for edit in input.as_chunks::<3>().0 {
        let at = usize::from(u16::from_le_bytes([edit[0], edit[1]])) % bytes.len();
        if let Some(byte) = bytes.get_mut(at) {
            *byte = edit[2];
        }
    }
    bytes
}

/// Makes the length and the checksum right again.
fn forged(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(archive) = bytes.len().checked_sub(ARCHIVE) {
        let len = u32::try_from(archive).unwrap_or(u32::MAX);
        bytes[LENGTH..CRC].copy_from_slice(&len.to_le_bytes());
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&bytes[..CRC]);
        hasher.update(&bytes[ARCHIVE..]);
        bytes[CRC..ARCHIVE].copy_from_slice(&hasher.finalize().to_le_bytes());
    }
    bytes
}

fn sample() -> Vec<u8> {
    let id = ObjectId { nonce: 0x0123_4567_89ab_cdef, number: 7 };
    let block = |first_row| BlockMeta {
        first_row,
        rows: 100,
        low_key: Some(b"a\0".to_vec()),
        high_key: (first_row > 0).then(|| vec![0x7f; 64]),
        low_commit: Timestamp::ZERO,
        high_commit: Timestamp::MAX,
        sorted: true,
        created: Timestamp::ZERO,
        deleted: (first_row == 0).then_some(Timestamp::MAX),
        appendable: false,
        tombstones: (first_row > 0).then_some(TombstoneRange { object: id, first: 3, count: 4 }),
        truncation_point: Timestamp::ZERO,
    };
    let meta = ObjectMeta {
        id,
        table: TableId(9),
        kind: ObjectKind::Rows,
        schema_version: 1,
        bytes: 1 << 20,
        footer_offset: 1 << 19,
        footer_crc: 5,
        blocks: vec![block(0), block(100)],
    };
    meta.encode().expect("the sample is consistent")
}
