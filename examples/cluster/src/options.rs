//! The options of the command and its nodes.

use std::{path::PathBuf, sync::Arc};

use clap::{Args, Parser, Subcommand, ValueEnum, value_parser};
use logboom::Engine;
use logboom_rsm::Failure;

use crate::{links::Links, node, open_raft, raft_rs};

/// The number of nodes.
pub(crate) const NODES: u64 = 3;

/// Runs a cluster of three processes on this machine, with many raft groups each on one Logboom engine, kills and
/// partitions them under load, and checks that nothing acknowledged is lost and every history is linearizable.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Options {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) run: RunOptions,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// A node; the command starts three.
    #[command(hide = true)]
    Node(NodeOptions),
}

/// The options of a run.
#[derive(Clone, Debug, Args)]
pub(crate) struct RunOptions {
    /// The raft core.
    #[arg(long, value_enum, default_value_t = CoreName::RaftRs)]
    pub(crate) core: CoreName,
    /// How often a process is killed (SIGKILL), each time when the cluster has recovered from what came before.
    #[arg(long, default_value_t = 5)]
    pub(crate) kills: u32,
    /// How long the run takes at least.
    #[arg(long, default_value_t = 20)]
    pub(crate) seconds: u64,
    /// Raft groups. Default: 1000 with raft-rs, 100 with openraft.
    #[arg(long, value_parser = value_parser!(u64).range(1..))]
    pub(crate) shards: Option<u64>,
    /// Clients, each with one operation under way.
    #[arg(long, default_value_t = 12, value_parser = value_parser!(u32).range(1..))]
    pub(crate) clients: u32,
    /// Repeats the choices of a run, though not what the machine makes of them.
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// The time of a tick of raft's clock: 3 are a heartbeat, 15 to 30 an election timeout. Default: with few groups
    /// 20, otherwise 100 with raft-rs, and 50 with openraft.
    #[arg(long, value_parser = value_parser!(u64).range(1..))]
    pub(crate) tick_ms: Option<u64>,
    /// Where the nodes keep their logs. Default: a temporary directory, which is removed when all went well.
    #[arg(long)]
    pub(crate) dir: Option<PathBuf>,
}

/// The options of a node.
#[derive(Clone, Debug, Args)]
pub(crate) struct NodeOptions {
    #[arg(long)]
    pub(crate) id: u64,
    #[arg(long, value_enum)]
    pub(crate) core: CoreName,
    #[arg(long)]
    pub(crate) shards: u64,
    #[arg(long)]
    pub(crate) dir: PathBuf,
    #[arg(long)]
    pub(crate) tick_ms: u64,
    #[arg(long)]
    pub(crate) segment_bytes: u64,
}

/// The raft cores that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CoreName {
    RaftRs,
    #[value(name = "openraft")]
    OpenRaft,
}

impl CoreName {
    pub(crate) fn start(
        self,
        options: &NodeOptions,
        engine: &Engine,
        links: &Links,
    ) -> Result<Arc<dyn node::Core>, Failure> {
        match self {
            Self::RaftRs => Ok(Arc::new(raft_rs::RaftRs::start(options, engine, links)?)),
            Self::OpenRaft => Ok(Arc::new(open_raft::OpenRaft::start(options, engine, links)?)),
        }
    }
}

impl RunOptions {
    pub(crate) fn shards(&self) -> u64 {
        self.shards.unwrap_or(match self.core {
            CoreName::RaftRs => 1000,
            CoreName::OpenRaft => 100,
        })
    }

    pub(crate) fn tick_ms(&self) -> u64 {
        self.tick_ms.unwrap_or(match self.core {
            _ if self.shards() <= 50 => 20,
            CoreName::RaftRs => 100,
            // An openraft follower waits for its leader's lease to expire before its election timeout starts.
            CoreName::OpenRaft => 50,
        })
    }
}
