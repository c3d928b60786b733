//! A node of the cluster: an engine on a simulated disk, several groups, one loop.

use std::{
    io::{Read, Write},
    sync::{Arc, Mutex},
};

use fastrand::Rng;
use logboom::{Engine, EntryId, ShardId, snapshot::Stop};
use logboom_raft_rs::{Error, Fetch, Group, Round, Saved, Writer};
use protobuf::Message as _;
use raft::{
    RawNode, Ready, SnapshotStatus, StateRole, Storage,
    eraftpb::{ConfChangeV2, ConfState, Entry, EntryType, Message, Snapshot},
};

use super::oracle::{Oracle, next_state};
use crate::support::{Machine, members};

/// What is done wrong, to see that it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    None,
    /// Messages leave, and the core is told, before anything is durable.
    AckEarly,
    /// Term and vote are put back to what they were before.
    HardStateDropped,
}

/// How the nodes of a history go about it.
#[derive(Clone)]
pub(crate) struct Habits {
    pub(crate) config: raft::Config,
    pub(crate) groups: u64,
    /// Of eight rounds, how many are written synchronously.
    pub(crate) synchronous: u8,
    /// Whether entries that are not in memory are fetched elsewhere.
    pub(crate) fetches: bool,
    /// Whether the commit index of a `LightReady` is saved, which nobody has to.
    pub(crate) saves_commits: bool,
    /// Of eight crashes that could be, how many are.
    pub(crate) trouble: u8,
    pub(crate) bug: Bug,
}

pub(crate) struct Peer {
    pub(crate) id: u64,
    pub(crate) machine: Machine,
    pub(crate) life: Option<Life>,
}

/// A node while it is switched on.
pub(crate) struct Life {
    id: u64,
    pub(crate) engine: Engine,
    writer: Writer,
    pub(crate) members: Vec<Member>,
    fetches: Arc<Mutex<Vec<Fetch>>>,
    saves_commits: bool,
    bug: Bug,
}

/// A group on a node.
pub(crate) struct Member {
    pub(crate) node: RawNode<Group>,
    pub(crate) applied: u64,
    pub(crate) state: u64,
}

pub(crate) type Outcome<T> = Result<T, Error>;
pub(crate) type Packets = Vec<(usize, Message)>;

impl Peer {
    pub(crate) fn new(id: u64, seed: u64, rng: &mut Rng) -> Self {
        let mut machine = Machine::new(seed.wrapping_mul(8).wrapping_add(id));
        machine.cache_bytes = if rng.bool() { 8 << 10 } else { 1 << 20 };
        Self { id, machine, life: None }
    }

    /// Opens the engine and its groups, which are created if they are not there.
    pub(crate) fn start(&mut self, habits: &Habits, oracles: &mut [Oracle]) -> Outcome<()> {
        let engine = self.machine.try_open()?;
        let fetches = Arc::<Mutex<Vec<Fetch>>>::default();
        let mut peers = Vec::new();
        for (number, oracle) in (0..habits.groups).zip(oracles) {
            let shard = ShardId(number);
            if engine.shard(shard).next().is_none() {
                Group::create(&engine, [shard], &members(&[1, 2, 3]), EntryId { index: 0, term: 0 })?;
            }
            peers.push(Member::open(self.id, &engine, shard, habits, &fetches, oracle)?);
        }
        let writer = Writer::new(&engine, || {});
        let (id, saves_commits, bug) = (self.id, habits.saves_commits, habits.bug);
        self.life = Some(Life { id, engine, writer, members: peers, fetches, saves_commits, bug });
        Ok(())
    }
}

impl Member {
    fn open(
        id: u64,
        engine: &Engine,
        shard: ShardId,
        habits: &Habits,
        fetches: &Arc<Mutex<Vec<Fetch>>>,
        oracle: &mut Oracle,
    ) -> Outcome<Self> {
        let (applied, state) = saved_state(engine, shard)?.unwrap_or((0, 0));
        let mut group = Group::open(engine, shard, applied)?;
        if habits.fetches {
            let fetches = Arc::clone(fetches);
            group = group.fetching(move |fetch| fetches.lock().unwrap().push(fetch));
        }
        let initial = group.initial_state().unwrap();
        oracle.reopened(id, &initial.hard_state, group.last_index().unwrap());
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let config = raft::Config { id, applied, ..habits.config.clone() };
        Ok(Self { node: RawNode::new(&config, group, &logger).unwrap(), applied, state })
    }

    pub(crate) fn is_leader(&self) -> bool {
        self.node.raft.state == StateRole::Leader
    }

    fn group(&self) -> Group {
        self.node.store().clone()
    }

