//! A node on a simulated machine: an engine, a group, and raft-rs on it.

use std::{io::ErrorKind, sync::Arc};

use bytes::Bytes;
use logboom::{
    Config, Engine, EntryId, ManualClock, Runtime, ShardId,
    disk::{Fault, FaultKind, SimDisk, SimOptions},
    snapshot::{Built, Stop},
};
use logboom_raft_rs::{Group, Round, Saved, Writer};
use raft::{
    LightReady, RawNode, Ready, StateRole,
    eraftpb::{ConfState, Entry, HardState, Message, MessageType, Snapshot},
};

pub(crate) const SHARD: ShardId = ShardId(7);

/// A machine whose disk goes on over crashes.
pub(crate) struct Machine {
    pub(crate) disk: Arc<SimDisk>,
    clock: Arc<ManualClock>,
    pub(crate) cache_bytes: u64,
}

impl Machine {
    pub(crate) fn new(seed: u64) -> Self {
        let disk = SimDisk::new(seed, SimOptions::default());
        Self { disk, clock: ManualClock::new(seed), cache_bytes: 1 << 20 }
    }

    pub(crate) fn try_open(&self) -> logboom::Result<Engine> {
        let mut config = Config::new("simulated");
        config.segment_bytes = 256 << 10;
        config.reserve_segments = 0;
        config.cache_bytes = self.cache_bytes;
        // What is not in the cache is read from the disk, and fails when that does.
        config.read_ahead_bytes = 0;
        Engine::open_on(Arc::clone(&self.disk) as _, config, Runtime::Manual(Arc::clone(&self.clock) as _))
    }

    pub(crate) fn open(&self) -> Engine {
        self.try_open().unwrap()
    }

    /// Every read of the disk fails from now on.
    pub(crate) fn fail_reads(&self) {
        self.disk.inject(Fault::error(FaultKind::Read, ErrorKind::Other).sticky());
    }

    pub(crate) fn power_cut(&mut self) {
        self.disk = self.disk.power_cut();
    }
}

/// Lets the background come to rest.
pub(crate) fn settle(engine: &Engine) {
    for _ in 0..10_000 {
        if !engine.drive_once() {
            return;
        }
    }
    panic!("the background does not come to rest");
}

pub(crate) fn entry(index: u64, term: u64) -> Entry {
    Entry { index, term, ..Entry::default() }
}

pub(crate) fn entry_with(index: u64, term: u64, data: impl Into<Bytes>) -> Entry {
    Entry { index, term, data: data.into(), ..Entry::default() }
}

pub(crate) fn members(voters: &[u64]) -> ConfState {
    ConfState::from((voters.to_vec(), vec![]))
}

/// A new engine with a group of the members 1, 2 and 3, whose log begins behind `boundary` with `entries`.
pub(crate) fn group_of(boundary: (u64, u64), entries: &[Entry]) -> Group {
    group_of_members(&[1, 2, 3], boundary, entries)
}

/// A new engine with a group, whose log begins behind `boundary` with `entries`.
pub(crate) fn group_of_members(voters: &[u64], boundary: (u64, u64), entries: &[Entry]) -> Group {
    let engine = Machine::new(1).open();
    let (index, term) = boundary;
    Group::create(&engine, [SHARD], &members(voters), EntryId { index, term }).unwrap();
    if let Some(last) = entries.last() {
        let mut batch = engine.batch();
        for entry in entries {
            batch.append_payload(SHARD, EntryId { index: entry.index, term: entry.term }, &entry.data[..]).unwrap();
        }
        let mut state = [0; 24];
        state[..8].copy_from_slice(&last.term.to_le_bytes());
        state[16..].copy_from_slice(&index.to_le_bytes());
        batch.hard_state(SHARD, &state).unwrap();
        engine.write(batch).unwrap();
    }
    Group::open(&engine, SHARD, index).unwrap()
}

/// A node, with what saves for it.
pub(crate) struct Node {
    pub(crate) raw: RawNode<Group>,
    pub(crate) writer: Writer,
}

impl Node {
    pub(crate) fn new(id: u64, group: Group, applied: u64) -> Self {
        Self::with(group, &raft::Config { id, applied, ..raft::Config::default() })
    }

    pub(crate) fn with(group: Group, config: &raft::Config) -> Self {
        let writer = Writer::new(group.engine(), || {});
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        Self { raw: RawNode::new(config, group, &logger).unwrap(), writer }
    }

    /// A follower of the members 1, 2 and 3, with the next write or sync of its disk about to fail.
    pub(crate) fn on_failing_disk() -> Self {
        let machine = Machine::new(4);
        let engine = machine.open();
        Group::create(&engine, [SHARD], &members(&[1, 2, 3]), EntryId { index: 1, term: 1 }).unwrap();
        settle(&engine);
        for kind in [FaultKind::Write, FaultKind::Sync] {
            machine.disk.inject(Fault::error(kind, ErrorKind::Other).sticky());
        }
        Self::new(1, Group::open(&engine, SHARD, 1).unwrap(), 1)
    }

