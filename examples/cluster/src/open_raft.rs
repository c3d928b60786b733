//! A node on openraft: each group has a `Raft` with its own tasks, and all groups share one engine.
//!
//! Openraft knows only one group. The engine lets groups share the disk and its syncs: appends of any group that arrive
//! during a write go into the next one. This module lets groups share connections.

use std::{
    collections::{BTreeSet, HashMap},
    io::{Read, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use logboom::{Engine, ShardId};
use logboom_openraft::{
    Data, Options, SnapshotData,
    v0_9::{LogStore, MachineStore},
};
use logboom_rsm::Failure;
use openraft::{
    Config, EmptyNode, Entry, Raft, ServerState, Snapshot, SnapshotPolicy, TokioRuntime,
    error::{CheckIsLeaderError, ClientWriteError, RaftError},
    storage::{RaftLogStorage, RaftStateMachine},
};
use parking_lot::Mutex;
use tokio::{runtime::Runtime, task::block_in_place};

use crate::{
    kv::{Kv, Outcome, View},
    links::Links,
    node::{Answer, Core},
    options::{NODES, NodeOptions},
    status::Status,
    wire::{Ask, Reply},
};

mod calls;
mod network;
mod messages;

use calls::{Arrived, Calls};
use messages::Question;
use network::Network;

openraft::declare_raft_types!(
    /// The openraft types of a group.
    pub(crate) Types:
        D = Data,
        R = Outcome,
        NodeId = u64,
        Node = EmptyNode,
        Entry = Entry<Types>,
        SnapshotData = SnapshotData,
        AsyncRuntime = TokioRuntime,
);

/// Ticks between two heartbeats of a leader, and ticks without one after which an election starts.
const HEARTBEAT_TICKS: u64 = 3;
const ELECTION_TICKS: u64 = 15;

/// The most ticks that one step of a snapshot transfer may take.
const SNAPSHOT_TICKS: u64 = 40;

/// The number of new entries after which a snapshot is saved, and of entries that stay in the log then.
const SNAPSHOT_ENTRIES: u64 = 200;
const KEPT_ENTRIES: u64 = 20;

/// The longest that a read waits for an index to be applied.
const PATIENCE: Duration = Duration::from_secs(3);

/// A follower counts as caught up if it lacks at most this many entries.
const SLACK: u64 = 32;

impl logboom_openraft::StateMachine for Kv {
    type Data = Data;
    type Reply = Outcome;
    type View = View;

    fn apply(&mut self, _: u64, data: Data) -> Result<Outcome, Failure> {
        Self::apply(self, &data.0)
    }

    fn view(&self) -> Result<View, Failure> {
        Ok(View(Arc::clone(&self.state)))
    }

    fn recover(&mut self, from: &mut dyn Read) -> Result<(), Failure> {
        self.load(from)
    }
}

impl logboom_openraft::SnapshotView for View {
    fn save(self, to: &mut dyn Write) -> Result<(), Failure> {
        Ok(to.write_all(&self.0.encode())?)
    }
}

/// This node's replica of one shard.
struct Group {
    shard: u64,
    raft: Raft<Types>,
    machine: MachineStore<Types, Kv>,
    /// The snapshots that are arriving, by sender.
    arriving: Mutex<HashMap<u64, Box<SnapshotData>>>,
    engine: Engine,
    /// Whether a leader was heard of since the node started. The leader that a stored vote names may be outdated.
    heard: AtomicBool,
    /// The applied index when the node started.
    began_at: u64,
    /// The term and the last index of the log, if the node started as the leader that it was before it stopped.
    ///
    /// Openraft 0.9 restores such a leader at once, and makes its reads wait for the first entry of the term and for
    /// the known commit index. But the leader may have acknowledged later entries, since the commit index is written
    /// lazily. All of them are in the log, so the first reads wait until its last entry is applied.
    restored: Option<(u64, u64)>,
}

/// The groups of a node, and the runtime that runs them.
pub(crate) struct OpenRaft {
    runtime: Runtime,
    groups: Vec<Arc<Group>>,
    calls: Arc<Calls>,
    engine: Engine,
    counts: Arc<Counts>,
    election: Duration,
}

#[derive(Debug, Default)]
struct Counts {
    elections: AtomicU64,
    saved: AtomicU64,
    installed: AtomicU64,
    sent: Arc<AtomicU64>,
}

impl OpenRaft {
    /// Recovers or creates all groups, and starts them.
    pub(crate) fn start(options: &NodeOptions, engine: &Engine, links: &Links) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build()?;
        let (calls, counts) = (Arc::new(Calls::new(links)), Arc::new(Counts::default()));
        let config = Config {
            heartbeat_interval: options.tick_ms * HEARTBEAT_TICKS,
            election_timeout_min: options.tick_ms * ELECTION_TICKS,
            election_timeout_max: options.tick_ms * ELECTION_TICKS * 2,
            snapshot_policy: SnapshotPolicy::LogsSinceLast(SNAPSHOT_ENTRIES),
            max_in_snapshot_log_to_keep: KEPT_ENTRIES,
            ..Config::default()
        };
        let config = Arc::new(config.validate()?);
        let mut groups = Vec::new();
        for shard in 0..options.shards {
            let network = Network {
                calls: Arc::clone(&calls),
                shard,
                pause: Duration::from_millis(options.tick_ms),
                patience: Duration::from_millis(options.tick_ms * SNAPSHOT_TICKS),
                sent: Arc::clone(&counts.sent),
            };
            let group = runtime.block_on(Group::start(options.id, engine, Arc::clone(&config), network))?;
            let group = Arc::new(group);
            runtime.spawn(watch(Arc::clone(&group), Arc::clone(&counts)));
            groups.push(group);
        }
        let election = Duration::from_millis(config.election_timeout_max);
        Ok(Self { runtime, groups, calls, engine: engine.clone(), counts, election })
    }

    fn group(&self, shard: u64) -> Option<&Arc<Group>> {
        self.groups.get(usize::try_from(shard).ok()?)
    }

    fn status(&self) -> Status {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let frames = count(&self.calls.frames);
        let mut status = Status {
            elections: count(&self.counts.elections),
            saved: count(&self.counts.saved),
            sent: count(&self.counts.sent),
            installed: count(&self.counts.installed),
            batches: self.engine.metrics().append_batches,
            messages: frames,
            frames,
            ..Status::default()
        };
        self.groups.iter().for_each(|group| group.count(self.election, &mut status));
        status
    }
}

impl Core for OpenRaft {
    fn ask(&self, ask: Ask, answer: Answer) {
        let shard = match ask {
            Ask::Status => return answer.give(Reply::Status(Box::new(self.status()))),
            Ask::Get { shard, .. } | Ask::Write { shard, .. } | Ask::Dump { shard } => shard,
        };
        let Some(group) = self.group(shard).cloned() else { return };
        self.runtime.spawn(async move {
            let reply = match ask {
                Ask::Get { key, .. } => group.read(key).await,
                Ask::Write { command, .. } => group.write(command).await,
                Ask::Dump { .. } | Ask::Status => group.dump(),
            };
            answer.give(reply);
        });
    }

    fn receive(&self, from: u64, frame: Bytes) {
        match self.calls.take(frame) {
            Ok(Arrived::Question { number, shard, question }) => {
                let Some(group) = self.group(shard).cloned() else { return };
                let (calls, counts) = (Arc::clone(&self.calls), Arc::clone(&self.counts));
                self.runtime.spawn(async move {
                    let answered = group.answer(from, question, &counts).await;
                    let answer = answered.unwrap_or_else(|error| messages::Answer::Failed(format!("{error:#}")));
                    calls.answer(from, number, &answer);
                });
            }
            Ok(Arrived::Answer) => {}
            Err(error) => eprintln!("a frame of node {from}: {error:#}"),
        }
    }

    fn stop(&self) {
        for group in &self.groups {
            drop(self.runtime.block_on(group.raft.shutdown()));
        }
    }
}

impl Group {
    async fn start(id: u64, engine: &Engine, config: Arc<Config>, network: Network) -> Result<Self, Failure> {
        let shard = network.shard;
        let mut log = LogStore::<Types>::new(engine, ShardId(shard), Options::default());
        let mut machine = MachineStore::<Types, Kv>::open(engine, ShardId(shard), Kv::default())?;
        let (vote, last) = (log.read_vote().await?.unwrap_or_default(), log.get_log_state().await?.last_log_id);
        let restored = (vote.leader_id.node_id == id && vote.committed)
            .then(|| (vote.leader_id.term, last.map_or(0, |last| last.index)));
        let began_at = machine.applied_state().await?.0.map_or(0, |applied| applied.index);
        let raft = Raft::new(id, config, network, log, machine.clone()).await?;
        // Spreads the first leaders over the nodes: the node that initializes a group is elected first.
        if 1 + shard % NODES == id && !raft.is_initialized().await? {
            raft.initialize((1..=NODES).collect::<BTreeSet<_>>()).await?;
        }
        let (arriving, heard) = (Mutex::default(), AtomicBool::new(false));
        Ok(Self { shard, raft, machine, arriving, engine: engine.clone(), heard, began_at, restored })
    }

    /// Replicates a write. If openraft names another leader, the write was not proposed, or the entry of another leader
    /// replaced it: with three nodes, that entry is then on two of them, and the write will never be applied.
    async fn write(&self, command: Bytes) -> Reply {
        match self.raft.client_write(Data(command)).await {
            Ok(response) => Reply::Done(response.data),
            Err(RaftError::APIError(ClientWriteError::ForwardToLeader(to))) => Reply::Elsewhere(to.leader_id),
            Err(_) => Reply::Unknown,
        }
    }

    async fn read(&self, key: u32) -> Reply {
        let current = self.raft.ensure_linearizable().await;
        if let Some((term, last)) = self.restored
            && self.raft.metrics().borrow().current_term == term
            && self.raft.wait(Some(PATIENCE)).applied_index_at_least(Some(last), "what it had").await.is_err()
        {
            return Reply::Elsewhere(None);
        }
        match current {
            Ok(_) => Reply::Value(self.machine.read(|kv| kv.state.get(key))),
            Err(RaftError::APIError(CheckIsLeaderError::ForwardToLeader(to))) => Reply::Elsewhere(to.leader_id),
            Err(_) => Reply::Elsewhere(None),
        }
    }

    fn dump(&self) -> Reply {
        // The applied index may be newer than the state, never older: the caller compares, and asks again.
        let state = self.machine.read(|kv| Arc::clone(&kv.state));
        let applied = self.raft.metrics().borrow().last_applied.map_or(0, |id| id.index);
        Reply::Dump { applied, state: state.encode().into() }
    }

    /// Answers a request from the replica on another node.
    async fn answer(&self, from: u64, question: Question, counts: &Counts) -> Result<messages::Answer, Failure> {
        Ok(match question {
            Question::Append(request) => {
                let answer = self.raft.append_entries(request).await?;
                self.heard.store(true, Ordering::Relaxed);
                messages::Answer::Append(answer)
            }
            Question::Vote(request) => messages::Answer::Vote(self.raft.vote(request).await?),
            Question::Snapshot(manifest) => {
                let mut data = Box::new(SnapshotData::receive(&self.engine, ShardId(self.shard)));
                let wanted = block_in_place(|| data.begin(&manifest))?;
                self.arriving.lock().insert(from, data);
                messages::Answer::Wanted(wanted)
            }
            Question::Chunk(chunk) => {
                let mut data = self.arriving.lock().remove(&from).ok_or("nothing has begun to arrive")?;
                let wanted = block_in_place(|| data.accept(&chunk))?;
                self.arriving.lock().insert(from, data);
                messages::Answer::Wanted(wanted)
            }
            Question::Install(vote, meta) => {
                let snapshot = self.arriving.lock().remove(&from).ok_or("nothing has arrived")?;
                let installed = self.raft.install_full_snapshot(vote, Snapshot { meta, snapshot }).await?;
                counts.installed.fetch_add(1, Ordering::Relaxed);
                messages::Answer::Installed(installed.vote)
            }
        })
    }

    /// Adds this shard to the status.
    fn count(&self, election: Duration, status: &mut Status) {
        let metrics = self.raft.metrics().borrow().clone();
        let leads = metrics.state == ServerState::Leader;
        status.known += u64::from(leads || self.heard.load(Ordering::Relaxed) && metrics.current_leader.is_some());
        status.applied += metrics.last_applied.map_or(0, |id| id.index).saturating_sub(self.began_at);
        if leads {
            let last = metrics.last_log_index.unwrap_or(0);
            let recent = metrics.millis_since_quorum_ack.is_some_and(|ms| u128::from(ms) < election.as_millis());
            let peers = metrics.replication.unwrap_or_default();
            let has = |id: &Option<openraft::LogId<u64>>| id.is_some_and(|id| id.index + SLACK >= last);
            let followed = peers.len() as u64 == NODES && peers.values().all(has);
            status.led += 1;
            status.settled += u64::from(recent && followed);
        }
    }
}

/// Counts the changes of a group's state, and ends the process when the group has failed, since the node cannot trust
/// its log then. A group in quarantine ends alone.
async fn watch(group: Arc<Group>, counts: Arc<Counts>) {
    let mut metrics = group.raft.metrics();
    let (mut was_leader, mut snapshot) = (false, None);
    while metrics.changed().await.is_ok() {
        let now = metrics.borrow_and_update().clone();
        if let Err(error) = now.running_state {
            if matches!(error, openraft::error::Fatal::Stopped) {
                return;
            }
            eprintln!("shard {} cannot go on: {error:#}", group.shard);
            // The rest of the log is intact, and its other groups go on.
            if group.engine.shard(ShardId(group.shard)).quarantine().is_some() {
                return;
            }
            std::process::exit(1);
        }
        let is_leader = now.state == ServerState::Leader;
        counts.elections.fetch_add(u64::from(is_leader && !was_leader), Ordering::Relaxed);
        counts.saved.fetch_add(u64::from(now.snapshot > snapshot), Ordering::Relaxed);
        (was_leader, snapshot) = (is_leader, now.snapshot);
    }
}
