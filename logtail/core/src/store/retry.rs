//! When a request that failed is tried again.

use std::time::Duration;

use fastrand::Rng;

use super::error::StoreErrorKind;

/// How often a request is tried again, and for how long.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// The pause after the first failure; each further one is twice as long.
    pub first: Duration,
    /// The longest pause.
    pub cap: Duration,
    /// How long after its first failure a request that keeps failing is given up. `None`: never, which is for requests
    /// that a record relies on, as they would only be made again.
    ///
    /// With an end, access that is denied is not tried again: somebody waits for the answer.
    pub patience: Option<Duration>,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { first: Duration::from_millis(100), cap: Duration::from_secs(10), patience: None }
    }
}

/// How often bytes that are missing are asked for again: a cut answer looks like an object that has become shorter.
const OUT_OF_RANGE_MAX: u32 = 2;

/// The failures of one request, and the pause behind the last.
///
/// A pause is drawn between half of its length and all of it, from a seed: requests that failed together do not come
/// back together, and a seed repeats a history.
#[derive(Clone, Debug)]
pub struct Retry {
    policy: RetryPolicy,
    rng: Rng,
    failures: u32,
    /// Those of them that were [`StoreErrorKind::OutOfRange`].
    cuts: u32,
    since: Option<Duration>,
}

/// What follows a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Try again at this time.
    Again(Duration),
    /// The failure is the outcome.
    GiveUp,
}

impl Retry {
    /// Of a request that has not failed yet.
    pub fn new(policy: RetryPolicy, seed: u64) -> Self {
        Self { policy, rng: Rng::with_seed(seed), failures: 0, cuts: 0, since: None }
    }

    /// The request failed at `now`.
    pub fn failed(&mut self, kind: StoreErrorKind, now: Duration) -> Verdict {
        let since = *self.since.get_or_insert(now);
        self.failures = self.failures.saturating_add(1);
        let is_cut = kind == StoreErrorKind::OutOfRange;
        self.cuts = self.cuts.saturating_add(is_cut.into());
        let may_succeed = kind.is_retryable() || is_cut && self.cuts <= OUT_OF_RANGE_MAX;
        if !may_succeed {
            return Verdict::GiveUp;
        }
        let pause = self.pause();
        let Some(patience) = self.policy.patience else {
            return Verdict::Again(now.saturating_add(pause));
        };
        let end = since.saturating_add(patience);
        if now >= end || kind == StoreErrorKind::Denied {
            return Verdict::GiveUp;
        }
        // The last attempt is made when patience ends, not somewhat before.
        Verdict::Again(now.saturating_add(pause).min(end))
    }

    /// When it failed first; `None` if it has not.
    pub fn failing_since(&self) -> Option<Duration> {
        self.since
    }

    fn pause(&mut self) -> Duration {
        let doubled = self.policy.first.saturating_mul(1_u32.checked_shl(self.failures - 1).unwrap_or(u32::MAX));
        let whole = u64::try_from(doubled.min(self.policy.cap).as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.rng.u64(whole / 2..=whole))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1000);

    fn pauses(retry: &mut Retry, kind: StoreErrorKind, count: usize) -> Vec<Duration> {
        let mut pauses = Vec::new();
        for _ in 0..count {
            let Verdict::Again(at) = retry.failed(kind, NOW) else { break };
            pauses.push(at - NOW);
        }
        pauses
    }

    #[test]
    fn pauses_double_up_to_the_cap_without_end() {
        let policy = RetryPolicy::default();
        let pauses = pauses(&mut Retry::new(policy, 7), StoreErrorKind::Unavailable, 100);
        assert_eq!(pauses.len(), 100);
        for (at, pause) in pauses.iter().enumerate() {
            let whole = policy.first.saturating_mul(1 << at.min(20)).min(policy.cap);
            assert!((whole / 2..=whole).contains(pause), "{at}: {pause:?}");
        }
    }

    #[test]
    fn a_seed_repeats_the_pauses_and_another_one_does_not() {
        let of = |seed| pauses(&mut Retry::new(RetryPolicy::default(), seed), StoreErrorKind::Throttled, 10);
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
    }

    #[test]
    fn patience_has_a_last_attempt_at_its_end() {
        let policy = RetryPolicy { patience: Some(Duration::from_secs(60)), ..RetryPolicy::default() };
        let (mut retry, mut now) = (Retry::new(policy, 3), NOW);
        while let Verdict::Again(at) = retry.failed(StoreErrorKind::Unavailable, now) {
            assert!(at > now);
            now = at;
        }
        assert_eq!(now, NOW + Duration::from_secs(60));
        assert_eq!(Retry::new(policy, 3).failed(StoreErrorKind::Denied, NOW), Verdict::GiveUp);
    }

    #[test]
    fn what_cannot_succeed_is_not_tried_again() {
        for kind in [StoreErrorKind::NotFound, StoreErrorKind::Foreign, StoreErrorKind::ReadOnly] {
            assert_eq!(Retry::new(RetryPolicy::default(), 1).failed(kind, NOW), Verdict::GiveUp);
        }
        let mut retry = Retry::new(RetryPolicy::default(), 1);
        pauses(&mut retry, StoreErrorKind::Unavailable, 5);
        let tries = pauses(&mut retry, StoreErrorKind::OutOfRange, 10);
        assert_eq!(tries.len(), 2, "bytes that are missing are asked for twice more");
    }
}
