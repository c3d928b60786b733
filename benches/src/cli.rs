//! The command line.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, Parser, Subcommand, builder::PossibleValuesParser};

use crate::{
    Error, Result, device,
    guard::{callgrind, command as guard, operations},
    interrupt::Interrupted,
    job,
    scaling::{self, plot},
    suite::{self, Plan},
    system::System,
    tail, workload,
};

/// Measures Logboom side by side with raft-engine and with the bare disk.
///
/// Without a command it runs the standard suite, about three minutes, and prints one table.
#[derive(Debug, Parser)]
#[command(name = "logboom-bench", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

impl Cli {
    /// Runs the command; errors are printed to standard error.
    pub fn run(self) -> ExitCode {
        let done = match self.command {
            None => suite::run(Plan::standard()),
            Some(Command::List) => list(),
            Some(Command::Run(run)) => suite::run(run.into()),
            Some(Command::Scaling(request)) => scaling::run(&request),
            Some(Command::Plot(request)) => plot::run(&request),
            Some(Command::Device(request)) => device::run(&request),
            Some(Command::Instructions(request)) => guard::run(&request),
            Some(Command::Child { job }) => job::serve(&job),
            Some(Command::Count { operation }) => count(&operation),
        };
        match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) if error.is::<Interrupted>() => ExitCode::from(130),
            // A reader that closed the pipe early (`| head`) has what it wanted.
            Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
            Err(error) if error.is::<guard::Skipped>() => {
                eprintln!("skipped: {error:#}");
                ExitCode::from(SKIPPED)
            }
            Err(error) => {
                eprintln!("error: {error:#}");
                ExitCode::FAILURE
            }
        }
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Lists the workloads, one a line.
    List,
    /// Runs workloads.
    Run(Run),
    /// Measures how figures grow: with shards, entries, the size of an entry, writers.
    Scaling(scaling::Request),
    /// Draws what `scaling --json` has printed, one SVG for each figure along each axis, or what `run --json` has, as
    /// one chart of ratios.
    Plot(plot::Request),
    /// Measures what a disk is like for a log, in a minute, and says which defaults the engine takes there, and why.
    Device(device::Request),
    /// Counts instructions per operation with callgrind, and compares them with the committed record: more than 10 %
    /// above it fail. Exits with 75 where nothing can be compared: no valgrind, or another compiler.
    Instructions(guard::Request),
    /// Runs one round in this process; what the parent starts.
    #[command(hide = true)]
    Child {
        /// The job as JSON.
        job: String,
    },
    /// Performs one operation in this process; what is run under callgrind.
    #[command(hide = true)]
    Count {
        /// The name of the operation.
        operation: String,
    },
}

/// `EX_TEMPFAIL` of `sysexits.h`: the check could neither pass nor fail.
const SKIPPED: u8 = 75;

#[derive(Args, Debug)]
struct Run {
    /// The workloads to run, in this order, those of the log tail last; `logboom-bench list` names them.
    #[arg(required = true, value_name = "WORKLOAD", value_parser = PossibleValuesParser::new(names()))]
    workloads: Vec<String>,

    /// The systems to run them on; a build with `--features peers` also has fjall, redb and okaywal.
    #[arg(long, value_delimiter = ',', default_value = "logboom,raft-engine,floor")]
    system: Vec<System>,

    /// How long each round is measured; a warm-up comes before it.
    #[arg(long, default_value = "3", value_parser = seconds)]
    seconds: f64,

    /// How often each system runs; the median of each figure is reported.
    #[arg(long, default_value = "3", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,

    /// Where the logs are written, in a directory of their own that is removed afterwards [default: beside the build]
    #[arg(long)]
    dir: Option<PathBuf>,

    /// Prints one JSON object a line instead of a table.
    #[arg(long)]
    json: bool,

    /// Writes the latencies of the reported rounds to FILE, as an HdrHistogram log.
    #[arg(long, value_name = "FILE")]
    hist: Option<PathBuf>,

    /// Appends per second, over all blocking writers, at fixed times however late the ones before were
    /// [default: each writer appends as soon as its last append is durable]
    #[arg(long, value_name = "OPS", value_parser = clap::value_parser!(u32).range(1..=1_000_000_000))]
    rate: Option<u32>,