    /// The machine recovers from the snapshot that the group has now.
    fn recover(&mut self) -> Outcome<()> {
        let group = self.group();
        let saved = saved_state(group.engine(), group.id())?;
        (self.applied, self.state) = saved.expect("a snapshot was installed");
        group.applied_to(self.applied)
    }
}

impl Life {
    /// Everything that a loop does in one turn: the `Ready`s of some groups in one round.
    pub(crate) fn turn(&mut self, rng: &mut Rng, habits: &Habits, oracles: &mut [Oracle]) -> Outcome<Packets> {
        let mut packets = Packets::new();
        let mut readys = Vec::new();
        for (at, member) in self.members.iter_mut().enumerate() {
            if member.node.has_ready() && rng.u8(..4) > 0 {
                let mut ready = member.node.ready();
                packets.extend(ready.take_messages().into_iter().map(|message| (at, message)));
                if self.bug == Bug::AckEarly {
                    packets.extend(ready.take_persisted_messages().into_iter().map(|message| (at, message)));
                }
                readys.push((at, ready));
            }
        }
        let mut round = Round::new();
        for (at, ready) in &mut readys {
            round.save(self.members[*at].node.store(), ready);
        }
        let before: Vec<_> = (0..).map(ShardId).take(self.members.len()).map(|id| self.hard_state(id)).collect();
        if rng.u8(..8) < habits.synchronous {
            let (saved, left_out) = self.writer.write(&mut round)?;
            left_out.into_result()?;
            self.forget(&readys, &before)?;
            packets.extend(self.persisted(oracles)?);
            for Saved { shard, messages, snapshot, .. } in saved {
                let at = index(shard);
                packets.extend(messages.into_iter().map(|message| (at, message)));
                self.load(at, snapshot, &mut oracles[at])?;
            }
            for (at, ready) in readys {
                packets.extend(self.advance(at, ready, &mut oracles[at])?);
            }
        } else {
            self.writer.submit(&mut round)?.into_result()?;
            self.forget(&readys, &before)?;
            for (at, ready) in readys {
                self.advance_async(at, ready, &mut oracles[at])?;
            }
            if rng.bool() {
                packets.extend(self.persisted(oracles)?);
            }
        }
        Ok(packets)
    }

    /// What is durable by now.
    pub(crate) fn persisted(&mut self, oracles: &mut [Oracle]) -> Outcome<Packets> {
        let mut packets = Packets::new();
        for Saved { shard, number, snapshot, messages, .. } in self.writer.persisted()? {
            let at = index(shard);
            packets.extend(messages.into_iter().map(|message| (at, message)));
            self.members[at].node.on_persist_ready(number);
            self.load(at, snapshot, &mut oracles[at])?;
            if let Some(index) = snapshot {
                self.members[at].node.advance_apply_to(index);
            }
        }
        Ok(packets)
    }

    /// The machine begins anew with a snapshot that is the group's now.
    fn load(&mut self, at: usize, snapshot: Option<u64>, oracle: &mut Oracle) -> Outcome<()> {
        if let Some(index) = snapshot {
            let member = &mut self.members[at];
            member.recover()?;
            assert_eq!(member.applied, index, "node {}: another snapshot", self.id);
            oracle.applied(self.id, index, member.state);
        }
        Ok(())
    }

    fn advance(&mut self, at: usize, mut ready: Ready, oracle: &mut Oracle) -> Outcome<Packets> {
        self.apply(at, ready.take_committed_entries(), oracle)?;
        let mut light = self.members[at].node.advance(ready);
        let packets = light.take_messages().into_iter().map(|message| (at, message)).collect();
        if self.saves_commits {
            let mut round = Round::new();
            round.commit(self.members[at].node.store(), &light);
            self.writer.submit(&mut round)?.into_result()?;
        }
        self.apply(at, light.take_committed_entries(), oracle)?;
        self.members[at].node.advance_apply();
        Ok(packets)
    }

    fn advance_async(&mut self, at: usize, mut ready: Ready, oracle: &mut Oracle) -> Outcome<()> {
        self.apply(at, ready.take_committed_entries(), oracle)?;
        let number = ready.number();
        let Member { node, applied, .. } = &mut self.members[at];
        node.advance_append_async(ready);
        node.advance_apply_to(*applied);
        if self.bug == Bug::AckEarly {
            node.on_persist_ready(number);
        }
        Ok(())
    }

