//! `Payloads`: incompressible payloads that cost nothing to make.

use std::sync::OnceLock;

/// Returns payloads of one size, each a different piece of a few MiB of random bytes.
#[derive(Debug)]
pub struct Payloads {
    source: &'static [u8],
    size: usize,
    position: usize,
}

impl Payloads {
    /// Payloads of `size` bytes; each `seed` begins at another piece.
    pub fn new(size: usize, seed: u64) -> Self {
        let source = source();
        assert!(size < source.len(), "payload of {size} bytes");
        let position = fastrand::Rng::with_seed(seed).usize(..source.len() - size);
        Payloads { source, size, position }
    }

    /// The next payload.
    #[expect(clippy::should_implement_trait, reason = "it never ends, and is no sequence to be adapted")]
    pub fn next(&mut self) -> &'static [u8] {
        let payload = &self.source[self.position..self.position + self.size];
        self.position = (self.position + self.size + STRIDE) % (self.source.len() - self.size);
        payload
    }
}

/// Larger than the caches close to the cores, so that reading a payload costs as much as in practice.
const SOURCE_BYTES: usize = 16 << 20;

/// Odd, so that payloads begin at different alignments and repeat only after very many.
const STRIDE: usize = 61;

fn source() -> &'static [u8] {
    static SOURCE: OnceLock<Vec<u8>> = OnceLock::new();
    SOURCE.get_or_init(|| {
        let mut bytes = vec![0; SOURCE_BYTES];
        fastrand::Rng::with_seed(0x10B0).fill(&mut bytes);
        bytes
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_differ_and_have_their_size() {
        for size in [1, 256, 1 << 20] {
            let mut payloads = Payloads::new(size, 1);
            let first = payloads.next();
            for _ in 0..1000 {
                let next = payloads.next();
                assert_eq!(next.len(), size);
                assert_ne!(next.as_ptr(), first.as_ptr());
            }
        }
    }
}
