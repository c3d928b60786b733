//! Tests the simulator: it must find each deliberate bug when that is switched on alone, and nothing without one.

use logboom_logtail_core::mutants::switch_on;
use logboom_sim::{Failure, Run, run_seeds};

use crate::history::{Counts, run_seed};

pub use logboom_logtail_core::mutants::Mutant;

/// Runs histories with a bug, until one finds it. Returns how many found nothing, and the seed of the one that did with
/// what it found.
///
/// The bug is switched on for the whole process: one search at a time.
pub fn search(mutant: Mutant, run: Run) -> (u64, Option<(u64, Failure)>) {
    switch_on(mutant);
    let totals = run_seeds::<Counts>(run, run_seed, &|_| {});
    switch_on(Mutant::None);
    (totals.histories, totals.failure)
}
