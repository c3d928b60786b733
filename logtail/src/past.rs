//! `Past`: which timestamp was the newest some time ago.

use std::{collections::VecDeque, time::Duration};

use logboom_logtail_core::Timestamp;

/// How many timestamps are noted of the time that is looked back.
const NOTES: u32 = 256;

/// Timestamps with the monotonic times at which they were the newest. The wall clock, which timestamps follow where it
/// is ahead of them, may be set: then what it said some time ago is not what timestamps were then.
#[derive(Debug)]
pub(crate) struct Past {
    /// How far it looks back.
    span: Duration,
    /// Whether the first note is that of the beginning, whose timestamp may be what a wall clock said that was ahead.
    is_young: bool,
    /// Rising. The first one may be older.
    notes: VecDeque<(Duration, Timestamp)>,
}

impl Past {
    /// Begins `now`, with this timestamp.
    pub(crate) fn new(span: Duration, now: Duration, newest: Timestamp) -> Self {
        Self { span, is_young: true, notes: VecDeque::from([(now, newest)]) }
    }

    /// Notes the newest timestamp. Returns that of a span ago, or one from little before. Of the time before the first
    /// note its timestamp tells, and `unix`, the wall clock, whichever says that it was earlier.
    pub(crate) fn look(&mut self, now: Duration, newest: Timestamp, unix: Duration) -> Timestamp {
        if self.span.is_zero() {
            return newest;
        }
        if self.notes.back().is_none_or(|(at, _)| now.saturating_sub(*at) > self.span / NOTES) {
            self.notes.push_back((now, newest));
        }
        while self.notes.get(1).is_some_and(|(at, _)| now.saturating_sub(*at) >= self.span) {
            self.notes.pop_front();
            self.is_young = false;
        }
        let Some((at, first)) = self.notes.front() else { return Timestamp::ZERO };
        let before = self.span.saturating_sub(now.saturating_sub(*at));
        let found = if before.is_zero() { *first } else { Timestamp::from_unix(first.unix().saturating_sub(before)) };
        if self.is_young { found.min(Timestamp::from_unix(unix.saturating_sub(self.span))) } else { found }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Duration = Duration::from_secs(1_764_504_000);
    const DAY: Duration = Duration::from_secs(86_400);

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn timestamps_are_those_of_their_time_whatever_the_wall_clock_says() {
        // It is a day ahead from the hundredth second on, and is set back a while later: timestamps stay there.
        let at = |now: u64| NOON + s(now.min(200)) + if now < 100 { Duration::ZERO } else { DAY };
        let wall = |now: u64| NOON + s(now) + if (100..200).contains(&now) { DAY } else { Duration::ZERO };
        for span in [0, 5, 150, 600] {
            let mut past = Past::new(s(span), s(0), Timestamp::from_unix(NOON));
            let exact = |now: u64| now.checked_sub(span).map_or_else(|| NOON - s(span - now), at);
            for now in 0..3000 {
                let found = past.look(s(now), Timestamp::from_unix(at(now)), wall(now));
                assert!(found <= Timestamp::from_unix(exact(now)), "{now} {span}: {found}");
                assert!(found >= Timestamp::from_unix(exact(now.saturating_sub(3))), "{now} {span}: {found}");
                assert!(past.notes.len() <= NOTES as usize + 2);
            }
        }
    }

    /// The clock is set back before the first transaction, so that timestamps are right from the beginning.
    #[test]
    fn a_wall_clock_that_was_ahead_at_the_beginning_takes_no_history() {
        let mut past = Past::new(s(300), s(0), Timestamp::from_unix(NOON + DAY));
        for now in 1..1000 {
            let found = past.look(s(now), Timestamp::from_unix(NOON + s(now)), NOON + s(now));
            assert!(found <= Timestamp::from_unix(NOON + s(now) - s(300)), "{now}: {found}");
        }
    }
}
