//! The access pattern detector: recognises reads that continue an earlier one, as the steps of a scan do.

use std::{
    collections::BTreeMap,
    ops::{Bound, Range},
};

use crate::types::ids::SegmentId;

/// Records of a segment with at most this many bytes between them are neighbours: one read of the device fetches both,
/// and a caller that reads one after the other is taken for a scan.
pub const NEAR: u32 = 16 << 10;

/// The most reads that are remembered. A scan of one owner reads as many places as the owner has records.
const READS_MAX: usize = 4096;

/// Ranges that were read from the device, by segment and start.
#[derive(Debug, Default)]
pub(crate) struct AccessPattern {
    ends: BTreeMap<(SegmentId, u32), u32>,
    /// The range that was evicted last.
    hand: (SegmentId, u32),
}

impl AccessPattern {
    /// Remembers a read.
    pub(crate) fn add(&mut self, segment: SegmentId, range: Range<u32>) {
        self.ends.insert((segment, range.start), range.end);
        if self.ends.len() > READS_MAX {
            self.evict();
        }
    }

    /// Whether a read at `at` continues a remembered one, which is forgotten then.
    pub(crate) fn take_before(&mut self, segment: SegmentId, at: u32) -> bool {
        let last = self.ends.range((segment, 0)..=(segment, at)).next_back();
        let Some((&key, &end)) = last else { return false };
        let follows = at <= end.saturating_add(NEAR);
        if follows {
            self.ends.remove(&key);
        }
        follows
    }

    /// Evicts round-robin: if there are more scans than fit, some of them are still recognised.
    fn evict(&mut self) {
        let after = (Bound::Excluded(self.hand), Bound::Unbounded);
        let next = self.ends.range(after).next().or_else(|| self.ends.first_key_value());
        if let Some((&key, _)) = next {
            self.hand = key;
            self.ends.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENT: SegmentId = SegmentId(3);

    #[test]
    fn a_read_continues_a_range_shortly_before_it_once() {
        let end = 8192;
        for (at, follows) in [(0, false), (4096, true), (8192, true), (8192 + NEAR, true), (12288 + NEAR, false)] {
            let mut pattern = AccessPattern::default();
            pattern.add(SEGMENT, 4096..end);
            assert!(!pattern.take_before(SegmentId(2), at) && !pattern.take_before(SegmentId(4), at));
            assert_eq!(pattern.take_before(SEGMENT, at), follows, "{at}");
            assert!(!follows || !pattern.take_before(SEGMENT, at), "{at}");
        }
    }

    #[test]
    fn some_of_more_reads_than_fit_are_remembered() {
        let mut pattern = AccessPattern::default();
        let reads = 2 * u32::try_from(READS_MAX).unwrap_or_default();
        for round in 0..4 {
            let at = |read: u32| read * 100_000 + round * 4096;
            let known = (0..reads).filter(|&read| pattern.take_before(SEGMENT, at(read))).count();
            assert!(round == 0 || known > READS_MAX / 4, "{known} in round {round}");
            (0..reads).for_each(|read| pattern.add(SEGMENT, at(read)..at(read) + 4096));
            assert_eq!(pattern.ends.len(), READS_MAX);
        }
    }
}
