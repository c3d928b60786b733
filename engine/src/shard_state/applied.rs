//! The applied floor of a shard: how far the application has stated that it applied the log. Compaction stays below it.

use crate::encoding::extent::Extent;

/// The applied floor of a log, stored as the distance from the log's end: 4 bytes, since every idle shard has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Applied {
    /// The number of entries at the end of the log that are not known to be applied; [`Applied::UNSAID`] before any
    /// statement.
    pending: u32,
}

impl Default for Applied {
    fn default() -> Self {
        Self { pending: Self::UNSAID }
    }
}

impl Applied {
    const UNSAID: u32 = u32::MAX;

    /// The first index of a log of `extent` that is not known to be applied; `None` before any statement.
    pub(crate) fn next(self, extent: &Extent) -> Option<u64> {
        (self.pending != Self::UNSAID).then(|| extent.next.saturating_sub(u64::from(self.pending)))
    }

    /// Raises the floor: entries up to and including `index`, or to the log's end, are applied. It never falls.
    pub(crate) fn raise(&mut self, extent: &Extent, index: u64) {
        let next = index.saturating_add(1).min(extent.next).max(self.next(extent).unwrap_or(0));
        *self = Self::between(next, extent.next);
    }

    /// Follows the log from one extent to another. If the log `restarted`, entries up to its boundary are applied: the
    /// boundary is that of a snapshot.
    pub(crate) fn follow(&mut self, before: &Extent, after: &Extent, restarted: bool) {
        if let Some(next) = self.next(before) {
            *self = Self::between(if restarted { after.next } else { next.min(after.next) }, after.next);
        }
    }

    /// Saturates below `UNSAID`: the index of so many entries fits no memory.
    fn between(next: u64, end: u64) -> Self {
        Self { pending: u32::try_from(end - next).unwrap_or(Self::UNSAID).min(Self::UNSAID - 1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(first: u64, next: u64) -> Extent {
        Extent { first, next, boundary_term: (first > 0).then_some(1) }
    }

    #[test]
    fn the_floor_only_rises_and_ends_with_the_log() {
        let mut applied = Applied::default();
        assert_eq!(applied.next(&log(3, 9)), None);
        applied.raise(&log(3, 9), 5);
        assert_eq!(applied.next(&log(3, 9)), Some(6));
        applied.raise(&log(3, 9), 4);
        assert_eq!(applied.next(&log(3, 9)), Some(6));
        applied.raise(&log(3, 9), u64::MAX);
        assert_eq!(applied.next(&log(3, 9)), Some(9));
    }

    #[test]
    fn the_floor_stays_while_the_log_moves() {
        let mut applied = Applied::default();
        applied.follow(&log(3, 9), &log(3, 12), false);
        assert_eq!(applied.next(&log(3, 12)), None);
        applied.raise(&log(3, 12), 7);
        applied.follow(&log(3, 12), &log(3, 20), false);
        assert_eq!(applied.next(&log(3, 20)), Some(8));
        applied.follow(&log(3, 20), &log(6, 20), false);
        assert_eq!(applied.next(&log(6, 20)), Some(8));
        applied.follow(&log(6, 20), &log(6, 7), false);
        assert_eq!(applied.next(&log(6, 7)), Some(7), "what is not there is not applied");
        applied.follow(&log(6, 7), &log(101, 101), true);
        assert_eq!(applied.next(&log(101, 101)), Some(101));
    }
}
