//! Runs a multi-raft cluster on Logboom, kills and partitions its nodes, and checks the answers.
//!
//!     cargo run --release -p logboom-cluster -- --core raft-rs --kills 50
//!
//! See README.md beside this crate.

#![forbid(unsafe_code)]

mod options;
mod receipts;
mod kv;
mod status;
mod wire;
mod links;
mod node;
mod raft_rs;
mod open_raft;
mod history;
mod linear;
mod process;
mod client;
mod cluster;
mod run;
mod report;
mod verdict;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let options = options::Options::parse();
    let outcome = match &options.command {
        Some(options::Command::Node(node)) => node::run(node).map(|()| true),
        None => run::run(&options.run),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
