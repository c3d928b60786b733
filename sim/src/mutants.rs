//! The test of the simulator: each deliberate bug, switched on alone, is found.

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

use clap::Parser;
use logboom_wal::mutants::{Mutant, switch_on};

use crate::{
    history::Scope,
    runner::{Run, run_seeds},
};

/// What to do with which bugs.
#[derive(Debug, Parser)]
pub struct Args {
    /// The bugs; all of them if none is named.
    names: Vec<String>,
    /// The most seconds that finding a bug may take.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Looks for the one bug in this process.
    #[arg(long, hide = true)]
    alone: bool,
}

/// Prints for each bug how it was found, and whether all were.
///
/// # Errors
/// What writing fails with.
pub fn run(args: &Args, out: &mut dyn Write) -> io::Result<bool> {
    let wanted = |mutant: &&Mutant| args.names.is_empty() || args.names.iter().any(|name| name == mutant.name());
    if args.alone {
        return Mutant::ALL.iter().find(wanted).map_or(Ok(false), |&mutant| alone(mutant, args, out));
    }
    let mut all = true;
    for &mutant in Mutant::ALL.iter().filter(wanted) {
        let begun = Instant::now();
        let verdict = in_a_process_of_its_own(mutant, args)?;
        let seconds = begun.elapsed().as_secs_f64();
        all &= verdict.is_some();
        let verdict = verdict.unwrap_or_else(|| "SURVIVES".to_owned());
        writeln!(out, "{:24} {seconds:5.1} s  {verdict}", mutant.name())?;
        out.flush()?;
    }
    Ok(all)
}

/// A bug may make a history hang, or end the process: it gets one that can be ended.
fn in_a_process_of_its_own(mutant: Mutant, args: &Args) -> io::Result<Option<String>> {
    let seconds = args.seconds.to_string();
    let mut child = Command::new(std::env::current_exe()?)
        .args(["mutants", mutant.name(), "--alone", "--seconds", &seconds])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let deadline = Instant::now() + Duration::from_secs(args.seconds + 10);
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

fn alone(mutant: Mutant, args: &Args, out: &mut dyn Write) -> io::Result<bool> {
    switch_on(mutant);
    logboom::snapshot::mutants::switch_on(mutant.name());
    let progress = Arc::new(AtomicU64::new(0));
    let watched = Arc::clone(&progress);
    thread::spawn(move || watch(&watched));
    let run =
        Run { from: 0, seeds: u64::MAX, time: Duration::from_secs(args.seconds), threads: 0, scope: Scope::Everything };
    let totals = run_seeds(run, &|histories| progress.store(histories, Ordering::Relaxed));
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

/// A history that does not end is one that went wrong.
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
