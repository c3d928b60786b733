//! How much of a shard's log is durable while later parts of it are still on their way.

use std::collections::VecDeque;

/// The group of a reset that is being applied: which one it will be in is noted behind it.
pub(crate) const UNMARKED: u64 = u64::MAX;

/// Ends of the log, each of which becomes durable with a commit group.
#[derive(Clone, Debug, Default)]
pub(crate) struct Marks {
    /// Entries below this are durable, as far as has been looked.
    settled: u64,
    /// (commit group, end of the log after it), both rising; short, since it holds only what is in flight.
    pending: VecDeque<(u64, u64)>,
}

impl Marks {
    /// Marks of a log of which everything before `settled` is durable.
    pub(crate) fn settled_at(settled: u64) -> Self {
        Self { settled, pending: VecDeque::new() }
    }

    /// Marks of a log that a reset in commit group `since` has emptied, to go on at `next`.
    pub(crate) fn emptied_by(since: u64, next: u64) -> Self {
        match since {
            0 => Self::settled_at(next),
            UNMARKED => Self::default(),
            group => Self { settled: 0, pending: VecDeque::from([(group, next)]) },
        }
    }

    /// Notes that the log ends at `next` once `group` is durable, and that `durable` is.
    pub(crate) fn push(&mut self, group: u64, next: u64, durable: u64) {
        self.settle(durable);
        match self.pending.back_mut() {
            Some(last) if last.0 == group => last.1 = next,
            _ => self.pending.push_back((group, next)),
        }
    }

    /// Notes that the log was cut to end at `next`: what follows is not what was durable.
    pub(crate) fn cut(&mut self, next: u64) {
        self.settled = self.settled.min(next);
        for mark in &mut self.pending {
            mark.1 = mark.1.min(next);
        }
    }

    /// The end of the durable part, given that groups up to and including `durable` are.
    pub(crate) fn settle(&mut self, durable: u64) -> u64 {
        while let Some(&(group, next)) = self.pending.front()
            && group <= durable
        {
            self.settled = next;
            self.pending.pop_front();
        }
        self.settled
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.pending.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_durable_end_follows_the_groups() {
        let mut marks = Marks::settled_at(5);
        marks.push(10, 7, 9);
        marks.push(10, 8, 9);
        marks.push(12, 9, 9);
        assert_eq!(marks.settle(9), 5);
        assert_eq!(marks.settle(11), 8);
        assert_eq!(marks.settle(12), 9);
        assert!(marks.is_settled());
    }

    #[test]
    fn entries_that_replace_durable_ones_are_not_durable() {
        let mut marks = Marks::settled_at(100);
        marks.cut(50);
        marks.push(3, 80, 2);
        assert_eq!(marks.settle(2), 50);
        assert_eq!(marks.settle(3), 80);
    }
}
