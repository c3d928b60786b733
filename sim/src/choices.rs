//! `Choices`: the decisions of a history, from a seed or the bytes of a fuzzer.

use std::ops::Range;

use fastrand::Rng;

/// A source of decisions. The same source makes the same ones.
#[derive(Debug)]
pub struct Choices(Source);

#[derive(Debug)]
enum Source {
    Seed(Rng),
    Bytes { bytes: Vec<u8>, at: usize },
}

impl Choices {
    /// An endless source of decisions from a seed.
    pub fn seeded(seed: u64) -> Self {
        Self(Source::Seed(Rng::with_seed(seed)))
    }

    /// Decisions that are read from bytes. When those are used up every decision is the first of its kind, and
    /// [`Choices::are_over`] says so.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self(Source::Bytes { bytes: bytes.to_vec(), at: 0 })
    }

    /// Whether nothing is left to decide by.
    pub fn are_over(&self) -> bool {
        matches!(&self.0, Source::Bytes { bytes, at } if at >= &bytes.len())
    }

    /// A number below `end`; 0 if that is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        match &mut self.0 {
            _ if end <= 1 => 0,
            Source::Seed(rng) => rng.u64(..end),
            Source::Bytes { bytes, at } => {
                // As many bytes as the range needs: a fuzzer that changes one changes one decision.
                let width = (64 - (end - 1).leading_zeros()).div_ceil(8) as usize;
                let taken = bytes.get(*at..).unwrap_or_default();
                let taken = &taken[..taken.len().min(width)];
                *at += width;
                taken.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)) % end
            }
        }
    }

    /// A number in a range; its start if it is empty.
    pub fn range(&mut self, range: Range<u64>) -> u64 {
        range.start + self.below(range.end.saturating_sub(range.start))
    }

    /// A small number below `end`, as a size.
    pub fn size(&mut self, end: usize) -> usize {
        usize::try_from(self.below(end as u64)).unwrap_or_default()
    }

    /// A byte.
    pub fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap_or_default()
    }

    /// True in `percent` of a hundred cases.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of several, all equally likely.
    ///
    /// # Panics
    /// If there are none.
    pub fn pick<T: Copy>(&mut self, among: &[T]) -> T {
        among[self.size(among.len())]
    }

    /// The position of one of several, chosen by weight.
    pub fn weighted(&mut self, weights: &[u64]) -> usize {
        let mut left = self.below(weights.iter().sum());
        for (at, weight) in weights.iter().enumerate() {
            if left < *weight {
                return at;
            }
            left -= weight;
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_decide_until_they_are_used_up() {
        let mut choices = Choices::from_bytes(&[3, 1, 2, 200]);
        assert_eq!(choices.below(10), 3);
        assert_eq!(choices.below(1000), 0x0102);
        assert!(!choices.are_over());
        assert_eq!(choices.below(1), 0, "nothing to decide costs nothing");
        assert_eq!(choices.below(256), 200);
        assert!(choices.are_over());
        assert_eq!((choices.below(77), choices.percent(1)), (0, true));
    }

    #[test]
    fn weights_are_kept() {
        let mut choices = Choices::seeded(1);
        let mut counts = [0; 3];
        for _ in 0..1000 {
            counts[choices.weighted(&[1, 0, 9])] += 1;
        }
        assert!(counts[0] > 50 && counts[1] == 0 && counts[2] > 800, "{counts:?}");
    }
}
