//! A replicated key-value store: etcd's raftexample on Logboom and raft-rs. See README.md beside this crate.
//!
//!     kvstore --id 1 --cluster http://127.0.0.1:12379,http://127.0.0.1:22379,http://127.0.0.1:32379 --port 12380

#![forbid(unsafe_code)]

mod kv;
mod peers;
mod node;
mod server;

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    sync::mpsc,
    time::Duration,
};

use clap::Parser;
use logboom::{Config, Engine};
use logboom_rsm::{Failure, SnapshotPolicy};

use crate::node::Node;

/// A node of a replicated key-value store.
#[derive(Debug, Parser)]
struct Options {
    /// The node's number, from 1.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    id: u64,
    /// Where the nodes listen for each other, this one included: the first address is that of node 1, and so on.
    #[arg(long, value_delimiter = ',', required = true)]
    cluster: Vec<String>,
    /// The port for clients.
    #[arg(long)]
    port: u16,
    /// Join an existing cluster, to which this node was added.
    #[arg(long)]
    join: bool,
    /// Where the node keeps its log and its snapshots.
    #[arg(long)]
    dir: PathBuf,
    /// A snapshot is saved when more than this many entries were applied behind the last one.
    #[arg(long, default_value_t = 10_000)]
    snapshot_entries: u64,
    /// Entries that stay in the log behind a snapshot, for nodes that are a little behind.
    #[arg(long, default_value_t = 10_000)]
    keep_entries: u64,
    /// A tick of raft's clock: one is a heartbeat, ten to twenty without one are an election.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    tick_ms: u64,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the node until it is removed from the cluster, or fails. It needs no other end: it can be killed at any time.
fn run(options: &Options) -> Result<(), Failure> {
    let cluster: Vec<(u64, String)> = (1..).zip(options.cluster.iter().cloned()).collect();
    let mine = cluster.iter().find(|(id, _)| *id == options.id).ok_or("the cluster has no address for this node")?;
    let mut config = Config::new(&options.dir);
    config.segment_bytes = 4 << 20;
    let engine = Engine::open(config)?;
    let (events, happened) = mpsc::channel();
    let mut policy = SnapshotPolicy::default();
    policy.every_entries = Some(options.snapshot_entries);
    policy.keep_entries = options.keep_entries;
    let members = (!options.join).then(|| cluster.iter().map(|(id, _)| *id).collect());
    let node = Node::open(&engine, options.id, members, cluster.iter().cloned().collect(), policy, &events)?;
    server::serve_peers(&mine.1, node.group(), &events)?;
    server::serve_clients(options.port, &events)?;
    say(&format!("node {} serves clients at port {}", options.id, options.port));
    node.run(&happened, Duration::from_millis(options.tick_ms))?;
    say("this node has been removed from the cluster");
    Ok(engine.close()?)
}

/// Says it to whom it may concern: a pipe that was closed is no reason to end.
fn say(line: &str) {
    writeln!(io::stdout().lock(), "{line}").unwrap_or(());
}
