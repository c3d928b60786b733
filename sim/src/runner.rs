//! Runs histories: one, one twice, or as many as time allows, on every core.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    ops::AddAssign,
    panic::{self, AssertUnwindSafe},
    sync::{
        Mutex, Once, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use logboom_wal::marks;

use crate::{
    check::{Check, Failure},
    choices::Choices,
    history::{self, Counts, Scope},
};

/// The histories to run.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// The first seed.
    pub from: u64,
    /// The number of seeds at most.
    pub seeds: u64,
    /// The most time to spend.
    pub time: Duration,
    /// Histories at a time; 0 for one on each core.
    pub threads: usize,
}

/// The result of a run.
#[derive(Clone, Debug, Default)]
pub struct Totals<C> {
    /// Histories that were run to their end.
    pub histories: u64,
    /// The sums of their counts.
    pub counts: C,
    /// How often each mark was reached.
    pub marks: BTreeMap<&'static str, u64>,
    /// The failure with the lowest seed.
    pub failure: Option<(u64, Failure)>,
}

/// The history of one seed.
///
/// # Errors
/// The first invariant that did not hold; a panic is one.
pub fn run_seed(seed: u64, scope: Scope) -> Result<Counts, Failure> {
    guarded(|| history::run(Choices::seeded(seed), scope))
}

/// Runs `history` with a seed twice, and compares the counts, with those of the requests to the disk among them.
///
/// # Errors
/// [`Check::Repeats`] if they differ; the failure of the history.
pub fn repeat<C>(seed: u64, history: impl Fn(u64) -> Result<C, Failure>) -> Result<C, Failure>
where
    C: PartialEq + Debug,
{
    let (one, other) = (guarded(|| history(seed))?, guarded(|| history(seed))?);
    if one == other { Ok(one) } else { Err(Failure::new(Check::Repeats, format!("{one:?}, then {other:?}"))) }
}

/// Runs `history` with seeds, one after the other on each thread, until one fails, all are done, or the time is over.
/// Every hundredth is run twice. `progress` is called with the number of histories done, from any thread.
pub fn run_seeds<C>(
    run: Run,
    history: impl Fn(u64) -> Result<C, Failure> + Sync,
    progress: &(dyn Fn(u64) + Sync),
) -> Totals<C>
where
    C: Default + PartialEq + Debug + AddAssign + Send,
{
    let begun = Instant::now();
    let threads = if run.threads > 0 { run.threads } else { thread::available_parallelism().map_or(1, usize::from) };
    let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let totals = Mutex::new(Totals::default());
    let work = || {
        while !stop.load(Ordering::Relaxed) && begun.elapsed() < run.time {
            let nth = next.fetch_add(1, Ordering::Relaxed);
            // Behind the last seed that there is, it does not begin anew.
            let Some(seed) = run.from.checked_add(nth).filter(|_| nth < run.seeds) else { break };
            let twice = seed % 100 == 99;
            let outcome = if twice { repeat(seed, &history) } else { guarded(|| history(seed)) };
            let mut totals = totals.lock().unwrap_or_else(PoisonError::into_inner);
            totals.add(seed, outcome);
            stop.fetch_or(totals.failure.is_some(), Ordering::Relaxed);
            progress(totals.histories);
        }
    };
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    totals.into_inner().unwrap_or_else(PoisonError::into_inner)
}

impl<C: AddAssign> Totals<C> {
    fn add(&mut self, seed: u64, outcome: Result<C, Failure>) {
        for (mark, hits) in marks::take() {
            *self.marks.entry(mark).or_default() += hits;
        }
        match outcome {
            Ok(counts) => {
                self.histories += 1;
                self.counts += counts;
            }
            Err(failure) if self.failure.as_ref().is_none_or(|(other, _)| seed < *other) => {
                self.failure = Some((seed, failure));
            }
            Err(_) => {}
        }
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.batches += other.batches;
        self.operations += other.operations;
        self.crashes += other.crashes;
        self.recoveries += other.recoveries;
        self.interrupted += other.interrupted;
        self.trace ^= other.trace;
    }
}

/// Runs a closure, and turns a panic into a failure.
pub(crate) fn guarded<T>(run: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let loud = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let place = info.location().map(ToString::to_string).unwrap_or_default();
            let guarded = GUARDED.with_borrow_mut(|guarded| guarded.as_mut().map(|at| *at = place).is_some());
            if !guarded {
                loud(info);
            }
        }));
    });
    GUARDED.set(Some(String::new()));
    let outcome = panic::catch_unwind(AssertUnwindSafe(run));
    let place = GUARDED.take().unwrap_or_default();
    outcome.unwrap_or_else(|panic| {
        let message = panic.downcast_ref::<String>().map(String::as_str);
        let message = message.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("something");
        Err(Failure::new(Check::Panics, format!("{place}: {message}")))
    })
}

thread_local! {
    /// Where the last panic of this thread was, while its panics are failures.
    static GUARDED: std::cell::RefCell<Option<String>> = const { std::cell::RefCell::new(None) };
}
