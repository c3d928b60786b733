//! Two nodes with key-value stores, fed by hand: what etcd's raftexample does behind its raft.

use bytes::Bytes;
use logboom::{Engine, Entry, EntryId, snapshot::Stop};
use logboom_rsm::{CatchUp, Driver, Error, Options, ReadObjects, SnapshotPolicy};

use crate::{
    kv::Kv,
    world::{SHARD, World, apply_all, receive_all, settle, small_policy, upkeep},
};

/// A node: its machine, and what runs on it.
struct Node {
    world: World,
    engine: Engine,
    driver: Driver<Kv>,
    policy: SnapshotPolicy,
}

const FOLLOWER: u64 = 2;

impl Node {
    fn start(world: World, policy: SnapshotPolicy) -> Self {
        let engine = world.open().unwrap();
        let mut options = Options::default();
        options.policy = policy.clone();
        let (mut driver, recovered) = Driver::concurrent(&engine, SHARD, Kv::default(), options).unwrap();
        // The newest snapshot was recovered from; then the hard state says how much of the log is committed.
        if let Some(state) = recovered.hard_state {
            driver.commit(commit_of(&state));
        }
        apply_all(&mut driver).unwrap();
        Self { world, engine, driver, policy }
    }

    /// Loses power, and is switched on again.
    fn restart(self) -> Self {
        let Self { mut world, engine, driver, policy } = self;
        drop((driver, engine));
        world.power_cut();
        Self::start(world, policy)
    }

    fn next(&self) -> u64 {
        self.engine.shard(SHARD).next().unwrap_or(1)
    }

    /// Writes a key as the leader of a group of which everybody agrees at once.
    fn put(&mut self, key: &str, value: &str) {
        let index = self.next();
        self.take([(index, 1, Kv::put(key, value))]);
    }

    /// Appends committed entries with the hard state in one batch, and applies them.
    fn take(&mut self, entries: impl IntoIterator<Item = (u64, u64, Vec<u8>)>) {
        let mut batch = self.engine.batch();
        let mut last = 0;
        for (index, term, payload) in entries {
            batch.append(SHARD, Entry::new(EntryId { index, term }, payload)).unwrap();
            last = index;
        }
        batch.hard_state(SHARD, &hard_state(last)).unwrap();
        self.engine.write(batch).unwrap();
        self.driver.commit(last);
        apply_all(&mut self.driver).unwrap();
        upkeep(&mut self.driver).unwrap();
        settle(&self.engine);
    }

    fn get(&self, key: &str) -> Option<String> {
        self.driver.reader().lookup(key).unwrap()
    }

    /// Sends the follower what it needs, once; says whether that was a snapshot. `meanwhile` happens on the leader
    /// between any two chunks of it.
    fn send_to(&mut self, follower: &mut Node, mut meanwhile: impl FnMut(&mut Node)) -> bool {
        match self.driver.catch_up(follower.next(), 200).unwrap() {
            CatchUp::Entries(entries) => {
                follower.take(entries.iter().map(|entry| (entry.index, entry.term, entry.payload.to_vec())));
                self.driver.follow(FOLLOWER, follower.next());
                false
            }
            CatchUp::Snapshot(lease) => {
                let mut receiver = follower.driver.receive(&lease.manifest_bytes(), &Stop::new()).unwrap();
                while let Some(at) = receiver.position() {
                    receiver.accept(&lease.chunk(at).unwrap()).unwrap();
                    meanwhile(self);
                }
                let built = receiver.finish().unwrap();
                follower.driver.install(&built, Some(&hard_state(built.manifest().index))).unwrap();
                self.driver.follow(FOLLOWER, follower.next());
                true
            }
            other => panic!("{other:?}"),
        }
    }

    fn check_same(&self, other: &Node) {
        assert_eq!(self.driver.applied(), other.driver.applied());
        for key in 0..50 {
            let key = format!("key {key}");
            assert_eq!(self.get(&key), other.get(&key), "{key}");
        }
    }
}

fn hard_state(commit: u64) -> Bytes {
    Bytes::copy_from_slice(&commit.to_le_bytes())
}

fn commit_of(state: &[u8]) -> u64 {
    u64::from_le_bytes(state.try_into().unwrap())
}

