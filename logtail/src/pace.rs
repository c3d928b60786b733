//! `Pace`: how fast a flush goes beside commits.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use logboom_logtail_core::TableId;

use crate::shared::Shared;

/// Commits that were seen this long ago are over.
const QUIET: Duration = Duration::from_millis(100);
/// Pauses are for so much work at least, or waking up would take longer than they do.
const WORK_MIN: Duration = Duration::from_micros(50);
/// How often it is looked at whether memory is scarce.
const LOOK: Duration = Duration::from_millis(10);
/// The longest pause: one that is longer would make a flush deaf to what changes.
const PAUSE_MAX: Duration = Duration::from_millis(50);

/// Slows a flush down while transactions commit, which would wait for the processor and the disk otherwise: each piece
/// of work is followed by a pause, so that working takes a share of the time. Without commits, where memory becomes
/// scarce, and where somebody waits for the flush, there are no pauses.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    share: f64,
    /// The number of commits that was seen last, and when it had changed.
    commits: u64,
    changed: Option<Duration>,
}

impl Pace {
    /// Working takes `share` of the time, above 0 and up to 1.
    pub(crate) fn new(share: f64, commits: u64) -> Self {
        Self { share: if share > 0.0 { share.min(1.0) } else { 1.0 }, commits, changed: None }
    }

    /// The pause behind a piece of work that ends `now`, after which there have been `commits`. Where there would be
    /// one, it is asked whether memory is scarce.
    pub(crate) fn pause(
        &mut self,
        now: Duration,
        worked: Duration,
        commits: u64,
        is_scarce: impl FnOnce() -> bool,
    ) -> Duration {
        if commits != self.commits {
            (self.commits, self.changed) = (commits, Some(now));
        }
        let is_quiet = self.changed.is_none_or(|changed| now.saturating_sub(changed) >= QUIET);
        let pause = if is_quiet { Duration::ZERO } else { worked.mul_f64(1.0 / self.share - 1.0).min(PAUSE_MAX) };
        if pause.is_zero() || is_scarce() { Duration::ZERO } else { pause }
    }
}

/// Whether somebody waits for a flush, which takes no pauses then. Shared by clones.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hurry(Arc<AtomicBool>);

impl Hurry {
    pub(crate) fn set(&self, hurries: bool) {
        self.0.store(hurries, Ordering::Relaxed);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The [`Pace`] of a thread that flushes a table.
#[derive(Debug)]
pub(crate) struct Pacer {
    shared: Arc<Shared>,
    table: TableId,
    pace: Pace,
    hurry: Hurry,
    scarcity: Scarcity,
    /// Since when it has worked without a pause.
    since: Duration,
}

/// Whether memory is scarce, or was a moment ago: what a table takes is counted object by object.
#[derive(Debug, Default)]
struct Scarcity(Option<(Duration, bool)>);

impl Pacer {
    pub(crate) fn new(shared: &Arc<Shared>, table: TableId, hurry: &Hurry) -> Self {
        let pace = Pace::new(shared.options.flush_share, shared.counts.transactions.get());
        Self {
            shared: Arc::clone(shared),
            table,
            pace,
            hurry: hurry.clone(),
            scarcity: Scarcity::default(),
            since: shared.monotonic(),
        }
    }

    /// Work begins, after something was waited for.
    pub(crate) fn begin(&mut self) {
        self.since = self.shared.monotonic();
    }

    /// A piece of work has ended. Pauses if it has to, once there is something to pause for.
    pub(crate) fn pause(&mut self) {
        let now = self.shared.monotonic();
        let worked = now.saturating_sub(self.since);
        if worked < WORK_MIN {
            return;
        }
        self.since = now;
        let pause = self.pause_for(now, worked);
        if !pause.is_zero() {
            self.shared.counts.pauses.add(1);
            thread::sleep(pause);
            self.begin();
        }
    }

    /// Whether work that begins now gives way to commits.
    pub(crate) fn gives_way(&mut self) -> bool {
        !self.pause_for(self.shared.monotonic(), WORK_MIN).is_zero()
    }

    fn pause_for(&mut self, now: Duration, worked: Duration) -> Duration {
        let Self { shared, table, pace, hurry, scarcity, .. } = self;
        // Without threads the caller does the work.
        if !shared.options.threads || hurry.is_set() {
            return Duration::ZERO;
        }
        let look = || shared.memory_bound().is_scarce(shared.state.table(*table).as_deref());
        pace.pause(now, worked, shared.counts.transactions.get(), || scarcity.at(now, look))
    }
}

impl Scarcity {
    fn at(&mut self, now: Duration, look: impl FnOnce() -> bool) -> bool {
        match self.0 {
            Some((at, is_scarce)) if now.saturating_sub(at) < LOOK => is_scarce,
            _ => self.0.insert((now, look())).1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_flush_pauses_while_there_are_commits() {
        let mut pace = Pace::new(0.25, 7);
        assert_eq!(pace.pause(MS, MS, 7, || false), Duration::ZERO);
        assert_eq!(pace.pause(10 * MS, 2 * MS, 8, || false), 6 * MS);
        // The last one was a moment ago.
        assert_eq!(pace.pause(100 * MS, 2 * MS, 8, || false), 6 * MS);
        assert_eq!(pace.pause(110 * MS, 2 * MS, 8, || false), Duration::ZERO);
        assert_eq!(pace.pause(111 * MS, 2 * MS, 9, || false), 6 * MS);
        assert_eq!(pace.pause(112 * MS, 200 * MS, 9, || false), PAUSE_MAX);
    }

    #[test]
    fn a_flush_goes_on_where_memory_is_scarce() {
        let mut pace = Pace::new(0.25, 0);
        assert_eq!(pace.pause(MS, MS, 1, || true), Duration::ZERO);
        assert_eq!(pace.pause(2 * MS, MS, 1, || false), 3 * MS);
    }

    #[test]
    fn a_share_of_all_or_of_nothing_is_all() {
        for share in [1.0, 2.0, 0.0, -1.0, f64::NAN] {
            assert_eq!(Pace::new(share, 0).pause(MS, MS, 1, || false), Duration::ZERO, "{share}");
        }
    }
}
