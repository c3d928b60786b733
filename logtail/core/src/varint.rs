//! Integers of variable length (LEB128), and bounds-checked reading of bytes from a log or a store.

/// The longest form of a `u64`, in bytes.
pub(crate) const BYTES_MAX: usize = 10;

/// Writes `value` at the end of `out`: seven bits a byte, the lowest first.
pub(crate) fn put(out: &mut impl Extend<u8>, mut value: u64) {
    let mut bytes = [0; BYTES_MAX];
    let mut len = 0;
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        bytes[len] = low | if value == 0 { 0 } else { 0x80 };
        len += 1;
        if value == 0 {
            break;
        }
    }
    out.extend(bytes.into_iter().take(len));
}

/// A signed value as an unsigned one that is small where its distance from zero is.
pub(crate) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

/// The signed value of [`zigzag`].
pub(crate) fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

/// Reads a slice from its front. Everything is `None` where the bytes end too early.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    pub(crate) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    /// A value in its shortest form; `None` for any other, so that bytes and values are one to one.
    pub(crate) fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return None;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return (byte != 0 || shift == 0).then_some(value);
            }
        }
        None
    }

    /// A count or a length: a varint that `usize` holds.
    pub(crate) fn len(&mut self) -> Option<usize> {
        usize::try_from(self.varint()?).ok()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_round_trip() {
        for value in [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let mut bytes = Vec::new();
            put(&mut bytes, value);
            let mut reader = Reader(&bytes);
            assert_eq!(reader.varint(), Some(value));
            assert!(reader.is_empty());
            assert_eq!(Reader(&bytes[..bytes.len() - 1]).varint(), None);
            assert_eq!(unzigzag(zigzag(value.cast_signed())), value.cast_signed());
        }
    }

    #[test]
    fn other_forms_are_refused() {
        // 0 in two bytes; ten bytes whose last one has bits beyond the 64th; eleven bytes.
        assert_eq!(Reader(&[0x80, 0]).varint(), None);
        let mut long = [0xff; 11];
        long[9] = 0x02;
        assert_eq!(Reader(&long).varint(), None);
        assert_eq!(Reader(&[0xff; 11]).varint(), None);
    }
}
