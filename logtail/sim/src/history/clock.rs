//! The wall clock of a history: it runs, stands still, and is set forward and back.

use std::time::Duration;

use logboom_logtail::Timestamp;
use logboom_sim::{Choices, Failure, World};
use logboom_wal::marks;

use crate::check::Check;

/// When histories begin.
const BEGIN: Duration = Duration::from_secs(1_764_504_000);

/// How far timestamps may be ahead of the latest time that the wall clock ever told: the reserve of the clock's bound,
/// and what many commits and restarts add.
const AHEAD_MAX: Duration = Duration::from_secs(6);

#[derive(Debug)]
pub(super) struct WallClock {
    /// The time at which it stands still.
    stands_at: Option<Duration>,
    /// The latest time that it ever told.
    latest: Duration,
}

impl WallClock {
    pub(super) fn new(world: &World) -> Self {
        world.set_unix(BEGIN);
        Self { stands_at: None, latest: BEGIN }
    }

    /// Notes that time has passed, unless the clock stands still.
    pub(super) fn runs(&mut self, world: &World) {
        if let Some(time) = self.stands_at {
            world.set_unix(time);
        }
        self.latest = self.latest.max(world.clock().unix());
    }

    /// Sets it, or makes it stand still or run again.
    #[expect(clippy::unnecessary_wraps, reason = "a step of a history")]
    pub(super) fn jump(&mut self, world: &World, choices: &mut Choices) -> Result<(), Failure> {
        let now = world.clock().unix();
        let far = if choices.percent(10) { Duration::from_secs(400_000) } else { Duration::from_secs(20) };
        let by = Duration::from_micros(choices.below(u64::try_from(far.as_micros()).unwrap_or(u64::MAX)));
        match choices.below(4) {
            0 => {
                marks::hit("clock: set back");
                world.set_unix(now.saturating_sub(by));
            }
            1 => {
                marks::hit("clock: set forward");
                world.set_unix(now + by);
            }
            2 => self.stands_at = Some(now),
            _ => self.stands_at = None,
        }
        if self.stands_at.is_some() {
            marks::hit("clock: stands still");
            self.stands_at = Some(world.clock().unix());
        }
        self.runs(world);
        Ok(())
    }

    /// Checks that a timestamp is not driven ahead of the wall clock.
    pub(super) fn check(&self, at: Timestamp) -> Result<(), Failure> {
        if at.unix() <= self.latest + AHEAD_MAX {
            return Ok(());
        }
        let what = format!("{at} was given, and the wall clock never was beyond {:?}", self.latest);
        Err(Failure::new(Check::Timestamps, what))
    }
}
