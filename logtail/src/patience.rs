//! `Patience`: how long a load that does not come nearer to its end goes on.

use std::time::Duration;

/// Rounds, each of which does what came up during the one before. While each takes less than half as long as the one
/// before, they come to an end, however long the first one takes; otherwise they go on for so long.
#[derive(Debug)]
pub(crate) struct Patience {
    max: Duration,
    round: Option<Round>,
}

#[derive(Clone, Copy, Debug)]
struct Round {
    began: Duration,
    /// How long the one before it took.
    before: Duration,
    /// When rounds last became shorter.
    nearer: Duration,
}

impl Patience {
    pub(crate) fn new(max: Duration) -> Self {
        Self { max, round: None }
    }

    /// Whether the round goes on at this time: if it ended now, the next one could begin.
    pub(crate) fn goes_on(&self, now: Duration) -> bool {
        let Some(round) = self.round else { return true };
        now.saturating_sub(round.began) < round.before / 2 || now.saturating_sub(round.nearer) < self.max
    }

    /// Begins another round at this time. Returns whether it may.
    pub(crate) fn begin(&mut self, now: Duration) -> bool {
        let Some(last) = self.round else {
            self.round = Some(Round { began: now, before: Duration::MAX, nearer: now });
            return true;
        };
        let took = now.saturating_sub(last.began);
        let nearer = if took < last.before / 2 { now } else { last.nearer };
        self.round = Some(Round { began: now, before: took, nearer });
        nearer == now || now.saturating_sub(nearer) < self.max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounds(seconds: &[u64]) -> usize {
        let (mut patience, mut now) = (Patience::new(Duration::from_secs(300)), 0);
        assert!(patience.begin(Duration::ZERO));
        let may = |took: &&u64| {
            now += **took;
            patience.begin(Duration::from_secs(now))
        };
        seconds.iter().take_while(may).count()
    }

    #[test]
    fn a_round_ends_when_the_next_one_could_not_begin() {
        let rng = &mut fastrand::Rng::new();
        println!("seed {}", rng.get_seed());
        for _ in 0..200 {
            let (mut patience, mut now) = (Patience::new(Duration::from_secs(300)), Duration::ZERO);
            while patience.begin(now) {
                now += Duration::from_secs(rng.u64(1..200));
                let mut next = Patience { max: patience.max, round: patience.round };
                assert_eq!(patience.goes_on(now), next.begin(now), "{patience:?} at {now:?}");
            }
        }
    }

    #[test]
    fn rounds_that_become_shorter_are_not_counted() {
        assert_eq!(rounds(&[7200, 400, 30, 10, 4, 1]), 6);
        // From the end of the first one on, which has none before it to be shorter than.
        assert_eq!(rounds(&[1000, 299, 140, 140, 20, 19]), 6);
        assert_eq!(rounds(&[1000, 900, 1]), 1);
        assert_eq!(rounds(&[100, 100, 100, 100, 1]), 3);
        assert_eq!(rounds(&[1; 500]), 300);
    }
}
