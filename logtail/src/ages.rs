//! `Ages`: how long rows are in memory.

use std::{collections::HashMap, time::Duration};

use logboom_logtail_core::{TableId, Timestamp};

/// How long the oldest rows of tables are in memory, and their oldest deletes.
///
/// By their timestamps, and by when they were first seen. Behind a wall clock that was ahead and is set back, commits
/// have timestamps of the time that it was until it is that time again: by those they would stay young, be flushed by
/// their bytes alone, and keep the log.
#[derive(Debug, Default)]
pub(crate) struct Ages {
    seen: HashMap<Part, Seen>,
}

/// The rows of a table, or its deletes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Part {
    Rows(TableId),
    Deletes(TableId),
}

#[derive(Debug)]
struct Seen {
    oldest: Timestamp,
    /// When it was the oldest one for the first time, by a clock that is not set.
    since: Duration,
    is_current: bool,
}

impl Ages {
    /// A part whose oldest row is of this timestamp: how old that is, at `now` of a clock that is not set, and `unix`
    /// by the wall clock.
    pub(crate) fn look(&mut self, part: Part, oldest: Timestamp, now: Duration, unix: Duration) -> Duration {
        let new = || Seen { oldest, since: now, is_current: true };
        let seen = self.seen.entry(part).or_insert_with(new);
        if seen.oldest != oldest {
            *seen = new();
        }
        seen.is_current = true;
        now.saturating_sub(seen.since).max(unix.saturating_sub(oldest.unix()))
    }

    /// Forgets parts that were not looked at since the last call: they have nothing in memory.
    pub(crate) fn forget_others(&mut self) {
        self.seen.retain(|_, seen| std::mem::take(&mut seen.is_current));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_age_whatever_the_wall_clock_says() {
        let mut ages = Ages::default();
        let second = Duration::from_secs;
        let (part, noon) = (Part::Rows(TableId(20)), second(1_764_504_000));
        let oldest = Timestamp::from_unix(noon);
        assert_eq!(ages.look(part, oldest, second(7), noon + second(3)), second(3));
        assert_eq!(ages.look(part, oldest, second(17), noon - second(600)), second(10));
        assert_eq!(ages.look(Part::Deletes(TableId(20)), oldest, second(17), noon), Duration::ZERO);
        // The next ones are as new as they are seen to be, and so are those behind a time without any.
        assert_eq!(ages.look(part, oldest.next().unwrap(), second(18), noon), Duration::ZERO);
        ages.forget_others();
        ages.forget_others();
        assert_eq!(ages.look(part, oldest, second(100), noon), Duration::ZERO);
    }
}
