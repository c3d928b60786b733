//! The `logboom` command: shows a log's directory, verifies it, and repairs it on demand.
//!
//! One file per command. A command turns its arguments into a [`Report`]: what to print and how to exit; only this file
//! prints, so that every command has `--json` and a closed pipe ends it quietly.

#![forbid(unsafe_code)]

mod examine;
mod finding;
mod inspect;
mod snapshots;
mod verify;
mod repair;
mod identity;
mod plan;
mod aside;
mod verdict;
mod output;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::{Parser, Subcommand};

use crate::output::{Exit, Format, Report, complain};

/// Shows, verifies and repairs the directory of a Logboom log. Only `repair --yes` writes to it.
#[derive(Debug, Parser)]
#[command(name = "logboom", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,

    /// Print one JSON object instead of text.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    Inspect(inspect::Args),
    Verify(verify::Args),
    Repair(repair::Args),
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(usage) => return refuse(&usage),
    };
    let format = if cli.json { Format::Json } else { Format::Text };
    let result = match &cli.command {
        Command::Inspect(args) => inspect::run(args, format),
        Command::Verify(args) => verify::run(args, format),
        Command::Repair(args) => repair::run(args, format),
    };
    let report = result.unwrap_or_else(|failure| failure.report(format));
    print(&report).into()
}

/// Prints help, or the error of an invalid command line. clap would exit with 2 for the latter, which means damage
/// here: a script must not take a typing error for a broken log.
fn refuse(usage: &clap::Error) -> ExitCode {
    let printed = usage.print();
    if usage.use_stderr() || printed.is_err_and(|error| !is_closed(&error)) {
        return Exit::Unchecked.into();
    }
    Exit::Clean.into()
}

/// Whether the reader of the output went away early (`| head`).
fn is_closed(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
}

/// Prints the report. A reader that went away early does not change what was found.
fn print(report: &Report) -> Exit {
    let mut out = io::stdout().lock();
    let printed = out.write_all(report.text.as_bytes()).and_then(|()| out.flush());
    match printed {
        Err(error) if !is_closed(&error) => {
            complain(format_args!("the report cannot be printed: {error}"));
            Exit::Unchecked
        }
        _ => report.exit,
    }
}
