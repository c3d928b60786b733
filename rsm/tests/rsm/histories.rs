//! Random histories of a node, with power cuts anywhere, beside the state that the entries make.

use std::sync::{Arc, Mutex};

use logboom::{Engine, snapshot::Lease};
use logboom_rsm::{Driver, Error, Options, SaveJob, Saved, SnapshotPolicy};

use crate::{
    driver::check_state,
    model::{Disk, Model},
    world::{SHARD, World, append, apply_all, settle},
};

/// How the machine is saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Blocking,
    Concurrent,
    OnDisk,
}

/// A node while it is switched on.
struct Running {
    engine: Engine,
    driver: Driver<Model>,
    job: Option<SaveJob<Model>>,
    saved: Option<Saved>,
    leases: Vec<Lease>,
    /// What was acknowledged as durable.
    durable: u64,
}

const ROUNDS: u64 = 120;

#[test]
fn every_kind_of_machine_survives_its_histories() {
    let (rounds, first) = match std::env::var("LOGBOOM_SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => (1, seed),
        None => (if std::env::var_os("LOGBOOM_LONG").is_some() { 100 * ROUNDS } else { ROUNDS }, 0),
    };
    let mut seen = Seen::default();
    for seed in first..first + rounds {
        for kind in [Kind::Blocking, Kind::Concurrent, Kind::OnDisk] {
            history(kind, seed, &mut seen);
        }
    }
    let Seen { halts, snapshots, recoveries, compactions } = seen;
    let often = rounds / 4;
    assert!(rounds == 1 || halts.min(snapshots).min(recoveries).min(compactions) > often, "{seen:?}");
}

/// What came about, so that a history in which nothing does is noticed.
#[derive(Debug, Default)]
struct Seen {
    halts: u64,
    snapshots: u64,
    recoveries: u64,
    compactions: u64,
}

fn history(kind: Kind, seed: u64, seen: &mut Seen) {
    let what = format!("{kind:?}, LOGBOOM_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut world = World::new(seed);
    let mut kept = Arc::<Mutex<Disk>>::default();
    let mut policy = SnapshotPolicy::default();
    policy.every_entries = Some(random.u64(1..30));
    policy.keep_entries = random.u64(0..20);
    policy.compact_entries_min = random.u64(1..5);
    policy.log_bytes_max = random.bool().then(|| random.u64(0..1000));
    let mut durable = 0;
    for _ in 0..random.u8(1..6) {
        let machine = Model::on_disk(None, Arc::clone(&kept));
        let mut options = Options::default();
        options.policy = policy.clone();
        let engine = world.open().unwrap_or_else(|error| panic!("{what}: {error}"));
        let opened = match kind {
            Kind::Blocking => Driver::blocking(&engine, SHARD, machine, options),
            Kind::Concurrent => Driver::concurrent(&engine, SHARD, machine, options),
            Kind::OnDisk => Driver::on_disk(&engine, SHARD, machine, options),
        };
        let (driver, recovered) = opened.unwrap_or_else(|error| panic!("{what}: {error}"));
        let last = recovered.last.unwrap_or(0);
        assert!(last >= durable, "{what}: {durable} was durable, the log ends at {last}");
        check_state(&driver, recovered.applied.unwrap_or(0));
        seen.recoveries += u64::from(recovered.applied.is_some());
        let mut node = Running { engine, driver, job: None, saved: None, leases: Vec::new(), durable: last };
        if random.u8(..4) > 0 {
            world.disk.halt_after(random.u64(1..200));
        }
        for _ in 0..random.u8(5..60) {
            let done = node.step(&mut random, seen);
            match done {
                Ok(()) => {}
                Err(_) if world.disk.has_halted() => break,
                Err(error) => panic!("{what}: {error}"),
            }
        }
        seen.halts += u64::from(world.disk.has_halted());
        durable = node.durable;
        drop(node);
        world.power_cut();
        kept = Model::crash(&kept, random.u64(..));
    }
}

impl Running {
    /// Does something, and checks the state.
    fn step(&mut self, random: &mut fastrand::Rng, seen: &mut Seen) -> logboom_rsm::Result<()> {
        let next = self.engine.shard(SHARD).next().unwrap_or(1);
        match random.u8(..20) {
            0..6 => {
                let end = next + random.u64(1..12);
                append(&self.engine, next..end)?;
                self.durable = end - 1;
            }
            6..10 => self.driver.commit(random.u64(next.saturating_sub(15)..next + 2)),
            10..13 => drop(apply_all(&mut self.driver)?),
            13..15 => {
                let upkeep = self.driver.upkeep()?;
                seen.compactions += u64::from(upkeep.decision.compaction.is_some());
                self.job = upkeep.job.or(self.job.take());
            }
            15 => self.saved = self.job.take().map(SaveJob::run).or(self.saved.take()),
            16 => self.finish(seen)?,
            17 => self.driver.follow(random.u64(..2), random.u64(..=next)),
            18 => self.driver.unfollow(random.u64(..2)),
            _ => match random.bool() {
                true => self.leases.extend(self.engine.snapshots().newest(SHARD)?),
                false => self.leases.clear(),
            },
        }
        if random.u8(..10) == 0 {
            self.driver.request_snapshot();
        }
        if random.bool() {
            settle(&self.engine);
        }
        self.check();
        Ok(())
    }

    fn finish(&mut self, seen: &mut Seen) -> logboom_rsm::Result<()> {
        let Some(saved) = self.saved.take() else { return Ok(()) };
        match self.driver.finish(saved) {
            Ok(_) => seen.snapshots += 1,
            // A job that was given out earlier can be overtaken by one of a later state.
            Err(Error::Engine(logboom::Error::Snapshot(logboom::snapshot::Error::Stale { .. }))) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// The state is that of the entries, and a restart would find one that the log goes on from.
    fn check(&self) {
        let shard = self.engine.shard(SHARD);
        let applied = self.driver.applied().unwrap_or(0);
        check_state(&self.driver, applied);
        if let Some(boundary) = shard.boundary() {
            assert!(boundary.index <= applied && Some(boundary.index) <= self.driver.saved(), "{shard:?}");
        }
        for lease in &self.leases {
            assert!(lease.open("state").is_ok(), "a leased snapshot is gone");
        }
    }
}
