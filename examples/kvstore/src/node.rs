//! A node: raft-rs, the driver of the machine, and what clients and other nodes want of them. One thread has it all;
//! it takes what has happened, lets raft say what that means, and writes that before it goes on.

use std::{
    collections::{BTreeMap, HashMap},
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender},
    thread,
    time::{Duration, Instant},
};

use logboom::{Engine, EntryId, ShardId};
use logboom_raft_rs::{Group, Round, Writer};
use logboom_rsm::{Driver, Failure, Options, Saved, SnapshotPolicy};
use protobuf::Message as _;
use raft::{
    Config, INVALID_ID, RawNode, ReadState, SnapshotStatus,
    eraftpb::{ConfChange, ConfChangeType, ConfState, Message, MessageType},
};
use slog::{Discard, Logger, o};

use crate::{
    kv::{self, Kv},
    peers::Peers,
    server::PATIENCE,
};

/// The one group that there is.
const SHARD: ShardId = ShardId(1);

/// Behind this the log begins, with the members that the cluster begins with. A node that joins can never be given the
/// log from there on, which does not say who they are: it gets a snapshot, which does.
const BEGINNING: EntryId = EntryId { index: 1, term: 1 };

/// Events that are taken before raft is asked what they mean.
const EVENTS_MAX: usize = 4096;

/// What happens to a node.
pub(crate) enum Event {
    /// A client wants something.
    Wish(Wish, Answer),
    /// Another node says something; if that comes with a snapshot, the snapshot is here.
    Message(Box<Message>),
    /// A message to this node got lost.
    Unreachable(u64),
    /// What became of a snapshot that this node was sent.
    Shipped(u64, SnapshotStatus),
    /// A snapshot was saved, or could not be.
    Saved(Saved),
}

/// What a client wants.
pub(crate) enum Wish {
    Get(String),
    Put(String, String),
    Change(ConfChange),
}

/// What it is told.
pub(crate) enum Reply {
    Done,
    Value(Option<String>),
}

/// A client that waits. Dropped, it is told that it cannot be said what became of its wish.
pub(crate) struct Answer {
    reply: SyncSender<Reply>,
    since: Instant,
}

impl Answer {
    pub(crate) fn new(reply: SyncSender<Reply>) -> Self {
        Self { reply, since: Instant::now() }
    }

    fn give(self, reply: Reply) {
        // The client may have gone.
        self.reply.try_send(reply).unwrap_or(());
    }

    fn is_waited_for(&self) -> bool {
        self.since.elapsed() < PATIENCE
    }
}

pub(crate) struct Node {
    id: u64,
    engine: Engine,
    policy: SnapshotPolicy,
    raft: RawNode<Group>,
    driver: Driver<Kv>,
    writer: Writer,
    peers: Peers,
    events: Sender<Event>,
    /// Who waits until an entry is applied, by the number that it was proposed with: a number of this life alone, as a
    /// life before may have left others.
    proposed: HashMap<u64, Answer>,
    /// Who waits until raft says what a read has to wait for, by number.
    asked: HashMap<u64, (String, Answer)>,
    /// Reads that wait until an index is applied.
    reads: Vec<(u64, String, Answer)>,
    is_removed: bool,
}

impl Node {
    /// Opens what is in the engine, and creates it with these members if nothing is; without members, it is a node that
    /// joins. `cluster` says where all of them listen, as long as the state does not say it.
    pub(crate) fn open(
        engine: &Engine,
        id: u64,
        members: Option<Vec<u64>>,
        cluster: BTreeMap<u64, String>,
        policy: SnapshotPolicy,
        events: &Sender<Event>,
    ) -> Result<Self, Failure> {
        if let Some(members) = members.filter(|_| engine.shard(SHARD).next().is_none()) {
            Group::create(engine, [SHARD], &ConfState::from((members, Vec::new())), BEGINNING)?;
        }
        let driver = open_driver(engine, Kv::new(cluster), &policy)?;
        // What is applied: the newest snapshot, or nothing yet. The rest of the log follows as raft finds it committed.
        let applied = driver.applied().or(engine.shard(SHARD).boundary().map(|begins| begins.index)).unwrap_or(0);
        let config = Config {
            id,
            election_tick: 10,
            heartbeat_tick: 1,
            applied,
            max_size_per_msg: 1 << 20,
            max_inflight_msgs: 256,
            check_quorum: true,
            pre_vote: true,
            ..Config::default()
        };
        let group = Group::open(engine, SHARD, applied)?;
        let mut node = Self {
            id,
            engine: engine.clone(),
            policy,
            raft: RawNode::new(&config, group, &Logger::root(Discard, o!()))?,
            driver,
            // Everything is written before the node goes on: there is nothing to be woken for.
            writer: Writer::new(engine, || {}),
            peers: Peers::new(id, events),
            events: events.clone(),
            proposed: HashMap::new(),
            asked: HashMap::new(),
            reads: Vec::new(),
            is_removed: false,
        };
        node.note_members(applied)?;
        Ok(node)
    }

