//! Three nodes with several groups each, on disks that lose power and a network that loses, repeats and reorders:
//! after every step the properties of raft hold, and at the end everybody has everything that was committed.
//!
//! `LOGBOOM_SEED` runs one seed, `LOGBOOM_LONG=1` thirty times as many.

mod oracle;
mod peer;

use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
};

use fastrand::Rng;
use raft::{
    SnapshotStatus,
    eraftpb::{ConfChangeSingle, ConfChangeType, ConfChangeV2, Message, MessageType},
};

use crate::support::settle;
use oracle::Oracle;
use peer::{Bug, Habits, Life, Outcome, Packets, Peer};

const SEEDS: u64 = 120;
const STEPS: u64 = 4_000;
/// What a cluster that is left in peace needs at the very most.
const PEACE: u64 = 3_000;

#[test]
fn raft_is_safe_whatever_happens() {
    let is_long = std::env::var("LOGBOOM_LONG").is_ok_and(|value| value == "1");
    let seeds = match std::env::var("LOGBOOM_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (0..if is_long { 30 * SEEDS } else { SEEDS }).collect::<Vec<u64>>(),
    };
    let mut total = Counts::default();
    for &seed in &seeds {
        let counts = catch_unwind(|| History::new(seed, Bug::None).run());
        let Ok(counts) = counts else {
            panic!("repeat it with LOGBOOM_SEED={seed} cargo test -p logboom-raft-rs --test raft_rs raft_is_safe");
        };
        total.add(&counts);
    }
    println!("{total:?}");
    let Counts { crashes, halts, terms, committed, snapshots, installed, compactions, fetches, changes, .. } = total;
    let all = [crashes, halts, terms, committed, snapshots, installed, compactions, fetches, changes];
    assert!(seeds.len() == 1 || all.into_iter().all(|count| count > seeds.len() as u64 / 4), "{total:?}");
}

#[test]
fn a_seed_repeats_its_history() {
    let run = |seed| History::new(seed, Bug::None).run();
    assert_eq!(run(5), run(5));
    assert_ne!(run(5).trace, run(6).trace);
}

/// The simulation finds what it is for.
#[test]
fn what_is_done_wrong_is_found() {
    for bug in [Bug::AckEarly, Bug::HardStateDropped] {
        let found = (0..20).find(|&seed| catch_unwind(|| History::new(seed, bug).run()).is_err());
        assert!(found.is_some(), "{bug:?} is not found");
        println!("{bug:?} is found by seed {found:?}");
    }
}

/// What a history came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    crashes: u64,
    /// Crashes in the middle of an operation.
    halts: u64,
    terms: u64,
    committed: u64,
    snapshots: u64,
    installed: u64,
    compactions: u64,
    fetches: u64,
    changes: u64,
    /// Of everything that was sent.
    trace: u64,
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.crashes += other.crashes;
        self.halts += other.halts;
        self.terms += other.terms;
        self.committed += other.committed;
        self.snapshots += other.snapshots;
        self.installed += other.installed;
        self.compactions += other.compactions;
        self.fetches += other.fetches;
        self.changes += other.changes;
    }
}

/// A message on its way, in a group.
struct Packet {
    at: usize,
    message: Message,
}

struct History {
    rng: Rng,
    habits: Habits,
    peers: Vec<Peer>,
    network: Vec<Packet>,
    /// Pairs of nodes that do not hear each other.
    cuts: BTreeSet<(u64, u64)>,
    oracles: Vec<Oracle>,
    proposed: u64,
    counts: Counts,
}

