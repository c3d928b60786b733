//! A raft group that grows from one member to five, each on an engine of its own: what a loop on raft-rs has to do, in
//! its order ([`Node::turn`]), and how a snapshot comes to a member that joins behind the newest one
//! ([`Cluster::deliver`]).
//!
//! `cargo run -p logboom-raft-rs --example members`
#![expect(clippy::print_stdout, reason = "it is what an example is for")]

use std::{
    collections::BTreeMap,
    io::{Read, Write},
};

use logboom::{
    Config, Engine, EntryId, ShardId,
    snapshot::{Error as SnapshotError, Stop},
};
use logboom_raft_rs::{Error, Group, Round, Writer};
use protobuf::Message as _;
use raft::{
    RawNode, SnapshotStatus, StateRole,
    eraftpb::{ConfChange, ConfChangeType, ConfChangeV2, ConfState, Entry, EntryType, Message, MessageType, Snapshot},
};

pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

const SHARD: ShardId = ShardId(1);

fn main() -> Result<(), Failure> {
    let dir = tempfile::tempdir()?;
    let mut cluster = Cluster::default();
    for id in 1..=5 {
        let mut config = Config::new(dir.path().join(id.to_string()));
        config.segment_bytes = 1 << 20;
        cluster.add(id, &Engine::open(config)?)?;
    }
    cluster.grow()?;
    for (id, node) in &cluster.nodes {
        println!("node {id} has applied {}, and of texts: {}", node.applied, node.texts.len());
    }
    Ok(())
}

/// A member, or one that is to be.
pub(crate) struct Node {
    raw: RawNode<Group>,
    writer: Writer,
    /// What the application has applied, and all texts up to there: in memory, and in the snapshots that it saves.
    applied: u64,
    pub(crate) texts: Vec<String>,
}

impl Node {
    /// Opens a member as far as its newest snapshot goes; the core has it apply the log behind that again. Node 1
    /// founds the group, all others are told of it.
    pub(crate) fn open(id: u64, engine: &Engine) -> Result<Self, Failure> {
        if id == 1 && engine.shard(SHARD).next().is_none() {
            // Behind a boundary that stands for the members: who joins cannot begin with the first entry.
            let founders = ConfState::from((vec![1], vec![]));
            Group::create(engine, [SHARD], &founders, EntryId { index: 1, term: 1 })?;
        }
        let (applied, texts) = match load(engine)? {
            Some(saved) => saved,
            None => (u64::from(id == 1), Vec::new()),
        };
        let config = raft::Config { id, applied, check_quorum: true, pre_vote: true, ..raft::Config::default() };
        let group = Group::open(engine, SHARD, applied)?;
        let raw = RawNode::new(&config, group, &slog::Logger::root(slog::Discard, slog::o!()))?;
        // All is written in the turn itself: nothing has to be woken.
        Ok(Self { raw, writer: Writer::new(engine, || {}), applied, texts })
    }

    /// Does everything that a `Ready` asks for. Gives the messages that may leave.
    fn turn(&mut self) -> Result<Vec<Message>, Failure> {
        let group = self.raw.store().clone();
        let mut ready = self.raw.ready();
        // 1. A leader's messages wait for nothing.
        let mut messages = ready.take_messages();
        let committed = ready.take_committed_entries();
        // 2. Snapshot, entries and hard state, in one write. What had to wait for them may leave now.
        let mut round = Round::new();
        round.save(&group, &mut ready);
        let (saved, left_out) = self.writer.write(&mut round)?;
        left_out.into_result()?;
        for saved in saved {
            messages.extend(saved.messages);
            // 3. A snapshot is the group's now, and the application begins anew with it, before it applies anything.
            if saved.snapshot.is_some()
                && let Some(loaded) = load(group.engine())?
            {
                (self.applied, self.texts) = loaded;
            }
        }
        // 4. What is committed is applied; and once the core has advanced there may be more.
        let mut changes = self.apply(committed)?;
        let mut light = self.raw.advance(ready);
        messages.extend(light.take_messages());
        changes.extend(self.apply(light.take_committed_entries())?);
        // 5. Configurations are written with the index that they hold from on, before anything says that this is
        //    applied: a snapshot, which has the configuration of its index, or the application's own state.
        let mut round = Round::new();
        round.commit(&group, &light);
        for (index, conf_state) in &changes {
            round.conf_state(&group, *index, conf_state);
        }
        self.writer.write(&mut round)?.1.into_result()?;
        // 6. The core is told that all of it is applied, and the group, which may compact up to there.
        self.raw.advance_apply();
        if self.applied > 0 {
            group.applied_to(self.applied)?;
        }
        // 7. A follower may wait for a snapshot. Often it is one that has joined just now, by a change of step 4.
        if group.snapshot_wanted().is_some_and(|index| index <= self.applied) {
            self.save()?;
        }
        Ok(messages)
    }

    /// Applies entries. Gives the changes of the configuration, for [`Round::conf_state`].
    fn apply(&mut self, entries: Vec<Entry>) -> Result<Vec<(u64, ConfState)>, Failure> {
        let mut changes = Vec::new();
        for entry in entries {
            let changed = match entry.get_entry_type() {
                EntryType::EntryNormal => None,
                EntryType::EntryConfChange => {
                    Some(self.raw.apply_conf_change(&ConfChange::parse_from_bytes(&entry.data)?)?)
                }
                EntryType::EntryConfChangeV2 => {
                    Some(self.raw.apply_conf_change(&ConfChangeV2::parse_from_bytes(&entry.data)?)?)
                }
            };
            match changed {
                Some(conf_state) => changes.push((entry.index, conf_state)),
                // What a new leader begins with is empty.
                None if entry.data.is_empty() => {}
                None => self.texts.push(String::from_utf8(entry.data.to_vec())?),
            }
            self.applied = entry.index;
        }
        Ok(changes)
    }

