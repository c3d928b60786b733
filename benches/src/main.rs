//! `logboom-bench`: see `logboom-bench --help`.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use logboom_bench::cli::Cli;

fn main() -> ExitCode {
    Cli::parse().run()
}