fn fill(leader: &mut Node, count: u64) {
    for n in 0..count {
        let index = leader.next();
        leader.put(&format!("key {}", (index + n) % 50), &format!("value {index}"));
    }
}

fn catch_up(leader: &mut Node, follower: &mut Node) -> usize {
    let mut snapshots = 0;
    while follower.next() < leader.next() {
        snapshots += usize::from(leader.send_to(follower, |_| {}));
    }
    snapshots
}

/// raftexample's `TestPutAndGetKeyValue` and `TestSnapshot`, with the power cut in between.
#[test]
fn write_snapshot_compact_kill_restart() {
    for seed in 0..10 {
        let mut leader = Node::start(World::new(seed), small_policy());
        leader.put("hello", "world");
        assert_eq!(leader.get("hello").as_deref(), Some("world"));
        fill(&mut leader, 70);
        let shard = leader.engine.shard(SHARD);
        assert_eq!((leader.driver.saved(), shard.first(), shard.last()), (Some(60), Some(56), Some(71)));
        let leader = leader.restart();
        assert_eq!(leader.driver.applied(), Some(71));
        assert_eq!(leader.get("hello").as_deref(), Some("world"));
        let leader = leader.restart();
        assert_eq!(leader.get("hello").as_deref(), Some("world"));
    }
}

/// What counts is what was applied since the last snapshot, and not since the last start.
#[test]
fn a_node_that_restarts_all_the_time_still_compacts() {
    let mut node = Node::start(World::new(7), small_policy());
    for _ in 0..20 {
        fill(&mut node, 7);
        node = node.restart();
    }
    assert_eq!(node.driver.applied(), Some(140));
    assert!(node.driver.saved() >= Some(120), "{:?}", node.driver);
    assert!(node.engine.shard(SHARD).first() > Some(100), "{:?}", node.driver);
}

#[test]
fn a_follower_catches_up_by_log() {
    let mut leader = Node::start(World::new(1), small_policy());
    let mut follower = Node::start(World::new(2), small_policy());
    leader.driver.follow(FOLLOWER, 1);
    fill(&mut leader, 100);
    assert_eq!(leader.engine.shard(SHARD).first(), Some(1), "held for it");
    assert_eq!(catch_up(&mut leader, &mut follower), 0);
    leader.check_same(&follower);
    leader.driver.upkeep().unwrap();
    assert_eq!(leader.engine.shard(SHARD).first(), Some(96), "it has come further");
}

#[test]
fn a_follower_catches_up_by_snapshot_and_survives_a_power_cut() {
    for seed in 0..10 {
        let mut leader = Node::start(World::new(seed), small_policy());
        let mut follower = Node::start(World::new(100 + seed), small_policy());
        fill(&mut leader, 10);
        catch_up(&mut leader, &mut follower);
        leader.driver.unfollow(FOLLOWER);
        fill(&mut leader, 100);
        assert_eq!(catch_up(&mut leader, &mut follower), 1);
        leader.check_same(&follower);
        let follower = follower.restart();
        leader.check_same(&follower);
        assert_eq!(follower.engine.shard(SHARD).boundary().unwrap().index, 100);
    }
}

/// Snapshots replace each other faster than one of them is sent. The follower finishes the one that it began with, and
/// finds the log behind it.
#[test]
fn a_follower_finishes_although_its_snapshot_is_replaced_all_the_time() {
    let mut leader = Node::start(World::new(1), small_policy());
    let big = "x".repeat(40_000);
    for key in 0..120 {
        leader.put(&format!("big {key}"), &big);
    }
    fill(&mut leader, 40);
    let mut follower = Node::start(World::new(2), small_policy());
    let began_with = leader.driver.saved().unwrap();
    let mut replaced = 0;
    let was_snapshot = leader.send_to(&mut follower, |leader| {
        let before = leader.driver.saved();
        fill(leader, 30);
        assert!(leader.driver.saved() > before, "no new snapshot");
        replaced += 1;
    });
    assert!(was_snapshot && replaced >= 8, "replaced {replaced} times");
    assert_eq!(follower.driver.applied(), Some(began_with));
    assert!(leader.driver.saved().unwrap() > began_with + 200);
    assert_eq!(catch_up(&mut leader, &mut follower), 0, "the log behind it was kept");
    leader.check_same(&follower);
    assert_eq!(follower.get("big 7").unwrap(), big);
    leader.driver.upkeep().unwrap();
    settle(&leader.engine);
    assert_eq!(leader.world.snapshot_files(), 1, "what was replaced has gone");
}

