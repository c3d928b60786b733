//! The bytes of a record, taken from the front.

/// What is left of a record. Nothing is taken that it does not have.
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// How many bytes are left.
    pub(super) fn left(&self) -> usize {
        self.rest.len()
    }

    /// The next `len` bytes.
    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], &'static str> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(TOO_EARLY)?;
        self.rest = rest;
        Ok(taken)
    }

    /// The next byte.
    pub(super) fn byte(&mut self) -> Result<u8, &'static str> {
        let (byte, rest) = self.rest.split_first().ok_or(TOO_EARLY)?;
        self.rest = rest;
        Ok(*byte)
    }

    /// The next number of variable length, in its one shortest form.
    pub(super) fn varint(&mut self) -> Result<usize, &'static str> {
        let mut byte = self.byte()?;
        let mut number = usize::from(byte & 0x7f);
        let mut shift = 0;
        while byte >= 0x80 {
            byte = self.byte()?;
            shift += 7;
            let bits = usize::from(byte & 0x7f);
            let shifted = bits.checked_shl(shift).filter(|shifted| shifted >> shift == bits);
            number |= shifted.ok_or("a number is too large")?;
            if byte == 0 {
                return Err("a number has more bytes than it takes");
            }
        }
        Ok(number)
    }
}

const TOO_EARLY: &str = "the bytes end too early";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_one_form() {
        let cases: [(&[u8], Result<usize, &str>); 9] = [
            (&[0], Ok(0)),
            (&[0x7f], Ok(127)),
            (&[0x80, 1], Ok(128)),
            (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], Ok(usize::MAX)),
            (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2], Err("a number is too large")),
            (&[0x80; 11], Err("a number is too large")),
            (&[0x80, 0], Err("a number has more bytes than it takes")),
            (&[0x80], Err("the bytes end too early")),
            (&[], Err("the bytes end too early")),
        ];
        for (bytes, expected) in cases {
            assert_eq!(Cursor::new(bytes).varint(), expected, "{bytes:x?}");
        }
    }
}
