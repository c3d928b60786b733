//! A node on a simulated machine: an engine, and a driver of a machine on it.

use std::{ops::Range, sync::Arc, time::Duration};

use logboom::{
    Config, Durability, Engine, Entry, EntryId, ManualClock, Runtime, ShardId,
    disk::{Disk as _, SimDisk, SimOptions},
};
use logboom_rsm::{Driver, ObjectSnapshots, ObjectStream, ReadObjects, SnapshotPolicy, StateMachine, Transfer};

use crate::{driver::options, model::Model};

pub(crate) const SHARD: ShardId = ShardId(7);

/// A machine whose disk goes on over crashes.
pub(crate) struct World {
    pub(crate) disk: Arc<SimDisk>,
    clock: Arc<ManualClock>,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        Self { disk: SimDisk::new(seed, SimOptions::default()), clock: ManualClock::new(seed) }
    }

    pub(crate) fn open(&self) -> logboom::Result<Engine> {
        let mut config = Config::new("simulated");
        config.segment_bytes = 256 << 10;
        config.reserve_segments = 0;
        Engine::open_on(Arc::clone(&self.disk) as _, config, Runtime::Manual(Arc::clone(&self.clock) as _))
    }

    /// Lets so much time pass that what is lazy is written.
    pub(crate) fn pass(&self) {
        self.clock.advance(Duration::from_secs(1));
    }

    pub(crate) fn power_cut(&mut self) {
        self.disk = self.disk.power_cut();
    }

    pub(crate) fn process_crash(&mut self) {
        self.disk = self.disk.process_crash();
    }

    /// The files on the disk that are snapshots, complete or not.
    pub(crate) fn snapshot_files(&self) -> usize {
        self.disk.list().unwrap().iter().filter(|name| name.contains("snapshot")).count()
    }

    /// The names of the files on the disk that begin with this, in order.
    pub(crate) fn files(&self, prefix: &str) -> Vec<String> {
        let mut names = self.disk.list().unwrap();
        names.retain(|name| name.starts_with(prefix));
        names.sort();
        names
    }

    /// A machine that was switched off with 30 entries applied and one snapshot, of entry 20, in this file.
    pub(crate) fn with_a_snapshot(seed: u64) -> (Self, String) {
        let world = Self::new(seed);
        let engine = world.open().unwrap();
        let (mut driver, _) = Driver::blocking(&engine, SHARD, Model::new(None), options()).unwrap();
        run(&engine, &mut driver, 1..31).unwrap();
        driver.close().unwrap();
        engine.close().unwrap();
        let [file] = <[String; 1]>::try_from(world.files("snapshot-")).unwrap();
        (world, file)
    }
}

/// A policy of small numbers.
pub(crate) fn small_policy() -> SnapshotPolicy {
    let mut policy = SnapshotPolicy::default();
    policy.every_entries = Some(19);
    policy.keep_entries = 5;
    policy.compact_entries_min = 1;
    policy
}

pub(crate) fn payload(index: u64) -> String {
    format!("key {}=value {index}", index % 13)
}

/// Appends entries of term `index / 10`, as everything here has them, durably.
pub(crate) fn append(engine: &Engine, indexes: Range<u64>) -> logboom::Result<()> {
    let mut batch = engine.batch();
    for index in indexes {
        batch.append(SHARD, Entry::new(EntryId { index, term: index / 10 }, payload(index).into_bytes()))?;
    }
    engine.submit(batch, Durability::Durable)?.wait()?;
    settle(engine);
    Ok(())
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

/// Applies whatever can be. Gives the indexes that were applied.
pub(crate) fn apply_all<M: StateMachine>(driver: &mut Driver<M>) -> logboom_rsm::Result<Vec<u64>> {
    let mut seen = Vec::new();
    while let Some(applied) = driver.apply()? {
        assert_eq!(applied.entries.len(), applied.outputs.len());
        seen.extend(applied.entries.iter().map(|entry| entry.index));
    }
    Ok(seen)
}

/// Upkeep, with the snapshot saved at once if one is due. Says whether one was.
pub(crate) fn upkeep<M: StateMachine>(driver: &mut Driver<M>) -> logboom_rsm::Result<bool> {
    let Some(job) = driver.upkeep()?.job else { return Ok(false) };
    driver.finish(job.run())?.ticket.wait()?;
    Ok(true)
}

/// Appends, commits, applies and keeps up, entry by entry.
pub(crate) fn run<M: StateMachine>(
    engine: &Engine,
    driver: &mut Driver<M>,
    indexes: Range<u64>,
) -> logboom_rsm::Result<u64> {
    let mut snapshots = 0;
    for index in indexes {
        append(engine, index..index + 1)?;
        driver.commit(index);
        apply_all(driver)?;
        snapshots += u64::from(upkeep(driver)?);
        settle(engine);
    }
    Ok(snapshots)
}

/// Receives a state from its first object to its last.
pub(crate) fn receive_all<M: ObjectSnapshots>(
    driver: &Driver<M>,
    stream: &mut ObjectStream<impl ReadObjects>,
) -> Transfer<M::Receiving> {
    let mut transfer = driver.receive_objects().unwrap();
    while let Some(id) = transfer.wanted() {
        transfer.receive(&stream.objects.read_object(id).unwrap()).unwrap();
    }
    transfer
}
