//! CRC-32 backwards: computes the seed of a checksum, and bytes that give a chosen checksum.
//!
//! A CRC is invertible: its state after some bytes determines the state before them. So every intact header reveals the
//! seed of the log's checksums, from which a lost identity can be made again (see `find_identity`).

/// The seed with which the checksum of `bytes` is `crc`.
pub(crate) fn seed_of(bytes: &[u8], crc: u32) -> u32 {
    !unwind(!crc, bytes)
}

/// Four bytes that, appended to `bytes`, make the unseeded checksum of all equal `crc`.
pub(crate) fn ending(bytes: &[u8], crc: u32) -> [u8; 4] {
    (unwind(!crc, &[0; 4]) ^ !crc32fast::hash(bytes)).to_le_bytes()
}

/// The state before `bytes`, from the state after them.
fn unwind(state: u32, bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(state, |state, &byte| {
        let index = INDEX[(state >> 24) as usize];
        (state ^ STEP[index as usize]) << 8 | (index ^ u32::from(byte))
    })
}

/// The change of the state for each value of a byte.
const STEP: [u32; 256] = {
    let mut steps = [0_u32; 256];
    let mut byte = 0_u32;
    while byte < 256 {
        let (mut state, mut bit) = (byte, 0);
        while bit < 8 {
            state = if state & 1 == 1 { state >> 1 ^ POLYNOMIAL } else { state >> 1 };
            bit += 1;
        }
        steps[byte as usize] = state;
        byte += 1;
    }
    steps
};

/// The polynomial of IEEE 802.3, reflected.
const POLYNOMIAL: u32 = 0xedb8_8320;

/// The index in [`STEP`] by highest byte, which differs for all entries.
const INDEX: [u32; 256] = {
    let mut index = [0_u32; 256];
    let mut byte = 0_u32;
    while byte < 256 {
        index[(STEP[byte as usize] >> 24) as usize] = byte;
        byte += 1;
    }
    index
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::record::seeded_crc;

    #[test]
    fn a_checksum_gives_its_seed_away() {
        for seed in [0, 1, 7, 0xdead_beef, u32::MAX] {
            for bytes in [&b""[..], b"a", b"sixty bytes of a header", &[0; 124], &[255; 60]] {
                assert_eq!(seed_of(bytes, seeded_crc(bytes, seed)), seed, "{seed:x} {bytes:?}");
            }
        }
    }

    #[test]
    fn an_ending_comes_to_any_checksum() {
        for crc in [0, 1, 0xdead_beef, u32::MAX] {
            for bytes in [&b""[..], b"a", &[0; 12], &[255; 60]] {
                assert_eq!(crc32fast::hash(&[bytes, &ending(bytes, crc)].concat()), crc, "{crc:x} {bytes:?}");
            }
        }
    }
}
