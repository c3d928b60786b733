//! `Replica`: the raft-rs node of one shard, the driver of its state machine, and the clients that wait for it.

use std::collections::{BTreeMap, HashMap};

use logboom::{Engine, EntryId, ShardId};
use logboom_raft_rs::Group;
use logboom_rsm::{Driver, Failure, Options, SnapshotPolicy};
use raft::{
    Config, INVALID_ID, RawNode, ReadState, StateRole,
    eraftpb::{ConfState, Message},
};
use slog::{Discard, Logger, o};

use super::SaveJob;
use crate::{
    kv::Kv,
    node::Answer,
    options::{NODES, NodeOptions},
    status::Status,
    wire::Reply,
};

/// The least ticks without a message of the leader before an election starts; the most are twice as many.
const ELECTION_TICKS: usize = 15;
/// Ticks between two heartbeats of a leader.
const HEARTBEAT_TICKS: usize = 3;

/// The number of new entries after which a snapshot is saved, and of entries that stay in the log then. It is small, so
/// that a node that was down for a second needs snapshots of busy shards.
const SNAPSHOT_ENTRIES: u64 = 200;
const KEPT_ENTRIES: u64 = 20;

/// A follower counts as caught up if it lacks at most this many entries.
const SLACK: u64 = 32;

/// The replica of one shard on this node.
pub(crate) struct Replica {
    shard: u64,
    engine: Engine,
    pub(crate) node: RawNode<Group>,
    driver: Driver<Kv>,
    /// The writes that were proposed here, by index: the term, and the client that waits.
    proposed: BTreeMap<u64, (u64, Answer)>,
    /// The reads that raft has not confirmed, by number: the key, and the client that waits.
    asked: HashMap<u64, (u32, Answer)>,
    /// The reads that wait until an index is applied.
    reads: Vec<(u64, u32, Answer)>,
    reads_begun: u64,
    /// The snapshots being sent, by follower: the tick by which each must have arrived.
    pub(crate) sending: BTreeMap<u64, u64>,
    is_leader: bool,
}

/// Opens the replicas of all shards on this node, and creates the missing ones.
pub(crate) fn open(options: &NodeOptions, engine: &Engine) -> Result<Vec<Replica>, Failure> {
    let is_new = |id: &ShardId| engine.shard(*id).next().is_none();
    let members = ConfState::from(((1..=NODES).collect::<Vec<_>>(), Vec::new()));
    Group::create(engine, (0..options.shards).map(ShardId).filter(is_new), &members, EntryId { index: 0, term: 0 })?;
    (0..options.shards).map(|shard| Replica::open(shard, options.id, engine)).collect()
}

impl Replica {
    fn open(shard: u64, id: u64, engine: &Engine) -> Result<Self, Failure> {
        let driver = open_driver(shard, engine)?;
        let applied = driver.applied().unwrap_or(0);
        let config = Config {
            id,
            election_tick: ELECTION_TICKS,
            heartbeat_tick: HEARTBEAT_TICKS,
            applied,
            max_size_per_msg: 1 << 20,
            max_inflight_msgs: 256,
            max_committed_size_per_ready: 1 << 20,
            check_quorum: true,
            pre_vote: true,
            ..Config::default()
        };
        let group = Group::open(engine, ShardId(shard), applied)?;
        let mut replica = Self {
            shard,
            engine: engine.clone(),
            node: RawNode::new(&config, group, &Logger::root(Discard, o!()))?,
            driver,
            proposed: BTreeMap::new(),
            asked: HashMap::new(),
            reads: Vec::new(),
            reads_begun: 0,
            sending: BTreeMap::new(),
            is_leader: false,
        };
        replica.label()?;
        Ok(replica)
    }

    pub(crate) fn shard(&self) -> u64 {
        self.shard
    }

    pub(crate) fn group(&self) -> &Group {
        self.node.store()
    }

    /// Sets the membership that snapshots state; it never changes.
    fn label(&mut self) -> Result<(), Failure> {
        let spec = self.group().snapshot_spec(self.driver.applied().unwrap_or(0))?;
        Ok(self.driver.set_membership(spec.membership.into())?)
    }

    fn leader(&self) -> Option<u64> {
        Some(self.node.raft.leader_id).filter(|id| *id != INVALID_ID)
    }

    /// Proposes a write; the client is answered when it is applied.
    pub(crate) fn write(&mut self, command: &[u8], answer: Answer) {
        if !self.is_leader || self.node.propose(Vec::new(), command.to_vec()).is_err() {
            return answer.give(Reply::Elsewhere(self.leader()));
        }
        let place = self.node.raft.raft_log.last_index();
        self.proposed.insert(place, (self.node.raft.term, answer));
    }

    /// Reads a register linearizably: the leader asks its followers whether it still leads, and appends no entry.
    pub(crate) fn read(&mut self, key: u32, answer: Answer) {
        if !self.is_leader || !self.node.raft.commit_to_current_term() {
            return answer.give(Reply::Elsewhere(self.leader()));
        }
        self.reads_begun += 1;
        self.asked.insert(self.reads_begun, (key, answer));
        self.node.read_index(self.reads_begun.to_le_bytes().to_vec());
    }

    /// Moves confirmed reads to those that wait for their index to be applied.
    pub(crate) fn readable(&mut self, states: Vec<ReadState>) {
        for state in states {
            let number = state.request_ctx.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
            if let Some((key, answer)) = self.asked.remove(&number) {
                self.reads.push((state.index, key, answer));
            }
        }
    }

