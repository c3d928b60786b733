//! The first block of a container: which snapshot it is, and where its manifest lies.
//!
//! The bytes are laid out in FORMAT.md, "Header".

use crate::{
    block::{seed_of, seeded_crc, u32_at, u64_at},
    error::{Error, Result},
    registered::Registered,
};

/// The version of the format that is written; FORMAT.md has its history.
pub(crate) const FORMAT_VERSION: u32 = 1;

const MAGIC: u32 = u32::from_le_bytes(*b"LBSN");
const LEN: usize = 128;

/// The header of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) shard: u64,
    pub(crate) registered: Registered,
    /// Blocks are padded to this many bytes.
    pub(crate) pad: u32,
    /// Where the manifest begins, and its length.
    pub(crate) manifest_at: u64,
    pub(crate) manifest_len: u64,
}

impl Header {
    pub(crate) fn encode(&self, log: [u64; 2]) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        bytes[4..8].copy_from_slice(&MAGIC.to_le_bytes());
        bytes[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.pad.to_le_bytes());
        let Registered { index, term, id, file, manifest_crc } = self.registered;
        let numbers = [log[0], log[1], self.shard, index, term, id, file, self.manifest_at, self.manifest_len];
        for (at, number) in (16..).step_by(8).zip(numbers) {
            bytes[at..at + 8].copy_from_slice(&number.to_le_bytes());
        }
        bytes[88..92].copy_from_slice(&manifest_crc.to_le_bytes());
        let crc = seeded_crc(&bytes[4..], seed_of(&log));
        bytes[..4].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Decodes the header of a container of this log; `None` for anything else.
    ///
    /// # Errors
    /// [`Error::NewerFormat`].
    pub(crate) fn decode(bytes: &[u8], log: [u64; 2]) -> Result<Option<Self>> {
        let Some(bytes) = bytes.get(..LEN) else { return Ok(None) };
        if u32_at(bytes, 4) != MAGIC || u32_at(bytes, 0) != seeded_crc(&bytes[4..], seed_of(&log)) {
            return Ok(None);
        }
        let version = u32_at(bytes, 8);
        if version > FORMAT_VERSION {
            return Err(Error::NewerFormat { found: version, supported: FORMAT_VERSION });
        }
        let registered = Registered {
            index: u64_at(bytes, 40),
            term: u64_at(bytes, 48),
            id: u64_at(bytes, 56),
            file: u64_at(bytes, 64),
            manifest_crc: u32_at(bytes, 88),
        };
        let shard = u64_at(bytes, 32);
        let (manifest_at, manifest_len) = (u64_at(bytes, 72), u64_at(bytes, 80));
        let header = Self { shard, registered, pad: u32_at(bytes, 12), manifest_at, manifest_len };
        Ok((header.encode(log) == bytes).then_some(header))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_of_another_log_or_with_a_flipped_bit_is_none() {
        let registered = Registered { index: 1, term: 2, id: 3, file: 4, manifest_crc: 5 };
        let header = Header { shard: 6, registered, pad: 4096, manifest_at: 4096, manifest_len: 100 };
        let bytes = header.encode([7, 8]);
        assert_eq!(Header::decode(&bytes, [7, 8]).unwrap(), Some(header));
        assert_eq!(Header::decode(&bytes, [7, 9]).unwrap(), None);
        for bit in 0..LEN * 8 {
            let mut bad = bytes;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&bad, [7, 8]).unwrap(), None, "bit {bit}");
        }
    }
}
