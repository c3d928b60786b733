//! Whether a store answers.

use std::time::Duration;

use super::error::StoreError;

/// What goes wrong with a store now: of the requests that have failed and are tried again.
///
/// A request that succeeds after all, or is given up, is no longer counted. So this is clear when the store has done
/// all that was asked of it, and an alarm is a threshold on [`StoreHealth::since`].
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct StoreHealth {
    /// How many requests failed and have not succeeded since.
    pub failing: usize,
    /// When the first of them failed first, on the clock of the queue; `None` where none has.
    pub since: Option<Duration>,
    /// The last failure of one of them.
    pub last: Option<StoreError>,
    /// Attempts that are in flight.
    pub in_flight: usize,
    /// Requests that have no outcome yet, those in flight and those that fail among them.
    pub open: usize,
}
