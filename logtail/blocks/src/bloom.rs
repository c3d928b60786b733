//! `Bloom`: a bloom filter of Parquet, asked where it lies.

use bytes::Bytes;
use twox_hash::XxHash64;

/// The bytes of a block of the filter, of which a value sets a bit in each of eight words.
const BLOCK_BYTES: usize = 32;

/// The first byte of the header in Thrift's compact protocol: the field 1, which is the number of bytes, a varint.
const BYTES_FIELD: u8 = 0x15;

/// What the words of a block are chosen by: the constants of Parquet's specification.
const SALT: [u32; 8] =
    [0x47b6_137b, 0x4497_4d91, 0x8824_ad5b, 0xa2b7_289d, 0x7054_95c7, 0x2df1_424b, 0x9efc_4947, 0x5c6b_fb31];

/// A split block bloom filter, which is asked without being copied: a transaction asks those of many objects for a few
/// values each, and a row group's filter has 256 KiB.
#[derive(Clone, Debug)]
pub(crate) struct Bloom {
    blocks: Bytes,
}

impl Bloom {
    /// A filter with its header; `None` where the header states other bytes than follow it.
    pub(crate) fn parse(bytes: &Bytes) -> Option<Self> {
        let mut header = bytes.iter();
        if *header.next()? != BYTES_FIELD {
            return None;
        }
        let (mut zigzag, mut shift) = (0_u64, 0);
        loop {
            let byte = *header.next()?;
            zigzag |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
            if shift > 28 {
                return None;
            }
        }
        let len = usize::try_from(zigzag / 2).ok().filter(|_| zigzag % 2 == 0)?;
        // The rest of the header names the algorithms, of which Parquet has one each.
        let start = bytes.len().checked_sub(len)?;
        let header_len = bytes.len() - header.len();
        let fits = len > 0 && len % BLOCK_BYTES == 0 && start >= header_len;
        fits.then(|| Self { blocks: bytes.slice(start..) })
    }

    /// Whether a value with this [hash] may be among those of the filter.
    pub(crate) fn may_hold(&self, hash: u64) -> bool {
        let count = (self.blocks.len() / BLOCK_BYTES) as u64;
        // Below `count`, which a `usize` counts.
        let block = usize::try_from(((hash >> 32) * count) >> 32).unwrap_or(usize::MAX);
        let start = block.saturating_mul(BLOCK_BYTES);
        let Some(block) = self.blocks.get(start..start.saturating_add(BLOCK_BYTES)) else { return true };
        let (words, _) = block.as_chunks::<4>();
        // Without a branch for each word: that would be guessed wrong for half of them, and the reads of one filter
        // after the other would wait for each other.
        let missing = words.iter().zip(SALT).map(|(word, salt)| !u32::from_le_bytes(*word) & 1 << bit(hash, salt));
        missing.fold(0, |all, missing| all | missing) == 0
    }
}

/// The hash of a value's bytes.
pub(crate) fn hash(value: &[u8]) -> u64 {
    XxHash64::oneshot(0, value)
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half of the hash is meant")]
fn bit(hash: u64, salt: u32) -> u32 {
    (hash as u32).wrapping_mul(salt) >> 27
}

#[cfg(test)]
mod tests {
    use parquet::bloom_filter::Sbbf;

    use super::*;

    /// A filter of the parquet crate, and its bytes.
    fn filter(values: u64, fpp: f64) -> (Sbbf, Bytes) {
        let mut filter = Sbbf::new_with_ndv_fpp(values, fpp).unwrap();
        (0..values).for_each(|value| filter.insert(&value.cast_signed()));
        let mut bytes = Vec::new();
        filter.write(&mut bytes).unwrap();
        (filter, bytes.into())
    }

    #[test]
    fn answers_are_those_of_the_parquet_crate() {
        for (values, fpp) in [(1, 0.01), (1000, 0.01), (100_000, 0.03)] {
            let (theirs, bytes) = filter(values, fpp);
            let ours = Bloom::parse(&bytes).unwrap();
            let mut ruled_out = 0;
            for value in 0..3 * values.cast_signed() {
                let may_hold = ours.may_hold(hash(&value.to_le_bytes()));
                assert_eq!(may_hold, theirs.check(&value), "{value} of {values}");
                ruled_out += u64::from(!may_hold);
            }
            assert!(ruled_out > values, "{ruled_out} of {} others are ruled out", 2 * values);
        }
    }

    #[test]
    fn other_bytes_are_no_filter() {
        let (_, bytes) = filter(100, 0.01);
        assert!(Bloom::parse(&bytes).is_some());
        assert!(Bloom::parse(&bytes.slice(1..)).is_none());
        for len in 0..bytes.len() - BLOCK_BYTES {
            // A shorter one would have blocks that begin in the header.
            assert!(Bloom::parse(&bytes.slice(..len)).is_none_or(|filter| filter.blocks.len() % BLOCK_BYTES == 0));
        }
        for bytes in [&[][..], &[BYTES_FIELD], &[BYTES_FIELD, 0], &[BYTES_FIELD, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]] {
            assert!(Bloom::parse(&Bytes::copy_from_slice(bytes)).is_none(), "{bytes:?}");
        }
    }
}