impl History {
    fn new(seed: u64, bug: Bug) -> Self {
        let mut rng = Rng::with_seed(seed);
        let config = raft::Config {
            // A range of one: the core's own chance has nothing to choose, and the ticks are this history's.
            election_tick: 10,
            min_election_tick: 10,
            max_election_tick: 11,
            heartbeat_tick: 2,
            max_size_per_msg: rng.u64(..600),
            max_inflight_msgs: rng.usize(1..8),
            max_committed_size_per_ready: rng.u64(..2_000),
            check_quorum: rng.bool(),
            pre_vote: rng.bool(),
            ..raft::Config::default()
        };
        let groups = rng.u64(1..4);
        let habits = Habits {
            config,
            groups,
            synchronous: rng.u8(..=8),
            fetches: rng.bool(),
            saves_commits: rng.bool(),
            trouble: rng.u8(1..8),
            bug,
        };
        let peers = (1..=3).map(|id| Peer::new(id, seed, &mut rng)).collect();
        let oracles = (0..groups).map(|_| Oracle::default()).collect();
        Self {
            rng,
            habits,
            peers,
            network: Vec::new(),
            cuts: BTreeSet::new(),
            oracles,
            proposed: 0,
            counts: Counts::default(),
        }
    }

    fn run(mut self) -> Counts {
        for _ in 0..STEPS {
            let at = self.rng.usize(..self.peers.len());
            self.step(at);
        }
        self.come_to_rest();
        self.counts.terms = self.oracles.iter().map(|oracle| oracle.terms() as u64).sum();
        self.counts.committed = self.oracles.iter().map(Oracle::committed).sum();
        self.counts
    }

    /// Something happens at a node.
    fn step(&mut self, at: usize) {
        if self.peers[at].life.is_none() {
            if self.rng.u8(..20) == 0 {
                self.start(at);
            }
            return;
        }
        match self.rng.u16(..1000) {
            0..8 if self.rng.u8(..8) >= self.habits.trouble => {}
            0..4 => self.crash(at),
            4..8 => {
                let operations = self.rng.u64(1..60);
                self.peers[at].machine.disk.halt_after(operations);
            }
            8..13 => self.cut(),
            13..20 => self.change(at),
            20..40 => self.keep_house(at),
            40..120 => self.propose(at),
            120..140 => self.with(at, |history, life| {
                history.counts.fetches += life.fetch()?;
                Ok(Packets::new())
            }),
            140..190 => self.tick(at),
            190..450 => self.turn(at),
            450..600 => self.write(at),
            _ => (0..self.rng.u8(1..4)).for_each(|_| self.deliver()),
        }
    }

    fn keep_house(&mut self, at: usize) {
        self.with(at, |history, life| {
            let group = history.rng.usize(..life.members.len());
            match life.keep_house(group, &mut history.rng)? {
                true => history.counts.snapshots += 1,
                false => history.counts.compactions += 1,
            }
            Ok(Packets::new())
        });
    }

    fn tick(&mut self, at: usize) {
        self.with(at, |history, life| {
            let ticks = history.rng.u8(1..4);
            for member in &mut life.members {
                for _ in 0..ticks {
                    member.node.tick();
                }
            }
            Ok(Packets::new())
        });
    }

    fn turn(&mut self, at: usize) {
        self.with(at, |history, life| life.turn(&mut history.rng, &history.habits, &mut history.oracles));
    }

    /// The disk goes on for a while.
    fn write(&mut self, at: usize) {
        self.with(at, |history, life| {
            for _ in 0..history.rng.u8(1..20) {
                life.engine.drive_once();
            }
            life.persisted(&mut history.oracles)
        });
    }

    fn propose(&mut self, at: usize) {
        self.proposed += 1;
        let mut data = self.proposed.to_le_bytes().to_vec();
        data.resize(self.rng.usize(8..400), 7);
        self.with(at, |history, life| {
            let group = history.rng.usize(..life.members.len());
            if life.members[group].is_leader() {
                // Dropped where the leader may not take it: nobody was promised anything.
                drop(life.members[group].node.propose(vec![1, 2, 3], data));
            }
            Ok(Packets::new())
        });
    }

