//! What raft cores expect of their storage, row by row: each a rule of one core, in its words, and a check of the
//! engine. Where the engine differs on purpose, the row says how an adapter gets there, and the check does it.

use std::{io::Write, ops::Range};

use logboom::{
    Batch, Durability, Engine, Entry, EntryId, Shard, ShardId,
    snapshot::{Built, Spec, Stop},
};
use logboom_rsm::{
    Failure,
    log_store::{Appending, ShardLog},
};

use crate::world::{World, settle};

mod dragonboat;
mod etcd;
mod hashicorp;
mod nuraft;
mod raft_engine;

/// A rule of a core's.
struct Row {
    core: &'static str,
    rule: &'static str,
    /// What an adapter adds to the engine; nothing if that is empty.
    adapter: &'static str,
    check: fn(Bench),
}

#[test]
fn the_contracts_of_raft_cores() {
    let tables = [nuraft::ROWS, etcd::ROWS, dragonboat::ROWS, hashicorp::ROWS, raft_engine::ROWS];
    for row in tables.into_iter().flatten() {
        // The last of these is the one that failed.
        println!("{}: {}{}{}", row.core, row.rule, if row.adapter.is_empty() { "" } else { " | " }, row.adapter);
        (row.check)(Bench::new());
    }
}

const SHARD: ShardId = ShardId(7);

/// An engine on a simulated machine, and a shard that nothing was written to.
struct Bench {
    world: World,
    engine: Engine,
}

impl Bench {
    fn new() -> Self {
        Self::start(World::new(7))
    }

    fn start(world: World) -> Self {
        let engine = world.open().unwrap();
        Self { world, engine }
    }

    fn shard(&self) -> Shard {
        self.engine.shard(SHARD)
    }

    fn log(&self, appending: Appending) -> ShardLog {
        ShardLog::new(&self.engine, SHARD, appending)
    }

    /// Writes a batch, durably.
    fn write<'a>(&self, fill: impl FnOnce(&mut Batch<'a>) -> logboom::Result<()>) -> logboom::Result<()> {
        let mut batch = self.engine.batch();
        fill(&mut batch)?;
        self.engine.write(batch)
    }

    /// Submits a batch without waiting for it.
    fn submit<'a>(
        &self,
        durability: Durability,
        fill: impl FnOnce(&mut Batch<'a>) -> logboom::Result<()>,
    ) -> logboom::Result<logboom::Ticket> {
        let mut batch = self.engine.batch();
        fill(&mut batch)?;
        self.engine.submit(batch, durability)
    }

    /// Appends entries of one term, durably.
    fn append(&self, indexes: Range<u64>, term: u64) {
        self.write(|batch| indexes.into_iter().try_for_each(|index| add(batch, index, term))).unwrap();
    }

    fn compact(&self, index: u64) -> logboom::Result<()> {
        self.write(|batch| batch.compact_through(SHARD, index).map(drop))
    }

    fn terms(&self, indexes: Range<u64>) -> Vec<u64> {
        indexes.map(|index| self.shard().term(index).unwrap()).collect()
    }

    /// A snapshot that is nobody's yet.
    fn build(&self, index: u64, term: u64) -> Built {
        self.try_build(index, term).unwrap()
    }

    fn try_build(&self, index: u64, term: u64) -> Result<Built, Failure> {
        let mut builder = self.engine.snapshots().build(Spec::new(SHARD.0, EntryId { index, term }), &Stop::new())?;
        builder.file("state")?.write_all(b"state")?;
        Ok(builder.finish()?)
    }

    /// Loses power, and is switched on again.
    fn power_cut(self) -> Self {
        let Self { mut world, engine } = self;
        world.power_cut();
        drop(engine);
        Self::start(world)
    }

    fn settle(&self) {
        settle(&self.engine);
    }
}

fn payload(index: u64) -> Vec<u8> {
    format!("payload {index}").into_bytes()
}

fn add(batch: &mut Batch<'_>, index: u64, term: u64) -> logboom::Result<()> {
    batch.append(SHARD, Entry::new(EntryId { index, term }, payload(index))).map(drop)
}

/// Entries that replace what is there from the first of them on.
fn replace(batch: &mut Batch<'_>, indexes: Range<u64>, term: u64) -> logboom::Result<()> {
    batch.overwrite(SHARD, indexes.map(|index| Entry::new(EntryId { index, term }, payload(index)))).map(drop)
}

/// Cuts the power at one operation of the disk after another while `write` runs, and has `check` look at what is left,
/// until a run comes to its end.
fn at_every_cut<E>(prepare: impl Fn(&Bench), write: impl Fn(&Bench) -> Result<(), E>, check: impl Fn(&Bench, bool)) {
    for n in 1..200 {
        let bench = Bench::start(World::new(n));
        prepare(&bench);
        bench.world.disk.halt_after(n);
        let written = write(&bench).is_ok();
        let finished = !bench.world.disk.has_halted();
        check(&bench.power_cut(), written);
        if finished {
            assert!(written && n > 1);
            return;
        }
    }
    panic!("it never ends");
}
