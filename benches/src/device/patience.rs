//! Waiting for a machine that is left alone.

use std::{thread, time::Duration};

use crate::usage;

/// Waits for quiet, as long as there is time for it. Other processes that use the processors delay completions by
/// whole ticks, which says nothing about the disk.
#[derive(Debug)]
pub struct Patience {
    left: Duration,
    disturbed: usize,
}

impl Patience {
    /// With so much time to wait, in all.
    pub fn new(left: Duration) -> Self {
        Patience { left, disturbed: 0 }
    }

    /// How many measurements were accepted that others have disturbed.
    pub fn disturbed(&self) -> usize {
        self.disturbed
    }

    /// Waits until a moment passes in which the processors were mostly idle.
    pub fn wait(&mut self) {
        while !self.left.is_zero() {
            let before = usage::user_of_all();
            thread::sleep(MOMENT);
            if usage::user_of_all() - before <= MOMENT / 4 {
                return;
            }
            self.left = self.left.saturating_sub(MOMENT);
        }
    }

    /// Whether a measurement counts, during which all processes, this one included, used so much time.
    pub fn accepts(&mut self, used: Duration, elapsed: Duration) -> bool {
        let quiet = used <= elapsed / 2;
        if !quiet && self.left > elapsed {
            self.left -= elapsed;
            return false;
        }
        self.disturbed += usize::from(!quiet);
        true
    }
}

const MOMENT: Duration = Duration::from_millis(40);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_ends() {
        let (busy, quiet, long) = (Duration::from_millis(80), Duration::from_millis(10), Duration::from_millis(100));
        let mut patience = Patience::new(Duration::from_millis(250));
        assert!(patience.accepts(quiet, long));
        assert!(!patience.accepts(busy, long) && !patience.accepts(busy, long));
        assert_eq!(patience.disturbed(), 0);
        assert!(patience.accepts(busy, long), "there is no time left to repeat it");
        assert_eq!(patience.disturbed(), 1);
    }
}