    /// Saves the state as a snapshot, and drops the log behind it.
    fn save(&self) -> Result<(), Failure> {
        let group = self.raw.store();
        let mut builder = group.engine().snapshots().build(group.snapshot_spec(self.applied)?, &Stop::new())?;
        let mut file = builder.file("state")?;
        self.texts.iter().try_for_each(|text| writeln!(file, "{text}"))?;
        drop(group.register(&builder.finish()?)?);
        match group.compact_through(self.applied) {
            // A follower is being sent the snapshot before: the log behind that goes when it has it.
            Err(Error::Engine(logboom::Error::Leased { .. })) => Ok(()),
            outcome => Ok(outcome?),
        }
    }

    fn is_leader(&self) -> bool {
        self.raw.raft.state == StateRole::Leader
    }
}

/// The newest snapshot: its index, and the texts.
fn load(engine: &Engine) -> Result<Option<(u64, Vec<String>)>, Failure> {
    let Some(lease) = engine.snapshots().newest(SHARD)? else { return Ok(None) };
    let mut texts = String::new();
    lease.open("state")?.read_to_string(&mut texts)?;
    Ok(Some((lease.manifest().index, texts.lines().map(str::to_owned).collect())))
}

/// All nodes, and the network, which is a function call.
#[derive(Default)]
pub(crate) struct Cluster {
    pub(crate) nodes: BTreeMap<u64, Node>,
    /// Snapshots that were sent.
    pub(crate) sent: usize,
}

impl Cluster {
    pub(crate) fn add(&mut self, id: u64, engine: &Engine) -> Result<(), Failure> {
        self.nodes.insert(id, Node::open(id, engine)?);
        Ok(())
    }

    /// Adds the nodes 2 to 5 to the group of node 1. A snapshot is saved before each is added, so it joins behind that,
    /// and behind a log that begins there.
    pub(crate) fn grow(&mut self) -> Result<(), Failure> {
        self.write("the first")?;
        for id in 2..=5 {
            self.leader()?.save()?;
            let mut change = ConfChange { node_id: id, ..ConfChange::default() };
            change.set_change_type(ConfChangeType::AddNode);
            self.leader()?.raw.propose_conf_change(vec![], change)?;
            // The core takes the next change when it has applied this one.
            self.write(&format!("with {id}"))?;
        }
        let all = self.leader()?.texts.clone();
        self.until(|cluster| cluster.nodes.values().all(|node| node.texts == all))
    }

    /// Has a text committed.
    pub(crate) fn write(&mut self, text: &str) -> Result<(), Failure> {
        self.until(|cluster| cluster.nodes.values().any(Node::is_leader))?;
        self.leader()?.raw.propose(vec![], text.into())?;
        self.until(|cluster| cluster.leader().is_ok_and(|leader| leader.texts.iter().any(|known| known == text)))
    }

    fn leader(&mut self) -> Result<&mut Node, Failure> {
        Ok(self.nodes.values_mut().find(|node| node.is_leader()).ok_or("there is no leader")?)
    }

    /// Lets the cluster run until `condition` holds.
    pub(crate) fn until(&mut self, mut condition: impl FnMut(&mut Self) -> bool) -> Result<(), Failure> {
        for _ in 0..1000 {
            if condition(self) {
                return Ok(());
            }
            let mut mail = Vec::new();
            for node in self.nodes.values_mut() {
                node.raw.tick();
                while node.raw.has_ready() {
                    mail.extend(node.turn()?);
                }
            }
            mail.into_iter().try_for_each(|message| self.deliver(message))?;
        }
        Err("it does not come to that".into())
    }

    /// Brings a message to its node, a snapshot before the message that speaks of it.
    fn deliver(&mut self, message: Message) -> Result<(), Failure> {
        let Some([from, to]) = self.nodes_of(&message) else { return Ok(()) };
        if message.get_msg_type() == MessageType::MsgSnapshot {
            let shipped = ship(from.raw.store(), to.raw.store(), &message);
            // Whatever has become of it: the core goes on, and the group lets go of the file and of the log behind it.
            let status = if shipped.is_ok() { SnapshotStatus::Finish } else { SnapshotStatus::Failure };
            from.raw.report_snapshot(message.to, status);
            from.raw.store().sent(message.to);
            shipped?;
            self.sent += 1;
        }
        let Some([_, to]) = self.nodes_of(&message) else { return Ok(()) };
        // What the core refuses, as an answer to what it does not know of any more, is lost.
        drop(to.raw.step(message));
        Ok(())
    }

    /// Sender and receiver; `None` if one of them is not there.
    fn nodes_of(&mut self, message: &Message) -> Option<[&mut Node; 2]> {
        let mut found = self.nodes.iter_mut().filter(|(id, _)| [message.from, message.to].contains(id));
        let [one, other] = [found.next()?, found.next()?];
        Some(if *one.0 == message.from { [one.1, other.1] } else { [other.1, one.1] })
    }
}

/// Brings the file of a snapshot to the node that its message goes to.
fn ship(from: &Group, to: &Group, message: &Message) -> Result<(), Failure> {
    let snapshot: &Snapshot = message.get_snapshot();
    let mut receiver = match to.receive(snapshot, &Stop::new()) {
        // It has this one or a newer one: the core knows what to answer.
        Err(Error::Engine(logboom::Error::Snapshot(SnapshotError::Stale { .. }))) => return Ok(()),
        outcome => outcome?,
    };
    let lease = from.sending(message.to).ok_or("it is not sent any more")?;
    while let Some(at) = receiver.position() {
        receiver.accept(&lease.chunk(at)?)?;
    }
    to.received(receiver.finish()?);
    Ok(())
}
