//! The pace of background reads: slow enough not to delay appends.

use std::time::Duration;

/// The shortest pause between two steps.
const SHORTEST: Duration = Duration::from_millis(1);
/// The longest pause, unless a step takes longer.
const LONGEST: Duration = Duration::from_millis(50);
/// How much longer the log's writes may take during steps than during pauses, as a quotient.
const SLOWER: (u32, u32) = (3, 2);

/// Pauses between steps. They grow while the log's writes take longer during steps than during pauses, and shrink
/// otherwise. Other load on the device counts in both, and does not slow the steps down.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    pause: Duration,
    due: Duration,
    in_steps: Mean,
    in_pauses: Mean,
    seen: Answers,
}

/// The number of writes of the log that completed, and their total duration.
pub(crate) type Answers = (u64, Duration);

/// An exponential moving average.
#[derive(Debug, Default)]
struct Mean(Option<Duration>);

impl Pace {
    /// When the next step may begin.
    pub(crate) fn due(&self) -> Duration {
        self.due
    }

    /// Call when a step begins.
    pub(crate) fn begin(&mut self, answers: Answers) {
        self.in_pauses.take(self.seen, answers);
        self.seen = answers;
    }

    /// Call when a step ends that began at `begun`; if `is_short` of space, steps take half of the time.
    pub(crate) fn end(&mut self, begun: Duration, ended: Duration, answers: Answers, is_short: bool) {
        self.in_steps.take(self.seen, answers);
        self.seen = answers;
        let took = ended.saturating_sub(begun).max(SHORTEST);
        let is_felt = match (self.in_steps.0, self.in_pauses.0) {
            (Some(in_steps), Some(in_pauses)) => in_steps.saturating_mul(SLOWER.1) > in_pauses.saturating_mul(SLOWER.0),
            _ => false,
        };
        let pause = if is_felt { self.pause.saturating_mul(2) } else { self.pause.saturating_mul(3) / 4 };
        self.pause = pause.clamp(took, LONGEST.max(took));
        self.due = ended.saturating_add(if is_short { took } else { self.pause });
    }
}

impl Mean {
    /// Adds the writes between two counts, if there were any.
    fn take(&mut self, before: Answers, after: Answers) {
        let Ok(count @ 1..) = u32::try_from(after.0.saturating_sub(before.0)) else { return };
        let new = after.1.saturating_sub(before.1) / count;
        self.0 = Some(self.0.map_or(new, |old| (old.saturating_mul(7).saturating_add(new)) / 8));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Pauses behind steps of 2 ms, while answers take so long during steps and during pauses.
    fn pauses(pace: &mut Pace, in_steps: Duration, in_pauses: Duration, count: usize) -> Vec<Duration> {
        let (mut now, mut answers) = (pace.due, pace.seen);
        let mut step = || {
            answers = (answers.0 + 10, answers.1 + in_pauses * 10);
            pace.begin(answers);
            answers = (answers.0 + 10, answers.1 + in_steps * 10);
            pace.end(now, now + 2 * MS, answers, false);
            let pause = pace.due() - (now + 2 * MS);
            now = pace.due();
            pause
        };
        (0..count).map(|_| step()).collect()
    }

    #[test]
    fn it_slows_down_while_the_log_feels_it() {
        let mut pace = Pace::default();
        assert_eq!(pauses(&mut pace, 4 * MS, 4 * MS, 3), [2 * MS; 3], "half of the time at most");
        let slower = pauses(&mut pace, 8 * MS, 4 * MS, 20);
        assert!(slower.is_sorted() && slower.last() == Some(&LONGEST), "{slower:?}");
        // Slow writes in both are not caused by the steps.
        let faster = pauses(&mut pace, 9 * MS, 8 * MS, 40);
        assert_eq!(faster.last(), Some(&(2 * MS)), "{faster:?}");
    }

    #[test]
    fn an_idle_log_feels_nothing() {
        let mut pace = Pace::default();
        for _ in 0..10 {
            pace.begin((0, Duration::ZERO));
            pace.end(5 * MS, 7 * MS, (0, Duration::ZERO), false);
            assert_eq!(pace.due(), 9 * MS);
        }
    }

    #[test]
    fn in_a_hurry_it_takes_half_of_the_time() {
        let mut pace = Pace::default();
        pauses(&mut pace, 9 * MS, MS, 20);
        pace.end(Duration::ZERO, 3 * MS, pace.seen, true);
        assert_eq!(pace.due(), 6 * MS);
    }
}
