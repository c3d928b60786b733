//! Blocks: the files of a snapshot are split into blocks, each with a header that identifies it.
//!
//! The bytes are laid out in FORMAT.md, "Block".

use bytes::Bytes;
use logboom_disk::{Region, Slice};

/// The largest block, its header included, in bytes: the unit of reading, writing and shipping.
pub const CHUNK_BYTES_MAX: usize = 512 << 10;

/// The length of a block's header.
pub(crate) const HEADER: usize = 64;

/// The bytes of a file per block; the file's last block may have fewer. The same on every node and disk, so that the
/// offset in the file identifies a block.
pub(crate) const RAW_BYTES: usize = CHUNK_BYTES_MAX - HEADER;

const MAGIC: u32 = u32::from_le_bytes(*b"LBSB");

/// The header of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockHeader {
    pub(crate) snapshot: u64,
    pub(crate) file: u32,
    /// The number of the block in its file.
    pub(crate) number: u32,
    /// The lengths of the content before and after compression.
    pub(crate) raw: u32,
    pub(crate) stored: u32,
    /// Checksums of the content after and before compression.
    pub(crate) stored_crc: u32,
    pub(crate) raw_crc: u32,
    pub(crate) codec: u8,
}

impl BlockHeader {
    /// The encoded header, and the checksum in it, which covers the whole block.
    pub(crate) fn encode(&self) -> ([u8; HEADER], u32) {
        let mut bytes = [0; HEADER];
        bytes[4..8].copy_from_slice(&MAGIC.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.snapshot.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.file.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.number.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.raw.to_le_bytes());
        bytes[28..32].copy_from_slice(&self.stored.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.stored_crc.to_le_bytes());
        bytes[36..40].copy_from_slice(&self.raw_crc.to_le_bytes());
        bytes[40] = self.codec;
        let crc = seeded_crc(&bytes[4..], seed_of(&[self.snapshot]));
        bytes[..4].copy_from_slice(&crc.to_le_bytes());
        (bytes, crc)
    }

    /// The snapshot of an intact header; `None` for anything else.
    pub(crate) fn snapshot_of(bytes: &[u8]) -> Option<u64> {
        let snapshot = u64_at(bytes.get(..HEADER)?, 8);
        Self::decode(bytes, snapshot).map(|header| header.snapshot)
    }

    /// Decodes an intact header of `snapshot`; `None` for anything else.
    pub(crate) fn decode(bytes: &[u8], snapshot: u64) -> Option<Self> {
        let bytes = bytes.get(..HEADER)?;
        let header = Self {
            snapshot: u64_at(bytes, 8),
            file: u32_at(bytes, 16),
            number: u32_at(bytes, 20),
            raw: u32_at(bytes, 24),
            stored: u32_at(bytes, 28),
            stored_crc: u32_at(bytes, 32),
            raw_crc: u32_at(bytes, 36),
            codec: bytes[40],
        };
        // Encoding it again verifies the magic, the checksum and the reserved bytes.
        (header.snapshot == snapshot && header.encode().0 == bytes).then_some(header)
    }
}

/// A verified block.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) header: BlockHeader,
    /// Header and content, without padding.
    pub(crate) bytes: Bytes,
}

impl Block {
    pub(crate) fn stored(&self) -> &[u8] {
        &self.bytes[HEADER..]
    }
}

/// A number from 4 bytes at `at`, which lie in `bytes`.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(number)
}

/// A number from 8 bytes at `at`, which lie in `bytes`.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}

/// The checksum seed for these numbers, so that no block of another snapshot passes.
pub(crate) fn seed_of(numbers: &[u64]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    numbers.iter().for_each(|number| crc.update(&number.to_le_bytes()));
    crc.finalize()
}

pub(crate) fn seeded_crc(bytes: &[u8], seed: u32) -> u32 {
    let mut crc = crc32fast::Hasher::new_with_initial(seed);
    crc.update(bytes);
    crc.finalize()
}

/// Combines the checksum of a beginning with that of the `len` bytes behind it.
pub(crate) fn joined_crc(beginning: u32, rest: u32, len: u64) -> u32 {
    let mut crc = crc32fast::Hasher::new_with_initial(beginning);
    crc.combine(&crc32fast::Hasher::new_with_initial_len(rest, len));
    crc.finalize()
}

/// Puts the header in front and zeros behind, up to whole pad units.
pub(crate) fn seal(mut region: Region, header: &[u8; HEADER], len: usize, pad: usize) -> Slice {
    let padded = len.next_multiple_of(pad);
    region[..HEADER].copy_from_slice(header);
    region[len..padded].fill(0);
    region.freeze().slice(..padded)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER_OF_7: BlockHeader =
        BlockHeader { snapshot: 7, file: 1, number: 2, raw: 30, stored: 20, stored_crc: 4, raw_crc: 5, codec: 1 };

    #[test]
    fn a_header_of_another_snapshot_or_with_a_flipped_bit_is_none() {
        let (bytes, _) = HEADER_OF_7.encode();
        assert_eq!(BlockHeader::decode(&bytes, 7), Some(HEADER_OF_7));
        assert_eq!(BlockHeader::decode(&bytes, 8), None);
        for bit in 0..HEADER * 8 {
            let mut bad = bytes;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(BlockHeader::decode(&bad, 7), None, "bit {bit}");
        }
    }

    #[test]
    fn checksums_are_joined() {
        let whole = crc32fast::hash(b"beginning and rest");
        assert_eq!(joined_crc(crc32fast::hash(b"beginning"), crc32fast::hash(b" and rest"), 9), whole);
        assert_eq!(joined_crc(crc32fast::hash(b""), whole, 18), whole);
    }
}