/// A crash of the follower at every operation of its disk while a snapshot is received and installed.
#[test]
fn a_crash_anywhere_in_an_installation_leaves_the_old_or_the_new() {
    let (mut old, mut new) = (0, 0);
    for n in 1..300 {
        let mut leader = Node::start(World::new(n), small_policy());
        let mut follower = Node::start(World::new(1000 + n), small_policy());
        fill(&mut leader, 4);
        catch_up(&mut leader, &mut follower);
        leader.driver.unfollow(FOLLOWER);
        fill(&mut leader, 40);
        let CatchUp::Snapshot(lease) = leader.driver.catch_up(follower.next(), 1).unwrap() else { panic!() };
        follower.world.disk.halt_after(n);
        let installed = (|| {
            let mut receiver = follower.driver.receive(&lease.manifest_bytes(), &Stop::new())?;
            while let Some(at) = receiver.position() {
                receiver.accept(&lease.chunk(at)?)?;
            }
            follower.driver.install(&receiver.finish()?, Some(&hard_state(40)))
        })();
        drop(lease);
        let finished = !follower.world.disk.has_halted();
        assert!(!finished || installed.is_ok(), "{installed:?}");
        let mut follower = follower.restart();
        match follower.driver.applied() {
            Some(4) => old += 1,
            Some(40) => new += 1,
            other => panic!("halted at {n}: {other:?}"),
        }
        assert!(installed.is_err() || follower.driver.applied() == Some(40), "halted at {n}");
        catch_up(&mut leader, &mut follower);
        leader.check_same(&follower);
        if finished {
            break;
        }
    }
    assert!(old > 3 && new > 0, "{old} times the old, {new} times the new");
}

#[test]
fn a_transfer_takes_what_it_wants_or_begins_anew() {
    let mut leader = Node::start(World::new(5), small_policy());
    let mut follower = Node::start(World::new(6), small_policy());
    fill(&mut leader, 60);
    let mut objects = leader.driver.read_objects(100).unwrap().unwrap().objects;
    let mut read = |id| objects.read_object(id).unwrap();
    let mut transfer = follower.driver.receive_objects().unwrap();
    assert!(matches!(transfer.receive(&read(1)), Err(Error::Object { wanted: Some(0), got: Some(1) })));
    transfer.receive(&read(0)).unwrap();
    transfer.receive(&read(1)).unwrap();
    assert!(matches!(transfer.receive(&read(1)), Err(Error::Object { wanted: Some(2), got: Some(1) })));
    transfer.receive(&read(0)).unwrap();
    assert_eq!(transfer.wanted(), Some(1));
    let at = EntryId { index: 60, term: 1 };
    let early = follower.driver.install_objects(transfer, at, Bytes::new(), None).unwrap_err();
    assert!(matches!(early, Error::Object { wanted: Some(1), got: None }), "{early}");
    leader.driver.follow(FOLLOWER, 1);
    follower.take([(1, 1, Kv::put("it", "goes on"))]);
    assert_eq!(follower.get("it").as_deref(), Some("goes on"));
}

#[test]
fn a_follower_catches_up_by_objects() {
    let mut leader = Node::start(World::new(3), small_policy());
    let mut follower = Node::start(World::new(4), small_policy());
    fill(&mut leader, 110);
    let mut stream = leader.driver.read_objects(64).unwrap().unwrap();
    leader.driver.follow(FOLLOWER, stream.at.index + 1);
    fill(&mut leader, 10);
    let transfer = receive_all(&follower.driver, &mut stream);
    follower.driver.install_objects(transfer, stream.at, stream.membership, Some(&hard_state(110))).unwrap();
    assert_eq!(follower.driver.applied(), Some(110));
    let mut follower = follower.restart();
    assert_eq!(follower.driver.applied(), Some(110));
    assert_eq!(catch_up(&mut leader, &mut follower), 0);
    leader.check_same(&follower);
}