    /// The size of workloads that have one, in GiB [default: their own]
    #[arg(long, value_parser = gibibytes)]
    gib: Option<u64>,

    /// The rows that a table of the log tail has before the measurement, in workloads that have some [default: their
    /// own]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    rows: Option<u64>,
}

impl From<Run> for Plan {
    fn from(run: Run) -> Plan {
        Plan {
            workloads: run.workloads.iter().filter_map(|name| workload::find(name)).collect(),
            tails: run.workloads.iter().filter_map(|name| tail::find(name)).collect(),
            systems: run.system,
            seconds: run.seconds,
            rounds: run.rounds,
            dir: run.dir,
            json: run.json,
            hist: run.hist,
            rate: run.rate,
            bytes: run.gib,
            rows: run.rows,
        }
    }
}

fn is_broken_pipe(error: &Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Parses a duration in seconds, of at most a day.
pub(crate) fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= 86_400.0 => Ok(seconds),
        _ => Err("seconds, more than 0 and at most a day".to_owned()),
    }
}

/// Parses a size in GiB, and returns it in bytes.
fn gibibytes(text: &str) -> Result<u64, String> {
    match text.parse::<f64>() {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked, and whole bytes are meant"
        )]
        Ok(gib) if (1.0 / 1024.0..=1024.0).contains(&gib) => Ok((gib * f64::from(1 << 30)) as u64),
        _ => Err("GiB, from a thousandth to a thousand".to_owned()),
    }
}

fn count(operation: &str) -> Result<()> {
    callgrind::serve(operations::find(operation).ok_or("no such operation")?)
}

fn list() -> Result<()> {
    let mut out = io::stdout().lock();
    for workload in workload::ALL {
        writeln!(out, "{:<19}{}", workload.name, workload.about)?;
    }
    for workload in tail::ALL {
        let note = if tail::IS_BUILT { "" } else { "; needs --features logboom-bench/tail" };
        writeln!(out, "{:<19}{}{note}", workload.name, workload.about)?;
    }
    Ok(())
}

/// The names of all workloads.
fn names() -> impl Iterator<Item = &'static str> {
    workload::names().chain(tail::ALL.iter().map(|workload| workload.name))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_commands_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn all_options_of_run_are_understood() {
        let plan =
            plan("run sync-1x1k memory --system logboom,floor --seconds 0.5 --rounds 2 --dir /d --json --hist h");
        assert_eq!(plan.workloads.iter().map(|workload| workload.name).collect::<Vec<_>>(), ["sync-1x1k", "memory"]);
        assert_eq!(plan.systems, [System::Logboom, System::Floor]);
        assert_eq!((plan.seconds, plan.rounds, plan.json, plan.rate), (0.5, 2, true, None));
        assert_eq!((plan.dir, plan.hist), (Some("/d".into()), Some("h".into())));
    }

    #[test]
    fn sizes_are_in_gib() {
        assert_eq!(plan("run gc-laggards --gib 0.5").bytes, Some(512 << 20));
    }

    #[test]
    fn workloads_of_the_log_tail_stand_beside_the_others() {
        let plan = plan("run tail-apply memory --rows 1000");
        assert_eq!(plan.tails.iter().map(|workload| workload.name).collect::<Vec<_>>(), ["tail-apply"]);
        assert_eq!((plan.workloads.len(), plan.rows), (1, Some(1000)));
    }

    #[test]
    fn the_default_is_every_system() {
        assert_eq!(plan("run bulk-1m").systems, [System::Logboom, System::RaftEngine, System::Floor]);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in ["run", "run sync-3x1k", "run memory --seconds 0", "run memory --rounds 0", "run memory --system x"]
        {
            assert!(Cli::try_parse_from(words(line)).is_err(), "{line}");
        }
    }

    fn plan(line: &str) -> Plan {
        match Cli::try_parse_from(words(line)).unwrap().command {
            Some(Command::Run(run)) => run.into(),
            other => panic!("{other:?}"),
        }
    }

    fn words(line: &str) -> impl Iterator<Item = &str> {
        std::iter::once("logboom-bench").chain(line.split(' '))
    }
}
