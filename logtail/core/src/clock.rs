//! The clock of a writer: gives rising timestamps, none of them twice, also after a restart.

use std::time::Duration;

use crate::timestamp::Timestamp;

/// How far ahead of the wall clock the durable bound is set.
pub const RESERVE: Duration = Duration::from_secs(5);

/// How far ahead of the last timestamp it is set where the wall clock is behind that: room for two million timestamps.
/// So a writer that is restarted again and again gets ahead of the wall clock by [`RESERVE`] once, not each time.
const RESERVE_BEHIND: Duration = Duration::from_millis(2);

/// The clock takes a later wall clock for this time. Timestamps never go back: after a wall clock that was far ahead
/// for a moment there would be none left to commit with. So 2^52 of them stay above this one.
const WALL_MAX: Timestamp = Timestamp::before_max(1 << 52);

/// A hybrid logical clock under a durable bound.
///
/// Timestamps go to readers (as watermarks, say) before anything of them is durable, so after a crash the log alone
/// does not tell which are used up. Hence a *bound*: a record of the log; until it is durable, no timestamp above the
/// bound before it is given. A restart goes on above the highest bound that it finds. So a timestamp that was given is
/// never given again, whatever the wall clock says by then.
///
/// The clock reads no clock and writes no log: the wall clock is an argument, and [`HybridClock::bound_to_log`] says
/// which bound to write. At most one is on its way. Bounds are asked for only when timestamps are, so an idle writer
/// logs nothing.
#[derive(Debug)]
pub struct HybridClock {
    last: Timestamp,
    /// The highest durable bound: the last timestamp that may be given.
    bound: Timestamp,
    /// The bound whose record is on its way.
    logging: Option<Timestamp>,
}

/// The durable bound is reached: log a higher one ([`HybridClock::bound_to_log`]), and ask again when it is durable. At
/// [`Timestamp::MAX`], in the year 2248, there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no timestamp above {bound} may be given until a higher bound is durable")]
pub struct BoundReached {
    /// The bound.
    pub bound: Timestamp,
}

impl HybridClock {
    /// The clock of a log whose highest durable bound is `bound`; [`Timestamp::ZERO`] for a new log.
    ///
    /// Gives nothing before a bound of its own is durable.
    pub fn recovered(bound: Timestamp) -> Self {
        Self { last: bound, bound, logging: None }
    }

    /// The next timestamp: that of the wall clock, which is `unix` after the unix epoch, or the one after the last one
    /// where the wall clock is not ahead of that.
    ///
    /// # Errors
    /// [`BoundReached`] where it would pass the durable bound, as after a wall clock that jumped ahead; nothing has
    /// changed then.
    pub fn next(&mut self, unix: Duration) -> Result<Timestamp, BoundReached> {
        let reached = BoundReached { bound: self.bound };
        let next = self.last.next().ok_or(reached)?.max(wall(unix));
        if next > self.bound {
            return Err(reached);
        }
        self.last = next;
        Ok(next)
    }

    /// The durable bound, or the higher one that is on its way.
    pub fn bound(&self) -> Timestamp {
        self.logging.unwrap_or(self.bound).max(self.bound)
    }

    /// The last timestamp that was given, or the bound that the clock was recovered with.
    pub fn last(&self) -> Timestamp {
        self.last
    }

    /// The bound to write to the log now: when half of the reserve is used up, and none is on its way. Ask before
    /// each [`HybridClock::next`] that is made for somebody who waits.
    pub fn bound_to_log(&mut self, unix: Duration) -> Option<Timestamp> {
        let ahead = |share| {
            let behind = self.last.saturating_add(RESERVE_BEHIND / share);
            behind.max(wall(unix).saturating_add(RESERVE / share))
        };
        if self.logging.is_some() || ahead(2) <= self.bound || self.bound == Timestamp::MAX {
            return None;
        }
        self.logging = Some(ahead(1));
        self.logging
    }

    /// The bound on its way is durable: call it when the log says so, and never before.
    pub fn bound_is_durable(&mut self) {
        if let Some(bound) = self.logging.take() {
            self.bound = self.bound.max(bound);
        }
    }

    /// The record of the bound on its way was lost or refused: another may be asked for. If it turns up after all, a
    /// restart goes on above it, which costs nothing.
    pub fn bound_is_lost(&mut self) {
        self.logging = None;
    }

    /// How far timestamps are ahead of the wall clock: after it was set back or stood still, or after restarts. Shrinks
    /// as the wall clock catches up. Beyond a few [`RESERVE`]s, somebody has changed the wall clock: worth an alarm.
    pub fn drift(&self, unix: Duration) -> Duration {
        self.last.unix().saturating_sub(unix)
    }
}

fn wall(unix: Duration) -> Timestamp {
    Timestamp::from_unix(unix).min(WALL_MAX)
}
