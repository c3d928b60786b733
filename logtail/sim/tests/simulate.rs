//! Half a minute of simulation. `LOGBOOM_LONG=1` runs five; `LOGBOOM_SEED=n` runs one history.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use logboom_logtail_sim::{every_crash, marks, run_seed};
use logboom_sim::{Run, repeat, run_seeds};

/// Enough to come by every mark of [`marks::ALL`]; the number is fixed, so that it does not depend on the machine.
const SEEDS: u64 = 3000;

/// A deliberate bug is on for the whole process: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn is_long() -> bool {
    std::env::var("LOGBOOM_LONG").is_ok_and(|value| value == "1")
}

fn run(seeds: u64) -> Run {
    Run { from: 0, seeds, time: Duration::MAX, threads: 0 }
}

#[test]
fn histories_find_nothing_and_come_by_every_mark() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Ok(seed) = std::env::var("LOGBOOM_SEED") {
        let seed = seed.parse().expect("LOGBOOM_SEED is a number");
        repeat(seed, run_seed).unwrap_or_else(|failure| panic!("seed {seed}: {failure}"));
        return;
    }
    let seeds = if is_long() { 10 * SEEDS } else { SEEDS };
    let totals = run_seeds(run(seeds), run_seed, &|_| {});
    if let Some((seed, failure)) = &totals.failure {
        let again = format!("cargo run -p logboom-logtail-sim -- --seed {seed} --trace 50");
        panic!("seed {seed}: {failure}\nagain: {again}, or this test with LOGBOOM_SEED={seed}");
    }
    println!("{} histories: {:?}", totals.histories, totals.counts);
    assert_eq!(totals.histories, seeds, "each seed was run to its end");
    let missing = marks::missing(&totals.marks);
    assert!(missing.is_empty(), "not reached: {missing:?}");
}

#[test]
fn every_crash_of_short_histories() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut places = 0;
    for seed in 0..if is_long() { 200 } else { 20 } {
        places += every_crash(seed).unwrap_or_else(|failure| {
            panic!("history {seed}: {failure}\nagain: cargo run -p logboom-logtail-sim -- crashes --seed {seed}")
        });
    }
    assert!(places > 1000, "stopped at {places} places");
}

#[cfg(feature = "mutants")]
#[test]
fn every_deliberate_bug_is_found() {
    use logboom_logtail_sim::mutants::{Mutant, search};

    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for mutant in Mutant::ALL {
        let (histories, found) = search(*mutant, run(SEEDS));
        let (_, failure) = found.unwrap_or_else(|| panic!("{} is not found by {SEEDS} histories", mutant.name()));
        println!("{}: {histories} histories, then {failure:.100}", mutant.name());
    }
}
