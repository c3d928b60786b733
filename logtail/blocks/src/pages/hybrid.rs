//! Runs and packed bits: Parquet's encoding of levels and of dictionary indexes.

use arrow_buffer::{BooleanBuffer, BooleanBufferBuilder};
use arrow_schema::ArrowError;

use super::malformed;

/// A part of the encoding.
enum Part<'a> {
    /// One number, so many times.
    Run { number: u32, count: usize },
    /// Numbers of as many bits each, lowest first: a multiple of 8.
    Packed { bytes: &'a [u8], count: usize },
}

/// `count` numbers of one bit.
pub(super) fn bits(mut bytes: &[u8], count: usize) -> Result<BooleanBuffer, ArrowError> {
    let mut bits = BooleanBufferBuilder::new(count);
    while bits.len() < count {
        let left = count - bits.len();
        match part(&mut bytes, 1)? {
            Part::Run { number, count } => bits.append_n(count.min(left), number != 0),
            Part::Packed { bytes, count } => bits.append_packed_range(0..count.min(left), bytes),
        }
    }
    Ok(bits.finish())
}

/// `count` numbers of `width` bits.
pub(super) fn numbers(mut bytes: &[u8], width: u8, count: usize) -> Result<Vec<u32>, ArrowError> {
    if width > 32 {
        return Err(malformed("indexes of more than 32 bits"));
    }
    let mut numbers = Vec::with_capacity(count);
    while numbers.len() < count {
        let left = count - numbers.len();
        match part(&mut bytes, width)? {
            Part::Run { number, count } => numbers.extend(std::iter::repeat_n(number, count.min(left))),
            Part::Packed { bytes, count } => unpack(bytes, width, count.min(left), &mut numbers),
        }
    }
    Ok(numbers)
}

/// Takes a part of numbers of `width` bits off the front of `bytes`. It has at least one number.
fn part<'a>(bytes: &mut &'a [u8], width: u8) -> Result<Part<'a>, ArrowError> {
    const SHORT: &str = "levels or indexes cut short";
    let header = varint(bytes).ok_or_else(|| malformed(SHORT))?;
    let count = usize::try_from(header >> 1).unwrap_or(usize::MAX);
    if count == 0 {
        return Err(malformed("levels or indexes of nothing"));
    }
    if header & 1 == 0 {
        let (number, rest) = bytes.split_at_checked(usize::from(width).div_ceil(8)).ok_or_else(|| malformed(SHORT))?;
        *bytes = rest;
        let number = number.iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte));
        return Ok(Part::Run { number, count });
    }
    // The last group may be cut where no number is missing, so it may have fewer bytes than its count says.
    let len = count.saturating_mul(usize::from(width)).min(bytes.len());
    let (packed, rest) = bytes.split_at(len);
    *bytes = rest;
    let count = match width {
        0 => count.saturating_mul(8),
        width => count.saturating_mul(8).min(len * 8 / usize::from(width)),
    };
    if count == 0 { Err(malformed(SHORT)) } else { Ok(Part::Packed { bytes: packed, count }) }
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..63).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// Appends the first `count` numbers of `width` bits in `bytes`, which has them.
fn unpack(bytes: &[u8], width: u8, count: usize, numbers: &mut Vec<u32>) {
    let (width, end) = (usize::from(width), numbers.len() + count);
    let mask = (1_u64 << width) - 1;
    // Eight numbers begin at a byte. A word of 64 bits that begins at a byte has several of them.
    let in_word = if width <= 8 { 8 } else { 57 / width };
    let mut at = 0;
    while numbers.len() + 8 <= end
        && let Some(group) = bytes.get(at..at + width + 8)
    {
        let mut eight = [0; 8];
        for (nth, numbers) in eight.chunks_mut(in_word).enumerate() {
            let bit = nth * in_word * width;
            let word = group.get(bit / 8..).and_then(|rest| rest.first_chunk());
            let word = word.map_or(0, |word| u64::from_le_bytes(*word)) >> (bit % 8);
            for (nth, number) in numbers.iter_mut().enumerate() {
                *number = u32::try_from(word >> (nth * width) & mask).unwrap_or_default();
            }
        }
        numbers.extend_from_slice(&eight);
        at += width;
    }
    let left = end - numbers.len();
    numbers.extend((0..left).map(|nth| number(bytes.get(at..).unwrap_or_default(), nth * width, mask)));
}

/// The number whose lowest bit is the one at `bit`.
fn number(bytes: &[u8], bit: usize, mask: u64) -> u32 {
    let rest = bytes.get(bit / 8..).unwrap_or_default();
    let word = match rest.first_chunk() {
        Some(word) => u64::from_le_bytes(*word),
        None => rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    };
    // A number begins within a byte and has 32 bits at most, so 39 bits have it.
    u32::try_from(word >> (bit % 8) & mask).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_format() {
        // From the text of Parquet's format: 0 to 7 in three bits each.
        assert_eq!(numbers(&[0x03, 0x88, 0xc6, 0xfa], 3, 8).unwrap(), [0, 1, 2, 3, 4, 5, 6, 7]);
        // Five times 300, in ten bits.
        assert_eq!(numbers(&[0x0a, 0x2c, 0x01], 10, 5).unwrap(), [300; 5]);
        assert_eq!(numbers(&[0x06], 0, 3).unwrap(), [0; 3]);
        assert_eq!(bits(&[0x03, 0b1010_0101, 0x04, 0x01], 10).unwrap().iter().filter(|bit| *bit).count(), 6);
    }

    #[test]
    fn packed_numbers_of_all_widths_come_back() {
        for width in 0..=32_u8 {
            for groups in [1, 2, 5, 40] {
                let count = 8 * groups;
                let mut rng = fastrand::Rng::with_seed(u64::from(width) * 100 + groups as u64);
                let mask = u32::try_from((1_u64 << width) - 1).unwrap();
                let expected: Vec<u32> = (0..count).map(|_| rng.u32(..) & mask).collect();
                let mut packed = vec![u8::try_from(groups << 1 | 1).unwrap()];
                let mut bits = vec![0_u8; groups * usize::from(width)];
                for (nth, number) in expected.iter().enumerate() {
                    for bit in (0..usize::from(width)).filter(|bit| number >> bit & 1 == 1) {
                        let at = nth * usize::from(width) + bit;
                        bits[at / 8] |= 1 << (at % 8);
                    }
                }
                packed.extend(bits);
                assert_eq!(numbers(&packed, width, count).unwrap(), expected, "{width}");
                assert_eq!(numbers(&packed, width, count - 3).unwrap(), expected[..count - 3], "{width}");
            }
        }
    }

    #[test]
    fn what_is_cut_short_is_refused() {
        for (bytes, width, count) in [
            (&[][..], 3, 1),
            (&[0x80], 3, 1),
            (&[0xff; 20], 3, 1),
            (&[0x0a, 0x2c], 10, 5),
            (&[0x03, 0x88], 3, 8),
            (&[0x00, 0x01], 1, 1),
            (&[0x03], 3, 1),
            (&[0x0a, 1], 33, 1),
        ] {
            assert!(numbers(bytes, width, count).is_err(), "{bytes:?}");
        }
        assert!(bits(&[0x03], 1).is_err() && bits(&[0x03, 0xff], 9).is_err());
    }
}
