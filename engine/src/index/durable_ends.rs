//! How much of a shard's log is durable while later commit groups are still in flight.

use std::collections::VecDeque;

/// Stands for the group of a reset until its batch has stated the group.
pub(crate) const UNKNOWN_GROUP: u64 = u64::MAX;

/// The ends of the log after each commit group in flight.
#[derive(Clone, Debug, Default)]
pub(crate) struct DurableEnds {
    /// Entries below this are durable, as of the last call of [`DurableEnds::advance`].
    durable_end: u64,
    /// (commit group, end of the log after it), both rising.
    pending: VecDeque<(u64, u64)>,
}

impl DurableEnds {
    /// Of a log whose entries before `durable_end` are durable.
    pub(crate) fn durable_to(durable_end: u64) -> Self {
        Self { durable_end, pending: VecDeque::new() }
    }

    /// Of a log that a reset in commit group `since` emptied; its next entry is `next`.
    pub(crate) fn emptied_by(since: u64, next: u64) -> Self {
        match since {
            0 => Self::durable_to(next),
            UNKNOWN_GROUP => Self::default(),
            group => Self { durable_end: 0, pending: VecDeque::from([(group, next)]) },
        }
    }

    /// Adds a group in flight, after which the log ends at `next`. Groups up to `durable` are durable.
    pub(crate) fn push(&mut self, group: u64, next: u64, durable: u64) {
        self.advance(durable);
        match self.pending.back_mut() {
            Some(last) if last.0 == group => last.1 = next,
            _ => self.pending.push_back((group, next)),
        }
    }

    /// The log was truncated to end at `next`: the entries that follow are new ones, not those that were durable.
    pub(crate) fn truncate(&mut self, next: u64) {
        self.durable_end = self.durable_end.min(next);
        for end in &mut self.pending {
            end.1 = end.1.min(next);
        }
    }

    /// The end of the durable entries, given that groups up to and including `durable` are durable.
    pub(crate) fn advance(&mut self, durable: u64) -> u64 {
        while let Some(&(group, next)) = self.pending.front()
            && group <= durable
        {
            self.durable_end = next;
            self.pending.pop_front();
        }
        self.durable_end
    }

    pub(crate) fn is_all_durable(&self) -> bool {
        self.pending.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_durable_end_follows_the_groups() {
        let mut ends = DurableEnds::durable_to(5);
        ends.push(10, 7, 9);
        ends.push(10, 8, 9);
        ends.push(12, 9, 9);
        assert_eq!(ends.advance(9), 5);
        assert_eq!(ends.advance(11), 8);
        assert_eq!(ends.advance(12), 9);
        assert!(ends.is_all_durable());
    }

    #[test]
    fn entries_that_replace_durable_ones_are_not_durable() {
        let mut ends = DurableEnds::durable_to(100);
        ends.truncate(50);
        ends.push(3, 80, 2);
        assert_eq!(ends.advance(2), 50);
        assert_eq!(ends.advance(3), 80);
    }
}