    /// Follows a change of the raft core's role. Returns true if this replica has become the leader.
    pub(crate) fn is(&mut self, role: StateRole) -> bool {
        let was = std::mem::replace(&mut self.is_leader, role == StateRole::Leader);
        if was && !self.is_leader {
            // The reads were not performed. The writes may still be committed, but this node cannot tell.
            let leader = self.leader();
            self.asked.drain().for_each(|(_, (_, answer))| answer.give(Reply::Elsewhere(leader)));
            self.proposed.clear();
            // The core forgets these transfers without a report, and their leases would keep the log from compaction.
            std::mem::take(&mut self.sending).into_keys().for_each(|peer| self.group().sent(peer));
        }
        self.is_leader && !was
    }

    /// Reopens the driver after the group has installed a snapshot: the log now begins after the snapshot, and the old
    /// driver may still have had earlier entries to apply.
    pub(crate) fn load(&mut self) -> Result<(), Failure> {
        self.driver = open_driver(self.shard, &self.engine)?;
        self.proposed.clear();
        self.label()
    }

    /// Applies the log up to `committed`, as far as it is durable here, and answers the clients that wait. Returns the
    /// number of entries, and the job of a snapshot that is due.
    pub(crate) fn apply(&mut self, committed: Option<u64>) -> Result<(usize, Option<SaveJob>), Failure> {
        committed.into_iter().for_each(|index| self.driver.commit(index));
        let mut count = 0;
        while let Some(applied) = self.driver.apply()? {
            count += applied.outputs.len();
            for (entry, outcome) in applied.entries.iter().zip(applied.outputs) {
                if let Some((term, answer)) = self.proposed.remove(&entry.index) {
                    // If another entry was committed at this index, the proposed one will never be applied.
                    let is_it = term == entry.term;
                    answer.give(if is_it { Reply::Done(outcome) } else { Reply::Elsewhere(self.leader()) });
                }
            }
        }
        let applied = self.driver.applied().unwrap_or(0);
        // Tell the core that a snapshot is applied when it is durable, not as soon as it is loaded.
        let told = applied.min(self.node.raft.raft_log.persisted);
        if told > self.node.raft.raft_log.applied {
            self.node.advance_apply_to(told);
        }
        self.answer_reads(applied)?;
        let wanted = self.group().snapshot_wanted();
        if count == 0 && wanted.is_none() {
            return Ok((0, None));
        }
        if let Some(index) = wanted {
            self.driver.request_snapshot_from(index);
        }
        Ok((count, self.driver.upkeep()?.job))
    }

    fn answer_reads(&mut self, applied: u64) -> Result<(), Failure> {
        if self.reads.is_empty() {
            return Ok(());
        }
        let state = self.driver.reader().lookup(&())?;
        for (_, key, answer) in self.reads.extract_if(.., |(index, ..)| *index <= applied) {
            answer.give(Reply::Value(state.get(key)));
        }
        Ok(())
    }

    /// Registers a saved snapshot for the group and compacts the log below it. Returns false if that failed; the policy
    /// asks for another one then.
    pub(crate) fn saved(&mut self, saved: logboom_rsm::Saved) -> bool {
        let finished = self.driver.finish(saved);
        finished.inspect_err(|error| eprintln!("a snapshot of shard {}: {error:#}", self.shard)).is_ok()
    }

    /// Takes a message from a peer. A message that the core refuses, such as an outdated answer, is dropped.
    pub(crate) fn take(&mut self, message: Message) {
        drop(self.node.step(message));
    }

    /// The state, up to the applied index here.
    pub(crate) fn dump(&self) -> Result<Reply, Failure> {
        let state = self.driver.reader().lookup(&())?;
        Ok(Reply::Dump { applied: self.driver.applied().unwrap_or(0), state: state.encode().into() })
    }

    /// Adds this shard to the status.
    pub(crate) fn count(&self, status: &mut Status) {
        let raft = &self.node.raft;
        status.known += u64::from(self.leader().is_some());
        if self.is_leader {
            let last = raft.raft_log.last_index();
            let followed = raft.prs().iter().all(|(_, peer)| peer.recent_active && peer.matched + SLACK >= last);
            status.led += 1;
            status.settled += u64::from(followed && raft.commit_to_current_term());
        }
    }

    /// Transfers leadership to the shard's preferred node, so that each node leads as many shards as the others.
    pub(crate) fn hand_over(&mut self) {
        let preferred = 1 + self.shard % NODES;
        let raft = &self.node.raft;
        let last = raft.raft_log.last_index();
        let is_ready = |id| raft.prs().get(id).is_some_and(|peer| peer.recent_active && peer.matched + SLACK >= last);
        if self.is_leader && preferred != raft.id && raft.lead_transferee.is_none() && is_ready(preferred) {
            self.node.transfer_leader(preferred);
        }
    }
}

/// Opens the driver of the shard's state machine at the newest snapshot.
fn open_driver(shard: u64, engine: &Engine) -> Result<Driver<Kv>, Failure> {
    let mut policy = SnapshotPolicy::default();
    policy.every_entries = Some(SNAPSHOT_ENTRIES);
    policy.keep_entries = KEPT_ENTRIES;
    let mut options = Options::default();
    options.policy = policy;
    options.begins_behind = Some(0);
    Ok(Driver::concurrent(engine, ShardId(shard), Kv::default(), options)?.0)
}
