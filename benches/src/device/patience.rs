//! `Patience`: waits until other processes leave the machine idle.

use std::{thread, time::Duration};

use crate::usage;

/// Waits for an idle machine, up to a total time. Other processes on the processors delay completions by whole
/// scheduler ticks, which says nothing about the disk.
#[derive(Debug)]
pub struct Patience {
    left: Duration,
    disturbed: usize,
}

impl Patience {
    /// Waits for at most `left` in total.
    pub fn new(left: Duration) -> Self {
        Patience { left, disturbed: 0 }
    }

    /// The number of accepted measurements that other processes disturbed.
    pub fn disturbed(&self) -> usize {
        self.disturbed
    }

    /// Waits for a moment in which the processors are mostly idle.
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

    /// Whether to accept a measurement that took `elapsed`, in which all processes, this one included, used `used` of
    /// processor time.
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
