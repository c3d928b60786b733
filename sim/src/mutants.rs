//! Tests the simulator: it must find each deliberate bug when that is switched on alone, and nothing without one.

use std::{
    io::{self, Write},
    process::{self, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use clap::{Parser, builder::PossibleValuesParser, value_parser};
use logboom_wal::mutants::{Mutant, switch_on};

use crate::{
    history::Scope,
    runner::{Run, run_seed, run_seeds},
};

/// The arguments of `logboom-sim mutants`.
#[derive(Debug, Parser)]
pub struct Args {
    /// The bugs; all of them if none is named.
    #[arg(value_name = "NAME", value_parser = PossibleValuesParser::new(names()))]
    names: Vec<String>,
    /// The most seconds that finding a bug may take.
    #[arg(long, default_value_t = 300, value_parser = value_parser!(u64).range(1..))]
    seconds: u64,
    /// Searches in this process, with the named bug switched on, or without one.
    #[arg(long, hide = true)]
    alone: bool,
}

/// The names of all bugs.
fn names() -> impl Iterator<Item = &'static str> {
    Mutant::ALL.iter().map(|mutant| mutant.name())
}

/// How long the search without a bug runs, and must find nothing: many times as long as finding most bugs takes.
const CONTROL_SECONDS: u64 = 5;

/// Prints for each bug how it was found, and whether all were. First of all it shows that the same search, in the same
/// kind of process, finds nothing where there is none: it would otherwise take whatever ends that process for a bug.
///
/// # Errors
/// The error of writing the output.
pub fn run(args: &Args, out: &mut dyn Write) -> io::Result<bool> {
    let wanted = |mutant: &&Mutant| args.names.is_empty() || args.names.iter().any(|name| name == mutant.name());
    if args.alone {
        let named = Mutant::ALL.iter().find(|mutant| args.names.iter().any(|name| name == mutant.name()));
        return alone(named.copied().unwrap_or(Mutant::None), args.seconds, out);
    }
    let mut judge = |mutant: Mutant, seconds: u64| -> io::Result<bool> {
        let begun = Instant::now();
        let found = in_a_process_of_its_own(mutant, seconds)?;
        let (is_good, said) = match (mutant, found) {
            (Mutant::None, None) => (true, "nothing is found without a bug".to_owned()),
            (Mutant::None, Some(found)) => (false, format!("FOUND WITHOUT A BUG: {found}")),
            (_, Some(found)) => (true, found),
            (_, None) => (false, "SURVIVES".to_owned()),
        };
        writeln!(out, "{:24} {:5.1} s  {said}", mutant.name(), begun.elapsed().as_secs_f64())?;
        out.flush()?;
        Ok(is_good)
    };
    let mut all = judge(Mutant::None, CONTROL_SECONDS)?;
    for &mutant in Mutant::ALL.iter().filter(wanted) {
        all &= judge(mutant, args.seconds)?;
    }
    Ok(all)
}

/// Runs the search in a process of its own: a bug may make a history hang, or end the process.
fn in_a_process_of_its_own(mutant: Mutant, seconds: u64) -> io::Result<Option<String>> {
    let named = (mutant != Mutant::None).then(|| mutant.name());
    let mut child = Command::new(std::env::current_exe()?)
        .args(["mutants", "--alone", "--seconds", &seconds.to_string()])
        .args(named)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let deadline = Instant::now() + Duration::from_secs(seconds + 10);
    while child.try_wait()?.is_none() {
        if Instant::now() > deadline {
            child.kill()?;
            child.wait()?;
            return Ok(Some("a history hangs".to_owned()));
        }
        thread::sleep(Duration::from_millis(20));
    }
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Ok(match output.status.success() {
        true => Some(said),
        false if said.is_empty() => Some(format!("the process ends: {}", output.status)),
        false => None,
    })
}

fn alone(mutant: Mutant, seconds: u64, out: &mut dyn Write) -> io::Result<bool> {
    switch_on(mutant);
    logboom::snapshot::mutants::switch_on(mutant.name());
    let progress = Arc::new(AtomicU64::new(0));
    let watched = Arc::clone(&progress);
    thread::spawn(move || watch(&watched));
    let run = Run { from: 0, seeds: u64::MAX, time: Duration::from_secs(seconds), threads: 0 };
    let history = |seed| run_seed(seed, Scope::Everything);
    let totals = run_seeds(run, history, &|histories| progress.store(histories, Ordering::Relaxed));
    match totals.failure {
        Some((seed, failure)) => {
            let what: String = failure.to_string().chars().take(110).collect();
            writeln!(out, "{:5} seeds  seed {seed}: {what}", totals.histories + 1)?;
            Ok(true)
        }
        None => {
            writeln!(out, "{} seeds and nothing", totals.histories)?;
            Ok(false)
        }
    }
}

/// A history that does not end counts as a failure.
fn watch(progress: &AtomicU64) {
    loop {
        let before = progress.load(Ordering::Relaxed);
        thread::sleep(HANGS);
        if progress.load(Ordering::Relaxed) == before {
            drop(writeln!(io::stdout(), "{:5} seeds  a history does not end", before + 1));
            process::exit(0);
        }
    }
}

/// Histories take milliseconds.
const HANGS: Duration = Duration::from_secs(10);