    /// A member becomes a learner, or a voter again, at times by way of a joint configuration.
    fn change(&mut self, at: usize) {
        let (id, to_learner, joint) = (self.rng.u64(1..=3), self.rng.bool(), self.rng.bool());
        self.with(at, |history, life| {
            let group = history.rng.usize(..life.members.len());
            let member = &mut life.members[group];
            let (is_self, voters) = (member.node.raft.id == id, member.node.raft.prs().conf().voters().ids().len());
            if member.is_leader() && !is_self && (!to_learner || voters == 3) {
                let kind = if to_learner { ConfChangeType::AddLearnerNode } else { ConfChangeType::AddNode };
                let mut one = ConfChangeSingle { node_id: id, ..ConfChangeSingle::default() };
                one.set_change_type(kind);
                let mut change = ConfChangeV2::default();
                change.set_changes(vec![one].into());
                if joint {
                    change.set_transition(raft::eraftpb::ConfChangeTransition::Implicit);
                }
                history.counts.changes += u64::from(member.node.propose_conf_change(vec![], change).is_ok());
            }
            Ok(Packets::new())
        });
    }

    /// Two nodes stop hearing each other, or all hear each other again.
    fn cut(&mut self) {
        if self.rng.bool() {
            let (one, other) = (self.rng.u64(1..=3), self.rng.u64(1..=3));
            self.cuts.extend([(one, other), (other, one)]);
        } else {
            self.cuts.clear();
        }
    }

    /// One of the messages arrives, is lost, or arrives and is still on its way.
    fn deliver(&mut self) {
        if self.network.is_empty() {
            return;
        }
        let number = self.rng.usize(..self.network.len());
        let fate = self.rng.u8(..20);
        let Packet { at, message } = self.network.swap_remove(number);
        let is_cut = self.cuts.contains(&(message.from, message.to));
        if fate == 0 || is_cut {
            return self.lose(at, &message);
        }
        if fate == 1 {
            self.network.push(Packet { at, message: message.clone() });
        }
        self.arrive(at, message);
    }

    fn lose(&mut self, at: usize, message: &Message) {
        if message.get_msg_type() == MessageType::MsgSnapshot {
            self.report(at, message, SnapshotStatus::Failure);
        }
    }

    fn report(&mut self, at: usize, message: &Message, status: SnapshotStatus) {
        self.with(index_of(message.from), |_, life| {
            life.report(at, message.to, status);
            Ok(Packets::new())
        });
    }

    fn arrive(&mut self, at: usize, message: Message) {
        let (to, from) = (index_of(message.to), index_of(message.from));
        if self.peers[to].life.is_none() {
            return self.lose(at, &message);
        }
        if message.get_msg_type() == MessageType::MsgSnapshot {
            let sender = self.peers[from].life.take();
            let mut has = false;
            self.with(to, |_, life| {
                has = match &sender {
                    Some(sender) => life.receive(at, message.get_snapshot(), sender)?,
                    None => false,
                };
                Ok(Packets::new())
            });
            self.peers[from].life = sender;
            let status = if has { SnapshotStatus::Finish } else { SnapshotStatus::Failure };
            self.report(at, &message, status);
            if !has {
                return;
            }
            self.counts.installed += 1;
        }
        self.with(to, |_, life| {
            // Those that the core does not want are as good as lost.
            drop(life.members[at].node.step(message));
            Ok(Packets::new())
        });
    }

    /// Does something at a node that runs, and looks at all that may have come of it. A halted disk ends the node.
    fn with(&mut self, at: usize, act: impl FnOnce(&mut Self, &mut Life) -> Outcome<Packets>) {
        let Some(mut life) = self.peers[at].life.take() else { return };
        let outcome = catch_unwind(AssertUnwindSafe(|| act(self, &mut life)));
        if self.peers[at].machine.disk.has_halted() {
            self.counts.halts += 1;
            self.end(at, life);
            return;
        }
        let packets = match outcome {
            Ok(outcome) => outcome.unwrap_or_else(|error| panic!("node {}: {error}", at + 1)),
            Err(panic) => std::panic::resume_unwind(panic),
        };
        for (group, message) in packets {
            self.oracles[group].hear(&message);
            self.note(&message);
            self.network.push(Packet { at: group, message });
        }
        self.look(at, &life);
        self.peers[at].life = Some(life);
        self.look_at_leaders();
    }

