//! The `logboom-sim` command: runs histories, and says which seed to run again when one fails.

#![forbid(unsafe_code)]

use std::{
    io::{self, Write},
    ops::Range,
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::{Parser, Subcommand, value_parser};
use indicatif::{ProgressBar, ProgressStyle};
use logboom_sim::{
    Counts, Failure, Run, Scope, Totals, Tried, every_crash, every_failure, marks, repeat, run_seed, run_seeds,
};

/// Tries to make Logboom lose data, on a simulated disk.
#[derive(Debug, Parser)]
#[command(name = "logboom-sim", version)]
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
    /// Stops short scripts in every operation and tries every outcome, and makes every operation fail.
    Scripts {
        /// The number of scripts.
        #[arg(long, default_value_t = 20, value_parser = value_parser!(u64).range(1..))]
        seeds: u64,
        /// The first one.
        #[arg(long, default_value_t = 0)]
        seed: u64,
    },
    /// Shows that each of the deliberate bugs is found.
    #[cfg(feature = "mutants")]
    Mutants(logboom_sim::mutants::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        #[cfg(feature = "mutants")]
        Some(Command::Mutants(args)) => logboom_sim::mutants::run(&args, &mut io::stdout()),
        Some(Command::Scripts { seeds, seed }) => scripts(seed..seed.saturating_add(seeds)),
        None => match (cli.seed, cli.seeds, cli.seconds) {
            (Some(seed), None, None) => one(seed, cli.trace),
            (seed, seeds, seconds) => many(&Run {
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

fn history(seed: u64) -> Result<Counts, Failure> {
    run_seed(seed, Scope::Everything)
}

fn one(seed: u64, trace: usize) -> io::Result<bool> {
    match repeat(seed, history) {
        Ok(counts) => {
            write(&format!("seed {seed} finds nothing, twice\n{}", counted(&counts)))?;
            Ok(true)
        }
        Err(failure) => {
            let from = failure.trace.len().saturating_sub(trace);
            write(&failure.trace[from..].iter().map(|line| format!("{line}\n")).collect::<String>())?;
            failed(seed, &failure)
        }
    }
}

fn many(run: &Run) -> io::Result<bool> {
    let bar = ProgressBar::new_spinner();
    bar.set_style(ProgressStyle::with_template("{elapsed} {msg}").unwrap_or_else(|_| ProgressStyle::default_spinner()));
    bar.enable_steady_tick(Duration::from_millis(200));
    let begun = Instant::now();
    let totals = run_seeds(*run, history, &|histories| bar.set_message(format!("{histories} histories")));
    bar.finish_and_clear();
    let seconds = begun.elapsed().as_secs_f64();
    write(&report(&totals, seconds))?;
    match &totals.failure {
        Some((seed, failure)) => failed(*seed, failure),
        // Where no history came to its end, none was found good.
        None => Ok(totals.histories > 0),
    }
}

fn scripts(seeds: Range<u64>) -> io::Result<bool> {
    let begun = Instant::now();
    let (mut crashes, mut failures) = (Tried::default(), Tried::default());
    for seed in seeds {
        let tried = every_crash(seed).and_then(|crashes| Ok((crashes, every_failure(seed)?)));
        let (crash, failure) = match tried {
            Ok(tried) => tried,
            Err(failure) => {
                let again = format!("cargo run --release -p logboom-sim -- scripts --seeds 1 --seed {seed}");
                write(&format!("script {seed} fails: {failure:#}\nagain: {again}\n"))?;
                return Ok(false);
            }
        };
        (crashes.places, crashes.outcomes) = (crashes.places + crash.places, crashes.outcomes + crash.outcomes);
        failures.places += failure.places;
    }
    write(&format!(
        "{} power cuts at {} places and {} failures, {:.1} s\n",
        crashes.outcomes,
        crashes.places,
        failures.places,
        begun.elapsed().as_secs_f64()
    ))?;
    Ok(crashes.outcomes > 0 && failures.places > 0)
}

fn report(totals: &Totals<Counts>, seconds: f64) -> String {
    let Totals { histories, counts, marks: reached, .. } = totals;
    let mut text = String::new();
    for (mark, hits) in reached {
        text += &format!("{hits:>12}  {mark}\n");
    }
    let (missing, unknown) = marks::missing_and_unknown(reached);
    if !missing.is_empty() {
        text += &format!("not reached: {}\n", missing.join("; "));
    }
    if !unknown.is_empty() {
        text += &format!("not in the list: {}\n", unknown.join("; "));
    }
    #[expect(clippy::cast_precision_loss, reason = "shown")]
    let rate = *histories as f64 / seconds;
    text + &format!("{histories} histories in {seconds:.1} s, {rate:.1} a second\n{}", counted(counts))
}

fn counted(counts: &Counts) -> String {
    let Counts { batches, operations, crashes, recoveries, interrupted, .. } = counts;
    format!(
        "{operations} operations in {batches} batches, {crashes} crashes, {recoveries} recoveries, and {interrupted} \
         that were cut short\n"
    )
}

fn failed(seed: u64, failure: &Failure) -> io::Result<bool> {
    write(&format!("seed {seed} fails: {failure:#}\nagain: cargo run --release -p logboom-sim -- --seed {seed}\n"))?;
    Ok(false)
}

fn write(text: &str) -> io::Result<()> {
    io::stdout().lock().write_all(text.as_bytes())
}
