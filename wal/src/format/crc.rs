//! CRC-32 backwards: the seed that a checksum was begun with, and bytes that come to a checksum.
//!
//! A CRC is no secret: its state after some bytes says what it was before them. So the seed of a log's checksums stands
//! in every intact header, and an identity that was lost can be made anew (see `naming`).

/// The seed from which the checksum of `bytes` is `crc`.
pub(crate) fn seed_of(bytes: &[u8], crc: u32) -> u32 {
    !unwind(!crc, bytes)
}

/// Four bytes which, behind `bytes`, have the checksum of all be `crc`; not seeded.
pub(crate) fn ending(bytes: &[u8], crc: u32) -> [u8; 4] {
    (unwind(!crc, &[0; 4]) ^ !crc32fast::hash(bytes)).to_le_bytes()
}

/// The state in front of `bytes`, from the state behind them.
fn unwind(state: u32, bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(state, |state, &byte| {
        let index = INDEX[(state >> 24) as usize];
        (state ^ STEP[index as usize]) << 8 | (index ^ u32::from(byte))
    })
}

/// What a byte does to the state.
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

/// IEEE 802.3, reflected.
const POLYNOMIAL: u32 = 0xedb8_8320;

/// Which of the steps has this highest byte: each has another.
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