    pub(crate) fn group(&self) -> Group {
        self.raw.store().clone()
    }

    pub(crate) fn is_leader(&self) -> bool {
        self.raw.raft.state == StateRole::Leader
    }

    /// Puts a `Ready` into the log, and into the core's account.
    pub(crate) fn submit(&mut self, mut ready: Ready) {
        let group = self.group();
        let mut round = Round::new();
        round.save(&group, &mut ready);
        assert!(self.writer.submit(&mut round).unwrap().is_empty());
        self.raw.advance_append_async(ready);
    }

    /// Writes a `Ready`, and has the core advance.
    pub(crate) fn append(&mut self, mut ready: Ready) -> LightReady {
        let group = self.group();
        let mut round = Round::new();
        round.save(&group, &mut ready);
        assert_eq!(self.writer.write(&mut round).unwrap().0.len(), 1);
        self.raw.advance_append(ready)
    }

    /// [`Node::append`], with everything applied.
    pub(crate) fn write(&mut self, ready: Ready) -> LightReady {
        let light = self.append(ready);
        self.raw.advance_apply();
        light
    }

    /// Lets the disk come to rest, and tells the core what it has.
    pub(crate) fn persist(&mut self) -> Vec<Saved> {
        settle(self.group().engine());
        let saved = self.writer.persisted().unwrap();
        for one in &saved {
            self.raw.on_persist_ready(one.number);
        }
        saved
    }

    /// Handles everything that there is to handle, the synchronous way. Gives the messages.
    pub(crate) fn run(&mut self) -> Vec<Message> {
        let group = self.group();
        let mut messages = Vec::new();
        while self.raw.has_ready() {
            let mut ready = self.raw.ready();
            messages.extend(ready.take_messages());
            let mut round = Round::new();
            round.save(&group, &mut ready);
            messages.extend(self.writer.write(&mut round).unwrap().0.into_iter().flat_map(|saved| saved.messages));
            let mut light = self.raw.advance(ready);
            messages.extend(light.take_messages());
            let mut round = Round::new();
            round.commit(&group, &light);
            assert!(self.writer.write(&mut round).unwrap().0.is_empty());
            self.raw.advance_apply();
        }
        messages
    }
}

/// The message of a leader with entries behind `(index, log_term)`.
pub(crate) fn append(from: u64, term: u64, behind: (u64, u64), commit: u64, entries: Vec<Entry>) -> Message {
    let mut message = Message { commit, ..message(MessageType::MsgAppend, from, term) };
    (message.index, message.log_term) = behind;
    message.set_entries(entries.into());
    message
}

pub(crate) fn message(kind: MessageType, from: u64, term: u64) -> Message {
    let mut message = Message { from, term, ..Message::default() };
    message.set_msg_type(kind);
    message
}

pub(crate) fn snapshot_message(from: u64, term: u64, snapshot: &Snapshot) -> Message {
    let mut message = message(MessageType::MsgSnapshot, from, term);
    message.set_snapshot(snapshot.clone());
    message
}

pub(crate) fn hard_state(term: u64, vote: u64, commit: u64) -> HardState {
    HardState { term, vote, commit, ..HardState::default() }
}

/// A snapshot of the shard, built on an engine of its own, and its message.
pub(crate) fn foreign_snapshot(index: u64, term: u64, voters: &[u64], bytes: &[u8]) -> (Group, Snapshot) {
    let engine = Machine::new(index).open();
    Group::create(&engine, [SHARD], &members(voters), EntryId { index, term }).unwrap();
    let group = Group::open(&engine, SHARD, index).unwrap();
    drop(group.register(&build(&group, index, bytes)).unwrap());
    let snapshot = raft::Storage::snapshot(&group, 0, 1).unwrap();
    (group, snapshot)
}

pub(crate) fn build(group: &Group, index: u64, bytes: &[u8]) -> Built {
    use std::io::Write;
    let spec = group.snapshot_spec(index).unwrap();
    let mut builder = group.engine().snapshots().build(spec, &Stop::new()).unwrap();
    builder.file("state").unwrap().write_all(bytes).unwrap();
    builder.finish().unwrap()
}

/// Ships the snapshot that `from` sends to the follower 1.
pub(crate) fn ship(from: &Group, snapshot: &Snapshot, to: &Group) {
    let mut receiver = to.receive(snapshot, &Stop::new()).unwrap();
    let lease = from.sending(1).unwrap();
    while let Some(at) = receiver.position() {
        receiver.accept(&lease.chunk(at).unwrap()).unwrap();
    }
    to.received(receiver.finish().unwrap());
}
