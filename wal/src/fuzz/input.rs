//! The input of a fuzz target: bytes from which it takes its decisions.

/// The input, read from front to back. Reads past its end return zeros.
#[derive(Clone, Debug)]
pub struct Input<'i>(&'i [u8]);

impl<'i> Input<'i> {
    /// All of `bytes`.
    pub fn new(bytes: &'i [u8]) -> Self {
        Self(bytes)
    }

    /// Whether all bytes were read.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next `len` bytes, or as many as are left.
    pub fn bytes(&mut self, len: usize) -> &'i [u8] {
        let (bytes, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        bytes
    }

    /// The bytes that are left.
    pub fn rest(&mut self) -> &'i [u8] {
        self.bytes(usize::MAX)
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or(0)
    }

    /// The next two bytes.
    pub fn short(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    /// The next eight bytes.
    pub fn word(&mut self) -> u64 {
        let mut word = [0; 8];
        let bytes = self.bytes(8);
        word[..bytes.len()].copy_from_slice(bytes);
        u64::from_le_bytes(word)
    }

    /// A number below `end`, from two bytes; 0 if `end` is 0.
    pub fn below(&mut self, end: usize) -> usize {
        usize::from(self.short()).checked_rem(end).unwrap_or(0)
    }

    /// A number that is likely to be at the end of some range, or any.
    pub fn number(&mut self) -> u64 {
        const ENDS: [u64; 16] = [
            0,
            1,
            2,
            7,
            64,
            1 << 16,
            (1 << 31) - 1,
            (1 << 32) - 1,
            1 << 32,
            1 << 47,
            (1 << 48) - 1,
            1 << 48,
            (1 << 63) - 1,
            1 << 63,
            u64::MAX - 1,
            u64::MAX,
        ];
        let choice = self.byte();
        ENDS.get(usize::from(choice)).copied().unwrap_or_else(|| self.word())
    }
}
