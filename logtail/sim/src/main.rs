//! The `logboom-logtail-sim` command: runs histories, and says which seed to run again when one fails.

#![forbid(unsafe_code)]

use std::{
    io::{self, Write},
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::{Parser, Subcommand, value_parser};
use logboom_logtail_sim::{Counts, every_crash, marks, run_seed};
use logboom_sim::{Failure, Run, Totals, repeat, run_seeds};

/// Tries to make the log tail lose transactions, on a simulated machine.
#[derive(Debug, Parser)]
#[command(name = "logboom-logtail-sim", version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// The number of seeds to run.
    #[arg(long, value_parser = value_parser!(u64).range(1..))]
    seeds: Option<u64>,
    /// For how many seconds to run seeds.
    #[arg(long, value_parser = value_parser!(u64).range(1..))]
    seconds: Option<u64>,
    /// The first seed; alone, the only one, which is run twice and compared.
    #[arg(long)]
    seed: Option<u64>,
    /// The number of the disk's last operations to show when a seed fails.
    #[arg(long, default_value_t = 0)]
    trace: usize,
    /// The number of histories to run at a time.
    #[arg(long, default_value_t = 0)]
    threads: usize,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Stops a short history in each of its operations of the disk.
    Crashes {
        /// The history.
        #[arg(long, default_value_t = 0)]
        seed: u64,
    },
    /// Shows that each of the deliberate bugs is found.
    #[cfg(feature = "mutants")]
    Mutants {
        /// The bugs; all of them if none is named.
        names: Vec<String>,
        /// The most histories that finding a bug may take.
        #[arg(long, default_value_t = 3000, value_parser = value_parser!(u64).range(1..))]
        seeds: u64,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        Some(Command::Crashes { seed }) => crashes(seed),
        #[cfg(feature = "mutants")]
        Some(Command::Mutants { names, seeds }) => mutants(&names, seeds),
        None => match (cli.seed, cli.seeds, cli.seconds) {
            (Some(seed), None, None) => one(seed, cli.trace),
            (seed, seeds, seconds) => many(Run {
                from: seed.unwrap_or(0),
                seeds: seeds.unwrap_or(u64::MAX),
                time: Duration::from_secs(seconds.unwrap_or(if seeds.is_some() { u64::MAX / 2 } else { 60 })),
                threads: cli.threads,
            }),
        },
    };
    // A closed pipe has nobody to tell.
    ExitCode::from(u8::from(!outcome.unwrap_or(false)))
}

fn one(seed: u64, trace: usize) -> io::Result<bool> {
    match repeat(seed, run_seed) {
        Ok(counts) => {
            write(&format!("seed {seed} finds nothing, twice\n{counts:?}\n"))?;
            Ok(true)
        }
        Err(failure) => {
            let from = failure.trace.len().saturating_sub(trace);
            write(&failure.trace[from..].iter().map(|line| format!("{line}\n")).collect::<String>())?;
            failed(seed, &failure)
        }
    }
}

fn many(run: Run) -> io::Result<bool> {
    let begun = Instant::now();
    let totals = run_seeds(run, run_seed, &|_| {});
    write(&report(&totals, begun.elapsed()))?;
    match &totals.failure {
        Some((seed, failure)) => failed(*seed, failure),
        // Where no history came to its end, none was found good.
        None => Ok(totals.histories > 0),
    }
}

fn crashes(seed: u64) -> io::Result<bool> {
    match repeat(seed, every_crash) {
        Ok(places) => {
            write(&format!("history {seed} finds nothing, stopped in each of {places} operations\n"))?;
            Ok(true)
        }
        Err(failure) => {
            let again = format!("cargo run --release -p logboom-logtail-sim -- crashes --seed {seed}");
            write(&format!("history {seed} fails: {failure:#}\nagain: {again}\n"))?;
            Ok(false)
        }
    }
}

/// First of all it shows that the same search finds nothing where there is no bug.
#[cfg(feature = "mutants")]
fn mutants(names: &[String], seeds: u64) -> io::Result<bool> {
    use logboom_logtail_sim::mutants::{Mutant, search};
    let mut all = true;
    let is_wanted = |mutant: &&Mutant| names.is_empty() || names.iter().any(|name| name == mutant.name());
    for mutant in [&Mutant::None].into_iter().chain(Mutant::ALL.iter().filter(is_wanted)) {
        let run = Run { from: 0, seeds, time: Duration::from_secs(u64::MAX / 2), threads: 0 };
        let (histories, found) = search(*mutant, run);
        all &= found.is_some() == (*mutant != Mutant::None);
        let said = found.map_or("nothing".to_owned(), |(seed, failure)| format!("seed {seed}: {failure}"));
        write(&format!("{:20} {histories:5} seeds and {said:.140}\n", mutant.name()))?;
    }
    Ok(all)
}

fn report(totals: &Totals<Counts>, time: Duration) -> String {
    let own = totals.marks.iter().filter(|(mark, _)| marks::is_own(mark));
    let mut text: String = own.map(|(mark, hits)| format!("{hits:>12}  {mark}\n")).collect();
    let missing = marks::missing(&totals.marks);
    if !missing.is_empty() {
        text += &format!("not reached: {}\n", missing.join("; "));
    }
    text + &format!("{} histories in {:.1} s\n{:?}\n", totals.histories, time.as_secs_f64(), totals.counts)
}

fn failed(seed: u64, failure: &Failure) -> io::Result<bool> {
    let again = format!("cargo run --release -p logboom-logtail-sim -- --seed {seed}");
    write(&format!("seed {seed} fails: {failure:#}\nagain: {again}\n"))?;
    Ok(false)
}

fn write(text: &str) -> io::Result<()> {
    io::stdout().lock().write_all(text.as_bytes())
}
