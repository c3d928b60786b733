//! Where the device was read lately: the evidence that a scan goes on.

use std::{
    collections::BTreeMap,
    ops::{Bound, Range},
};

use crate::{read::chunk_cache::NEAR, types::ids::SegmentId};

/// So many reads are remembered. A scan of one owner comes by as many places as the owner has records.
const READS_MAX: usize = 4096;

/// Ranges that were read, by where they begin.
#[derive(Debug, Default)]
pub(crate) struct Trail {
    ends: BTreeMap<(SegmentId, u32), u32>,
    /// What was forgotten last, when there were too many.
    hand: (SegmentId, u32),
}

impl Trail {
    /// Notes what is read.
    pub(crate) fn note(&mut self, segment: SegmentId, range: Range<u32>) {
        self.ends.insert((segment, range.start), range.end);
        if self.ends.len() > READS_MAX {
            self.forget_one();
        }
    }

    /// Whether a read from `at` on goes on from one that was noted, which is not noted any more then.
    pub(crate) fn follow(&mut self, segment: SegmentId, at: u32) -> bool {
        let before = self.ends.range((segment, 0)..=(segment, at)).next_back();
        let Some((&key, &end)) = before else { return false };
        let follows = at <= end.saturating_add(NEAR);
        if follows {
            self.ends.remove(&key);
        }
        follows
    }

    /// Any one but in turns, so that of more scans than fit some are still known when they go on.
    fn forget_one(&mut self) {
        let behind = (Bound::Excluded(self.hand), Bound::Unbounded);
        let next = self.ends.range(behind).next().or_else(|| self.ends.first_key_value());
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
    fn a_read_goes_on_once_from_what_lies_shortly_before_it() {
        let end = 8192;
        for (at, follows) in [(0, false), (4096, true), (8192, true), (8192 + NEAR, true), (12288 + NEAR, false)] {
            let mut trail = Trail::default();
            trail.note(SEGMENT, 4096..end);
            assert!(!trail.follow(SegmentId(2), at) && !trail.follow(SegmentId(4), at));
            assert_eq!(trail.follow(SEGMENT, at), follows, "{at}");
            assert!(!follows || !trail.follow(SEGMENT, at), "{at}");
        }
    }

    #[test]
    fn of_more_reads_than_are_remembered_some_are_known() {
        let mut trail = Trail::default();
        let reads = 2 * u32::try_from(READS_MAX).unwrap_or_default();
        for round in 0..4 {
            let at = |read: u32| read * 100_000 + round * 4096;
            let known = (0..reads).filter(|&read| trail.follow(SEGMENT, at(read))).count();
            assert!(round == 0 || known > READS_MAX / 4, "{known} in round {round}");
            (0..reads).for_each(|read| trail.note(SEGMENT, at(read)..at(read) + 4096));
            assert_eq!(trail.ends.len(), READS_MAX);
        }
    }
}
