//! Timestamps of commits.

use std::{fmt, time::Duration};

/// A hybrid logical timestamp: unix time in milliseconds, then a count within the millisecond.
///
/// Timestamps order commits. They are close to the wall clock, so that *as of ten past* has an answer, but rise even
/// when it stands still or is set back ([Kulkarni et al., 2014](https://cse.buffalo.edu/tech-reports/2014-04.pdf)).
/// One is 63 bits, 43 of milliseconds (until the year 2248) and 20 of the count, as signed 64-bit columns are what all
/// readers of Parquet and Delta have. A count that overflows runs on into the next millisecond.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

const COUNT_BITS: u32 = 20;

impl Timestamp {
    /// Before all commits.
    pub const ZERO: Self = Self(0);
    /// The highest timestamp.
    pub const MAX: Self = Self(i64::MAX as u64);

    /// The first timestamp of the millisecond that is `since_epoch` after the unix epoch; [`Timestamp::MAX`] from the
    /// year 2248 on.
    pub fn from_unix(since_epoch: Duration) -> Self {
        let millis = u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX);
        if millis > Self::MAX.0 >> COUNT_BITS { Self::MAX } else { Self(millis << COUNT_BITS) }
    }

    /// The one that has `count` timestamps behind it.
    pub(crate) const fn before_max(count: u64) -> Self {
        Self(Self::MAX.0.saturating_sub(count))
    }

    /// The time since the unix epoch, to the millisecond.
    pub fn unix(self) -> Duration {
        Duration::from_millis(self.0 >> COUNT_BITS)
    }

    /// The next one; `None` after [`Timestamp::MAX`].
    pub fn next(self) -> Option<Self> {
        (self < Self::MAX).then(|| Self(self.0 + 1))
    }

    /// `self` and `by`; [`Timestamp::MAX`] where there is none. `by` counts in whole milliseconds.
    pub fn saturating_add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(Self::from_unix(by).0).min(Self::MAX.0))
    }

    /// The value of a signed column; never negative.
    pub fn to_i64(self) -> i64 {
        self.0.cast_signed()
    }

    /// The timestamp of a column's value; `None` for a negative one.
    pub fn from_i64(value: i64) -> Option<Self> {
        u64::try_from(value).ok().map(Self)
    }
}

/// Milliseconds and count: `1764490000000.3`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0 >> COUNT_BITS, self.0 & ((1 << COUNT_BITS) - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_is_unix_time_and_a_count() {
        let at = Timestamp::from_unix(Duration::from_micros(1_764_490_000_123_456));
        assert_eq!(at.unix(), Duration::from_millis(1_764_490_000_123));
        assert_eq!(at.next().unwrap().to_string(), "1764490000123.1");
        assert_eq!(Timestamp::from_i64(at.to_i64()), Some(at));
        assert_eq!(Timestamp::from_i64(-1), None);
    }

    #[test]
    fn a_count_runs_on_into_the_next_millisecond() {
        let last = Timestamp::from_i64((7 << 20) - 1).unwrap();
        assert_eq!((last.to_string(), last.next().unwrap().to_string()), ("6.1048575".into(), "7.0".into()));
    }

    #[test]
    fn there_is_a_last_one() {
        assert_eq!(Timestamp::MAX.next(), None);
        assert_eq!(Timestamp::from_unix(Duration::MAX), Timestamp::MAX);
        assert_eq!(Timestamp::MAX.saturating_add(Duration::from_secs(1)), Timestamp::MAX);
        assert_eq!(Timestamp::ZERO.saturating_add(Duration::MAX), Timestamp::MAX);
        assert_eq!(Timestamp::MAX.to_i64(), i64::MAX);
        // The year 2248 is still told apart from the end.
        assert!(Timestamp::from_unix(Duration::from_secs(8_767_600_000)) < Timestamp::MAX);
    }
}
