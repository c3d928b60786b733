//! About a minute of simulation. `LOGBOOM_LONG=1` runs ten; `LOGBOOM_SEED=n` runs one history.

use std::time::Duration;

use logboom_sim::{
    Check, Choices, Counts, Failure, Run, Scope, every_crash, every_failure, marks, repeat, run, run_seed, run_seeds,
};

/// Enough to come by every mark of [`marks::ALL`]; the number is fixed, so that it does not depend on the machine.
const SEEDS: u64 = 4000;

fn is_long() -> bool {
    std::env::var("LOGBOOM_LONG").is_ok_and(|value| value == "1")
}

fn history(seed: u64) -> Result<Counts, Failure> {
    run_seed(seed, Scope::Everything)
}

#[test]
fn histories_find_nothing_and_come_by_every_mark() {
    if let Ok(seed) = std::env::var("LOGBOOM_SEED") {
        let seed = seed.parse().expect("LOGBOOM_SEED is a number");
        repeat(seed, history).unwrap_or_else(|failure| panic!("seed {seed}: {failure}"));
        return;
    }
    let seeds = if is_long() { 10 * SEEDS } else { SEEDS };
    let all = Run { from: 0, seeds, time: Duration::MAX, threads: 0 };
    let totals = run_seeds(all, history, &|_| {});
    if let Some((seed, failure)) = &totals.failure {
        panic!("seed {seed}: {failure}\nagain: cargo run --release -p logboom-sim -- --seed {seed}");
    }
    println!("{} histories: {:?}", totals.histories, totals.counts);
    assert_eq!(totals.histories, seeds, "each seed was run to its end");
    let (missing, unknown) = marks::missing_and_unknown(&totals.marks);
    assert!(missing.is_empty() && unknown.is_empty(), "not reached: {missing:?}; not in the list: {unknown:?}");
}

#[test]
fn every_crash_and_every_failure_of_short_scripts() {
    for seed in 0..if is_long() { 100 } else { 8 } {
        let tried = every_crash(seed).unwrap_or_else(|failure| panic!("script {seed}: {failure}"));
        assert!(tried.places > 10 && tried.outcomes >= tried.places, "{tried:?}");
        let tried = every_failure(seed).unwrap_or_else(|failure| panic!("script {seed}: {failure}"));
        assert!(tried.places > 10, "{tried:?}");
    }
}

#[test]
fn bytes_make_histories_too() {
    let mut random = Choices::seeded(1);
    for len in [0, 1, 30, 400, 3000] {
        let bytes: Vec<u8> = (0..len).map(|_| random.byte()).collect();
        for scope in [Scope::Operations, Scope::Crashes, Scope::Everything] {
            let run = || run(Choices::from_bytes(&bytes), scope);
            let counts = run().unwrap_or_else(|failure| panic!("{len} bytes, {scope:?}: {failure}"));
            assert_eq!(run().as_ref(), Ok(&counts));
            assert!(scope != Scope::Operations || counts.crashes == 0);
        }
    }
}

#[test]
fn a_failure_names_what_did_not_hold() {
    let failure = logboom_sim::Failure::new(Check::Prefix, "nothing");
    assert_eq!(failure.to_string(), "Prefix: nothing");
}