    pub(crate) fn group(&self) -> &Group {
        self.raft.store()
    }

    /// Works until the node is removed from the cluster, or fails.
    pub(crate) fn run(mut self, happened: &Receiver<Event>, tick: Duration) -> Result<(), Failure> {
        let mut next = Instant::now() + tick;
        loop {
            match happened.recv_timeout(next.saturating_duration_since(Instant::now())) {
                Ok(event) => self.take(event)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            happened.try_iter().take(EVENTS_MAX).try_for_each(|event| self.take(event))?;
            if next <= Instant::now() {
                self.raft.tick();
                next = Instant::now() + tick;
                self.forget_who_has_gone();
            }
            self.turn()?;
            if self.is_removed {
                return Ok(self.driver.close()?);
            }
        }
    }

    fn take(&mut self, event: Event) -> Result<(), Failure> {
        match event {
            Event::Wish(wish, answer) => self.want(wish, answer)?,
            // What the core refuses, as an answer to what it does not know of any more, is lost.
            Event::Message(message) => drop(self.raft.step(*message)),
            Event::Unreachable(peer) => self.raft.report_unreachable(peer),
            Event::Shipped(peer, status) => self.shipped(peer, status),
            Event::Saved(saved) => {
                // It is tried again by policy. One that is stale was overtaken by the snapshot of another node.
                let outcome = self.driver.finish(saved);
                outcome.map_or_else(|error| eprintln!("a snapshot: {error:#}"), drop);
            }
        }
        Ok(())
    }

    /// Asks raft for it. On a node that does not lead, that goes on to the one that does.
    fn want(&mut self, wish: Wish, answer: Answer) -> Result<(), Failure> {
        if self.raft.raft.leader_id == INVALID_ID {
            return Ok(());
        }
        let number = fastrand::u64(..);
        match wish {
            Wish::Get(key) => {
                self.asked.insert(number, (key, answer));
                self.raft.read_index(number.to_le_bytes().to_vec());
            }
            Wish::Put(key, value) => {
                if self.raft.propose(kv::put_context(number), kv::put(&key, &value)?).is_ok() {
                    self.proposed.insert(number, answer);
                }
            }
            Wish::Change(change) => {
                if self.raft.propose_conf_change(kv::change_context(number), change).is_ok() {
                    self.proposed.insert(number, answer);
                }
            }
        }
        Ok(())
    }

    /// What raft wants done, until it wants nothing more: written first, and then sent and applied.
    fn turn(&mut self) -> Result<(), Failure> {
        while !self.is_removed && self.raft.has_ready() {
            let group = self.group().clone();
            let mut ready = self.raft.ready();
            if ready.ss().is_some() {
                // There is another leader, or none: what was sent to the one before may have come to nothing.
                self.proposed.clear();
                self.asked.clear();
            }
            self.note_reads(ready.take_read_states());
            // A leader's: its followers may write at the same time as it does.
            self.send(ready.take_messages());
            let committed = ready.take_committed_entries().last().map(|entry| entry.index);
            let mut round = Round::new();
            round.save(&group, &mut ready);
            let (saved, left_out) = self.writer.write(&mut round)?;
            left_out.into_result()?;
            for saved in saved {
                self.send(saved.messages);
                if saved.snapshot.is_some() {
                    self.load()?;
                }
            }
            drop(round);
            self.apply(committed)?;

            let mut light = self.raft.advance(ready);
            self.send(light.take_messages());
            let mut round = Round::new();
            round.commit(&group, &light);
            self.writer.submit(&mut round)?.into_result()?;
            let committed = light.take_committed_entries().last().map(|entry| entry.index);
            self.apply(committed)?;
            self.raft.advance_apply();
        }
        self.upkeep()
    }

    /// Applies the log up to `committed`, all of which is durable here, and answers who waits for it.
    fn apply(&mut self, committed: Option<u64>) -> Result<(), Failure> {
        committed.into_iter().for_each(|index| self.driver.commit(index));
        while let Some(applied) = self.driver.apply()? {
            let mut changed = false;
            for entry in &applied.entries {
                if let Some(change) = kv::change(&entry)? {
                    self.change(entry.index, &change)?;
                    changed = true;
                }
                if let Some(answer) = kv::number(entry.context).and_then(|number| self.proposed.remove(&number)) {
                    answer.give(Reply::Done);
                }
            }
            let last = self.driver.applied().unwrap_or(BEGINNING.index);
            self.group().applied_to(last)?;
            if changed {
                self.note_members(last)?;
            }
        }
        self.answer_reads()
    }

    /// The membership changes with the entry at `index`.
    fn change(&mut self, index: u64, change: &ConfChange) -> Result<(), Failure> {
        let state = self.raft.apply_conf_change(change)?;
        let group = self.group().clone();
        let mut round = Round::new();
        round.conf_state(&group, index, &state);
        self.writer.submit(&mut round)?.into_result()?;
        match change.get_change_type() {
            ConfChangeType::RemoveNode => self.is_removed |= change.node_id == self.id,
            // It will need a snapshot that knows it: a save that began before it was added gives none.
            _ => self.driver.request_snapshot_from(index),
        }
        Ok(())
    }

    /// Snapshots are of these members from now on, and messages go to where they listen.
    fn note_members(&mut self, index: u64) -> Result<(), Failure> {
        self.driver.set_membership(self.group().conf_state(index)?.write_to_bytes()?.into())?;
        self.peers.set(&self.driver.reader().lookup(&())?.peers);
        Ok(())
    }

    /// Begins anew with the snapshot that has just become the group's.
    fn load(&mut self) -> Result<(), Failure> {
        self.driver = open_driver(&self.engine, Kv::default(), &self.policy)?;
        self.note_members(self.driver.applied().unwrap_or(0))
    }

    /// Saves a snapshot in a thread of its own, if one is due, and compacts the log.
    fn upkeep(&mut self) -> Result<(), Failure> {
        if let Some(wanted) = self.group().snapshot_wanted() {
            self.driver.request_snapshot_from(wanted);
        }
        if let Some(job) = self.driver.upkeep()?.job {
            let events = self.events.clone();
            thread::spawn(move || events.send(Event::Saved(job.run())).unwrap_or(()));
        }
        Ok(())
    }

    fn send(&mut self, messages: Vec<Message>) {
        for message in messages {
            match message.get_msg_type() {
                MessageType::MsgSnapshot => match self.group().sending(message.to) {
                    Some(lease) => self.peers.send_snapshot(message, lease),
                    None => self.shipped(message.to, SnapshotStatus::Failure),
                },
                _ => self.peers.send(message),
            }
        }
    }

    fn shipped(&mut self, peer: u64, status: SnapshotStatus) {
        self.raft.report_snapshot(peer, status);
        self.group().sent(peer);
    }

    /// Notes that reads may be answered once their index is applied.
    fn note_reads(&mut self, states: Vec<ReadState>) {
        for state in states {
            let number = state.request_ctx.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
            if let Some((key, answer)) = self.asked.remove(&number) {
                self.reads.push((state.index, key, answer));
            }
        }
    }

    fn answer_reads(&mut self) -> Result<(), Failure> {
        let applied = self.driver.applied().unwrap_or(BEGINNING.index);
        let state = self.driver.reader().lookup(&())?;
        for (_, key, answer) in self.reads.extract_if(.., |(index, ..)| *index <= applied) {
            answer.give(Reply::Value(state.values.get(&key).cloned()));
        }
        Ok(())
    }

    /// What was proposed or asked may have come to nothing, on the way or with a leader that is gone.
    fn forget_who_has_gone(&mut self) {
        self.proposed.retain(|_, answer| answer.is_waited_for());
        self.asked.retain(|_, (_, answer)| answer.is_waited_for());
        self.reads.retain(|(_, _, answer)| answer.is_waited_for());
    }
}

/// The driver of the machine, as far as the newest snapshot goes.
fn open_driver(engine: &Engine, machine: Kv, policy: &SnapshotPolicy) -> Result<Driver<Kv>, Failure> {
    let mut options = Options::default();
    options.policy = policy.clone();
    options.begins_behind = Some(BEGINNING.index);
    Ok(Driver::concurrent(engine, SHARD, machine, options)?.0)
}