    fn note(&mut self, message: &Message) {
        let fields = [message.from, message.to, message.term, message.index, message.log_term, message.commit];
        for field in fields {
            self.counts.trace = (self.counts.trace ^ field).wrapping_mul(0x0000_0100_0000_01B3).rotate_left(9);
        }
    }

    fn look(&mut self, at: usize, life: &Life) {
        let disk = &self.peers[at].machine.disk;
        for (member, oracle) in life.members.iter().zip(&mut self.oracles) {
            let looked = catch_unwind(AssertUnwindSafe(|| oracle.look(at as u64 + 1, &member.node)));
            if let Err(panic) = looked
                && !disk.has_halted()
            {
                std::panic::resume_unwind(panic);
            }
        }
    }

    fn look_at_leaders(&self) {
        for (peer, life) in self.peers.iter().filter_map(|peer| Some((peer, peer.life.as_ref()?))) {
            for (member, oracle) in life.members.iter().zip(&self.oracles) {
                oracle.look_at_leader(peer.id, &member.node);
            }
        }
    }

    fn start(&mut self, at: usize) {
        let peer = &mut self.peers[at];
        if self.rng.u8(..6) == 0 {
            peer.machine.disk.halt_after(self.rng.u64(1..80));
        }
        match peer.start(&self.habits, &mut self.oracles) {
            Ok(()) => {}
            Err(_) if peer.machine.disk.has_halted() => {
                self.counts.halts += 1;
                peer.machine.power_cut();
            }
            Err(error) => panic!("node {} does not open: {error}", at + 1),
        }
    }

    fn crash(&mut self, at: usize) {
        if let Some(life) = self.peers[at].life.take() {
            self.counts.crashes += 1;
            self.end(at, life);
        }
    }

    /// The power goes, or the process: first that, or dropping the engine would close it properly.
    fn end(&mut self, at: usize, life: Life) {
        let machine = &mut self.peers[at].machine;
        machine.disk = if self.rng.u8(..4) == 0 { machine.disk.process_crash() } else { machine.disk.power_cut() };
        drop(life);
    }

    /// Everything works from now on, until all nodes have applied all that is committed, and something new.
    fn come_to_rest(&mut self) {
        self.cuts.clear();
        for at in 0..self.peers.len() {
            self.crash(at);
            self.peers[at].machine.disk.halt_after(u64::MAX);
            self.peers[at].start(&self.habits, &mut self.oracles).unwrap();
        }
        self.network.clear();
        let committed: Vec<u64> = self.oracles.iter().map(Oracle::committed).collect();
        for _ in 0..PEACE {
            for at in 0..self.peers.len() {
                self.live(at);
            }
            if self.is_at_rest(&committed) {
                return;
            }
        }
        panic!("no progress: {committed:?} was committed, {:?}", self.standing());
    }

    fn live(&mut self, at: usize) {
        if self.rng.u8(..3) == 0 {
            self.tick(at);
        }
        self.propose(at);
        self.turn(at);
        self.with(at, |history, life| {
            settle(&life.engine);
            life.fetch()?;
            life.persisted(&mut history.oracles)
        });
        if self.rng.u8(..8) == 0 {
            self.keep_house(at);
        }
        for Packet { at, message } in std::mem::take(&mut self.network) {
            self.arrive(at, message);
        }
    }

    fn is_at_rest(&self, committed: &[u64]) -> bool {
        let standing = self.standing();
        let applied = |group: usize| standing.iter().map(move |node| node.get(group).copied().unwrap_or(0));
        committed.iter().enumerate().all(|(group, committed)| applied(group).all(|applied| applied > *committed))
    }

    /// What each node has applied, group by group.
    fn standing(&self) -> Vec<Vec<u64>> {
        let of = |peer: &Peer| peer.life.iter().flat_map(|life| &life.members).map(|member| member.applied).collect();
        self.peers.iter().map(of).collect()
    }
}

fn index_of(id: u64) -> usize {
    usize::try_from(id).unwrap() - 1
}
