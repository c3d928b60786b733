//! A key-value store on two nodes without a raft core: what the leader writes is committed. It is saved, compacted,
//! closed and opened again, and the follower catches up by log and by snapshot.
//!
//!     cargo run -p logboom-rsm --example two_nodes
//!
//! With a raft core, processes that are killed, and members that come and go: `logboom-kvstore`.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::{error::Error, path::Path};

use logboom::{Config, Engine, Entry, EntryId, ShardId, snapshot::Stop};
use logboom_rsm::{CatchUp, Driver, Options, SnapshotPolicy};

mod kv;
use kv::Kv;

const SHARD: ShardId = ShardId(1);
const FOLLOWER: u64 = 2;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut leader = Node::start(&dir.path().join("leader"))?;
    let mut follower = Node::start(&dir.path().join("follower"))?;

    for n in 0..500 {
        leader.put(&format!("key {}", n % 10), &format!("value {n}"))?;
    }
    println!("the leader has {}", leader.shown());
    follower.catch_up_with(&mut leader)?;

    leader.driver.follow(FOLLOWER, follower.next());
    for n in 500..800 {
        leader.put(&format!("key {}", n % 10), &format!("value {n}"))?;
    }
    println!("the leader keeps the log for its follower: {}", leader.shown());
    follower.catch_up_with(&mut leader)?;

    let leader = leader.restart()?;
    println!("the leader was closed and opened again: {}", leader.shown());
    assert_eq!(leader.driver.reader().lookup("key 9")?, Some("value 799".into()));
    assert_eq!(leader.driver.reader().lookup("key 9")?, follower.driver.reader().lookup("key 9")?);
    Ok(())
}

struct Node {
    config: Config,
    engine: Engine,
    driver: Driver<Kv>,
}

impl Node {
    fn start(dir: &Path) -> Result<Self> {
        let mut config = Config::new(dir);
        config.segment_bytes = 1 << 20;
        Self::open(config)
    }

    fn open(config: Config) -> Result<Self> {
        let engine = Engine::open(config.clone())?;
        // A snapshot when more than 99 entries were applied behind the last one.
        let mut policy = SnapshotPolicy::default();
        policy.every_entries = Some(99);
        policy.keep_entries = 10;
        let mut options = Options::default();
        options.policy = policy;
        // The newest snapshot first; then the hard state, which says what of the log is committed; then that. The
        // members would be a raft core's to say, to `Driver::set_membership`: here there is none, and they are as they
        // were at the beginning, so snapshots have no word of them.
        let (mut driver, recovered) = Driver::concurrent(&engine, SHARD, Kv::default(), options)?;
        if let Some(commit) = recovered.hard_state {
            driver.commit(u64::from_le_bytes(commit[..].try_into()?));
        }
        while driver.apply()?.is_some() {}
        Ok(Self { config, engine, driver })
    }

    fn restart(self) -> Result<Self> {
        let Self { config, engine, driver } = self;
        driver.close()?;
        engine.close()?;
        Self::open(config)
    }

    fn next(&self) -> u64 {
        self.driver.shard().next().unwrap_or(1)
    }

    fn put(&mut self, key: &str, value: &str) -> Result<()> {
        self.take([(self.next(), 1, Kv::put(key, value))])
    }

    /// Appends entries that the group agrees on, and applies them. A raft core's loop does the same, with its messages
    /// in between.
    fn take(&mut self, entries: impl IntoIterator<Item = (u64, u64, Vec<u8>)>) -> Result<()> {
        let mut batch = self.engine.batch();
        let mut last = 0;
        for (index, term, payload) in entries {
            batch.append(SHARD, Entry::new(EntryId { index, term }, payload))?;
            last = index;
        }
        batch.hard_state(SHARD, &last.to_le_bytes())?;
        self.engine.write(batch)?;
        self.driver.commit(last);
        while self.driver.apply()?.is_some() {}
        if let Some(job) = self.driver.upkeep()?.job {
            self.driver.finish(job.run())?;
        }
        Ok(())
    }

    /// What the leader's and the follower's connection do: entries while the log has them, a snapshot otherwise.
    fn catch_up_with(&mut self, leader: &mut Node) -> Result<()> {
        while self.next() < leader.next() {
            match leader.driver.catch_up(self.next(), 1 << 20)? {
                CatchUp::Entries(entries) => {
                    println!("the follower is sent {} entries from {} on", entries.len(), entries.first().unwrap_or(0));
                    self.take(entries.iter().map(|entry| (entry.index, entry.term, entry.payload.to_vec())))?;
                }
                CatchUp::Snapshot(lease) => {
                    println!("the follower is sent the snapshot of entry {}", lease.manifest().index);
                    let mut receiver = self.driver.receive(&lease.manifest_bytes(), &Stop::new())?;
                    for chunk in lease.chunks(receiver.position())? {
                        receiver.accept(&chunk?)?;
                    }
                    let built = receiver.finish()?;
                    self.driver.install(&built, Some(&built.manifest().index.to_le_bytes()))?;
                    // Before the lease goes: the log behind the snapshot stays for the follower.
                    leader.driver.follow(FOLLOWER, self.next());
                }
                _ => leader.driver.request_snapshot(),
            }
        }
        Ok(())
    }

    fn shown(&self) -> String {
        let bounds = self.driver.shard().bounds();
        let (first, last) = (bounds.first.unwrap_or(0), bounds.last.unwrap_or(0));
        let saved = self.driver.saved().unwrap_or(0);
        format!("entries {first} to {last}, a snapshot of {saved}, {:?} applied", self.driver.applied().unwrap_or(0))
    }
}