    fn apply(&mut self, at: usize, entries: Vec<Entry>, oracle: &mut Oracle) -> Outcome<()> {
        for entry in entries {
            let member = &mut self.members[at];
            assert_eq!(entry.index, member.applied + 1, "node {}: applied out of order", self.id);
            member.state = next_state(member.state, &entry);
            member.applied = entry.index;
            oracle.applied(self.id, entry.index, member.state);
            if entry.get_entry_type() == EntryType::EntryConfChangeV2 {
                let change = ConfChangeV2::parse_from_bytes(&entry.data).unwrap();
                let conf_state: ConfState = member.node.apply_conf_change(&change).unwrap();
                let mut round = Round::new();
                round.conf_state(member.node.store(), entry.index, &conf_state);
                self.writer.submit(&mut round)?.into_result()?;
            }
        }
        let member = &self.members[at];
        if member.applied > 0 { member.group().applied_to(member.applied) } else { Ok(()) }
    }

    /// Saves the state of a group, registers the snapshot, or compacts behind one.
    pub(crate) fn keep_house(&mut self, at: usize, rng: &mut Rng) -> Outcome<bool> {
        let member = &self.members[at];
        let group = member.group();
        let newest = self.engine.snapshots().list(group.id()).last().map_or(0, |newest| newest.index);
        if rng.bool() && member.applied > newest {
            let spec = group.snapshot_spec(member.applied)?;
            let mut builder = self.engine.snapshots().build(spec, &Stop::new())?;
            let bytes = [member.applied.to_le_bytes(), member.state.to_le_bytes()].concat();
            let mut file = builder.file("state").map_err(logboom::Error::from)?;
            if file.write_all(&bytes).is_err() {
                return Ok(false);
            }
            drop(group.register(&builder.finish().map_err(logboom::Error::from)?)?);
            return Ok(true);
        }
        match group.compact_through(rng.u64(..=newest)) {
            Err(Error::Engine(logboom::Error::Leased { .. })) => Ok(false),
            outcome => outcome.map(|()| false),
        }
    }

    /// Runs what was to be fetched, and gives it to the core. Says how much there was.
    pub(crate) fn fetch(&mut self) -> Outcome<u64> {
        let fetches = std::mem::take(&mut *self.fetches.lock().unwrap());
        let count = fetches.len() as u64;
        for fetch in fetches {
            let at = index(fetch.shard());
            fetch.run().deliver(&mut self.members[at].node)?;
        }
        Ok(count)
    }

    /// Has the snapshot of a message before the message is taken. False where there is nothing to have.
    pub(crate) fn receive(&self, at: usize, snapshot: &Snapshot, from: &Self) -> Outcome<bool> {
        let (to, from) = (self.members[at].group(), from.members[at].group());
        let mut receiver = match to.receive(snapshot, &Stop::new()) {
            // The core will not want it either.
            Err(Error::Engine(logboom::Error::Snapshot(logboom::snapshot::Error::Stale { .. }))) => return Ok(true),
            outcome => outcome?,
        };
        let Some(lease) = from.sending(self.id) else { return Ok(false) };
        if lease.manifest().id != receiver.manifest().id {
            return Ok(false);
        }
        while let Some(position) = receiver.position() {
            let Ok(chunk) = lease.chunk(position) else { return Ok(false) };
            receiver.accept(&chunk).map_err(logboom::Error::from)?;
        }
        to.received(receiver.finish().map_err(logboom::Error::from)?);
        Ok(true)
    }

    /// A snapshot that was sent to `to` has arrived, or has not.
    pub(crate) fn report(&mut self, at: usize, to: u64, status: SnapshotStatus) {
        let member = &mut self.members[at];
        member.node.report_snapshot(to, status);
        member.group().sent(to);
    }

    fn hard_state(&self, shard: ShardId) -> Option<Vec<u8>> {
        self.engine.shard(shard).hard_state().unwrap().map(|state| state.to_vec())
    }

    fn forget(&self, readys: &[(usize, Ready)], before: &[Option<Vec<u8>>]) -> Outcome<()> {
        if self.bug != Bug::HardStateDropped {
            return Ok(());
        }
        let mut batch = self.engine.batch();
        for (at, _) in readys {
            if let Some(state) = &before[*at] {
                batch.hard_state(ShardId(*at as u64), state)?;
            }
        }
        if batch.is_empty() { Ok(()) } else { Ok(self.engine.write(batch)?) }
    }
}

fn index(shard: ShardId) -> usize {
    usize::try_from(shard.0).unwrap()
}

/// What the newest snapshot of a shard says: an index, and the state there.
fn saved_state(engine: &Engine, shard: ShardId) -> Outcome<Option<(u64, u64)>> {
    let Some(lease) = engine.snapshots().newest(shard)? else { return Ok(None) };
    let mut bytes = Vec::new();
    lease
        .open("state")
        .map_err(logboom::Error::from)?
        .read_to_end(&mut bytes)
        .map_err(|_| Error::Malformed { shard, what: "the snapshot cannot be read".into() })?;
    let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    Ok(Some((number(0), number(8))))
}
