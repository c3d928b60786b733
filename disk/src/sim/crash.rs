//! The two ways in which a machine ends, and what the next one finds.

use std::mem;

use super::{content::Fate, machine::Machine};
use crate::stats::Counters;

impl Machine {
    /// Ends this machine. The next one finds what was durable, and by the seed's choice some of what was not.
    pub(super) fn power_cut(&mut self) -> Machine {
        let mut next = self.succeed("power cut");
        let late = mem::take(&mut next.late).into_iter().map(|(_, write)| write);
        let in_flight: Vec<_> = mem::take(&mut next.in_flight).into_values().chain(late).collect();
        for write in in_flight {
            match next.rng.u32(..3) {
                0 => {}
                1 => next.land_in_part(&write),
                // What a durable write promises, it promises when it ends.
                _ => next.land_volatile(&write),
            }
        }
        let mut fate = Fate::new(&mut next.rng, next.options.torn_per_mille, next.options.physical_block);
        next.directory.power_cut(&mut fate);
        for inode in next.inodes.values_mut() {
            inode.content.power_cut(&mut fate);
        }
        let directory = &next.directory;
        next.inodes.retain(|number, _| directory.refers_to(*number));
        next
    }

    /// Ends this machine's process. The next one finds all that was written; what was in flight lands later.
    pub(super) fn process_crash(&mut self) -> Machine {
        let mut next = self.succeed("process crash");
        for write in mem::take(&mut next.in_flight).into_values() {
            let remaining = next.rng.u32(..=next.options.late_ops_max);
            next.late.push((remaining, write));
        }
        next
    }

    /// Moves everything to a new machine, but the counters and the faults that were planned, and leaves this one dead.
    fn succeed(&mut self, how: &str) -> Machine {
        let mut next = Machine::new(self.rng.u64(..), self.options.clone());
        next.alive = mem::replace(&mut self.alive, false);
        next.trace = mem::take(&mut self.trace);
        next.directory = mem::take(&mut self.directory);
        next.inodes = mem::take(&mut self.inodes);
        next.in_flight = mem::take(&mut self.in_flight);
        next.late = mem::take(&mut self.late);
        next.last_number = self.last_number;
        next.order = self.order;
        next.counters = Counters::default();
        next.trace.push(how.into());
        next
    }
}
