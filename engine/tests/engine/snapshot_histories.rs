//! Random histories of snapshots that are built, shipped, registered, leased, replaced and forgotten, with crashes,
//! failed writes and failed syncs. `LOGBOOM_SEED` runs one of them.

use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
    sync::Arc,
    time::Duration,
};

use fastrand::Rng;
use logboom::{
    Batch, Durability, Engine, EntryId, Error, ShardId, Ticket,
    disk::{Disk, Fault, FaultKind, SimDisk, SimOptions},
    snapshot::{Built, Codec, Error as SnapshotError, Lease, Spec, Stop},
};

use crate::support::*;

const SHARDS: u64 = 3;

/// What a shard has, as the rules make it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Model {
    /// The log: the first index and the next.
    log: (u64, u64),
    /// Index and id, oldest first.
    snapshots: Vec<(u64, u64)>,
}

type Models = BTreeMap<u64, Model>;

struct History {
    ground: Ground,
    rng: Rng,
    /// Another engine, which ships its snapshots.
    sender: Engine,
    /// What may be found after a crash: the last state that is acknowledged, and all behind it.
    states: Vec<Models>,
    /// Of all states but the first.
    tickets: Vec<Ticket>,
    leases: Vec<Lease>,
    crashes: u32,
}

#[test]
fn a_crash_leaves_a_known_state_and_no_other_files() {
    let seeds = match std::env::var("LOGBOOM_SEED") {
        Ok(seed) => seed.parse().map(|seed| seed..seed + 1).unwrap(),
        Err(_) if std::env::var_os("LOGBOOM_LONG").is_some() => 0..600,
        Err(_) => 0..40,
    };
    let mut crashes = 0;
    for seed in seeds {
        let run = std::panic::catch_unwind(|| History::new(seed).run());
        crashes += run.unwrap_or_else(|_| panic!("LOGBOOM_SEED={seed} repeats it")).0;
    }
    assert!(crashes > 0);
}

#[test]
fn a_seed_repeats_its_history() {
    for seed in 0..5 {
        assert_eq!(History::new(seed).run(), History::new(seed).run(), "LOGBOOM_SEED={seed}");
    }
}

impl History {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let pad_unit = 4096 >> rng.u32(..4);
        let options = SimOptions { direct: rng.bool(), pad_unit, physical_block: pad_unit, ..SimOptions::default() };
        let mut ground = Ground::on(SimDisk::new(seed, options), seed);
        ground.config.snapshots_kept = rng.u32(1..3);
        let sender = Ground::sim(seed + 1000).open();
        let (states, tickets) = (vec![Models::default()], Vec::new());
        Self { ground, rng, sender, states, tickets, leases: Vec::new(), crashes: 0 }
    }

    /// How often it crashed, and what the disk was asked for.
    fn run(mut self) -> (u32, u64) {
        let mut engine = self.ground.open();
        for _ in 0..6 {
            self.disturb();
            for _ in 0..self.rng.u32(1..25) {
                self.step(&engine);
                if self.disk().has_halted() || engine.health().poisoned().is_some() {
                    break;
                }
                for _ in 0..self.rng.u32(..20) {
                    engine.drive_once();
                }
                self.settle();
            }
            engine = self.end_and_reopen(engine);
        }
        (self.crashes, self.disk().trace_hash())
    }

    /// Plans what goes wrong in this life, if anything does.
    fn disturb(&mut self) {
        match self.rng.u32(..4) {
            0 => self.disk().halt_after(self.rng.u64(1..400)),
            1 => {
                let kinds =
                    [FaultKind::Write, FaultKind::Create, FaultKind::Rename, FaultKind::Remove, FaultKind::Read];
                let names = ["building-", "receiving-", "snapshot-"];
                let (kind, name) = (kinds[self.rng.usize(..5)], names[self.rng.usize(..3)]);
                self.disk().inject(Fault::error(kind, io::ErrorKind::Other).on(name).nth(self.rng.u64(1..8)));
            }
            2 => {
                let fault = Fault::error(FaultKind::Sync, io::ErrorKind::Other).on("building-");
                self.disk().inject(fault.nth(self.rng.u64(1..10)));
            }
            _ => {}
        }
    }

    fn step(&mut self, engine: &Engine) {
        let shard = self.rng.u64(..SHARDS);
        let mut models = self.last().clone();
        let model = models.entry(shard).or_default();
        let id = ShardId(shard);
        match self.rng.u32(..20) {
            0..6 => {
                let count = self.rng.u64(1..10);
                let first = model.log.1.max(1);
                let batch = append(engine, id, first..first + count);
                model.log = (if model.log.1 == 0 { 1 } else { model.log.0 }, first + count);
                self.submit(engine, batch, models);
            }
            6..10 => self.snapshot(engine, id, models),
            10..12 => self.install(engine, id, models),
            12..15 => self.lease(engine, id),
            15..17 if !self.leases.is_empty() => {
                let lease = self.leases.swap_remove(self.rng.usize(..self.leases.len()));
                self.check_content(&lease);
            }
            17 => {
                let Some(&(_, forgotten)) = model.snapshots.first() else { return };
                model.snapshots.retain(|(_, id)| *id != forgotten);
                let mut batch = engine.batch();
                batch.forget_snapshot(id, forgotten).unwrap();
                self.submit(engine, batch, models);
            }
            18 if self.rng.u32(..3) == 0 => {
                *model = Model::default();
                let mut batch = engine.batch();
                batch.destroy(id).unwrap();
                self.submit(engine, batch, models);
            }
            _ => self.ground.pass(engine, Duration::from_millis(60)),
        }
    }

    /// A snapshot of some index of the log, with the compaction that goes with it, or without.
    fn snapshot(&mut self, engine: &Engine, id: ShardId, mut models: Models) {
        let model = models.entry(id.0).or_default();
        let lowest = model.snapshots.last().map_or(model.log.0, |(index, _)| *index).max(model.log.0);
        if lowest + 1 >= model.log.1 {
            return;
        }
        let index = self.rng.u64(lowest..model.log.1);
        let stop = Stop::new();
        if self.rng.u32(..10) == 0 {
            stop.stop();
        }
        let built = build(engine, &mut self.rng, id, index, &stop);
        let Some(built) = self.made(engine, built) else { return };
        let mut batch = engine.batch();
        batch.register_snapshot(id, &built).unwrap();
        self.kept(model, &built);
        if self.rng.bool() {
            let to = index - self.rng.u64(..2).min(index - model.log.0);
            batch.compact_through(id, to).unwrap();
            let held = self.leases.iter().filter(|lease| lease.manifest().shard == id.0);
            if let Some(held) = held.map(|lease| lease.manifest().index).min().filter(|held| *held < to) {
                // What a lease holds is refused, and all that is in the batch with it.
                let refused = engine.submit(batch, Durability::Durable);
                let right = matches!(&refused, Err(Error::Leased { held: by, .. }) if *by == held);
                assert!(right || self.is_over(engine), "{refused:?}, leased {held}, compacted to {to}");
                return;
            }
            model.log.0 = to + 1;
        }
        self.submit(engine, batch, models);
    }

    /// A snapshot of another engine, with the reset that goes with it.
    fn install(&mut self, engine: &Engine, id: ShardId, mut models: Models) {
        let model = models.entry(id.0).or_default();
        let newest = model.snapshots.last().map_or(0, |(index, _)| *index);
        let index = newest.max(model.log.1) + self.rng.u64(1..10);
        let sent = build(&self.sender, &mut self.rng, id, index, &Stop::new()).unwrap().lease();
        let received = receive(engine, &mut self.rng, id, &sent);
        let Some(built) = self.made(engine, received) else { return };
        let mut batch = engine.batch();
        batch.reset_to(id, Some(EntryId { index, term: 1 })).unwrap().register_snapshot(id, &built).unwrap();
        self.kept(model, &built);
        model.log = (index + 1, index + 1);
        self.submit(engine, batch, models);
    }

    fn lease(&mut self, engine: &Engine, id: ShardId) {
        let expected = self.last().get(&id.0).and_then(|model| model.snapshots.last()).copied();
        match engine.snapshots().newest(id) {
            Ok(lease) => {
                let found = lease.as_ref().map(|lease| (lease.manifest().index, lease.manifest().id));
                assert_eq!(found, expected, "{id}");
                self.leases.extend(lease);
            }
            Err(Error::Snapshot(SnapshotError::Io { .. })) => {}
            Err(error) => panic!("{id}: {error}"),
        }
    }

    /// What was made, if it was: only what was planned can have been in the way.
    fn made(&self, engine: &Engine, made: logboom::Result<Built>) -> Option<Built> {
        match made {
            Ok(built) => Some(built),
            Err(Error::Snapshot(SnapshotError::Stopped | SnapshotError::Io { .. })) => None,
            Err(_) if self.is_over(engine) => None,
            Err(error) => panic!("{error}"),
        }
    }

    fn kept(&self, model: &mut Model, built: &Built) {
        model.snapshots.push((built.manifest().index, built.manifest().id));
        let too_many = model.snapshots.len().saturating_sub(self.ground.config.snapshots_kept as usize);
        model.snapshots.drain(..too_many);
    }

    fn submit(&mut self, engine: &Engine, batch: Batch<'_>, models: Models) {
        let lazy = self.rng.u32(..3) == 0;
        let submitted = if lazy {
            engine.try_submit(batch, Durability::Lazy)
        } else {
            engine.try_submit(batch, Durability::Durable)
        };
        let submitted = match submitted {
            Err(rejected) if matches!(rejected.error, Error::NotLazy { .. }) => {
                engine.submit(rejected.batch, Durability::Durable)
            }
            submitted => submitted.map_err(|rejected| rejected.error),
        };
        match submitted {
            Ok(ticket) => {
                self.tickets.push(ticket);
                self.states.push(models);
            }
            Err(error) => assert!(self.is_over(engine), "{error}"),
        }
    }

    fn last(&self) -> &Models {
        &self.states[self.states.len() - 1]
    }

    fn disk(&self) -> Arc<SimDisk> {
        self.ground.disk()
    }

    /// Whether nothing can be expected of the engine any more.
    fn is_over(&self, engine: &Engine) -> bool {
        self.disk().has_halted() || engine.health().poisoned().is_some()
    }

    /// Forgets what cannot be found any more.
    fn settle(&mut self) {
        let acknowledged = self.tickets.iter().take_while(|ticket| ticket.is_done()).count();
        for ticket in self.tickets.drain(..acknowledged).collect::<Vec<_>>() {
            if ticket.wait().is_err() {
                // Nothing behind it was acknowledged either.
                self.tickets.clear();
                return;
            }
            self.states.remove(0);
        }
    }

    fn end_and_reopen(&mut self, engine: Engine) -> Engine {
        self.settle();
        if !self.is_over(&engine) && self.rng.bool() {
            self.disk().halt_after(u64::MAX);
            self.check(&engine, self.last());
        }
        let halted = self.disk().has_halted();
        let how = self.rng.u32(if halted { 1 } else { 0 }..4);
        match how {
            0 => {
                self.leases.clear();
                if engine.close().is_ok() {
                    self.states.drain(..self.states.len() - 1);
                }
            }
            1 => self.ground.replace_disk(self.disk().process_crash()),
            _ => self.ground.replace_disk(self.disk().power_cut()),
        }
        if self.disk().has_halted() {
            self.ground.replace_disk(self.disk().power_cut());
        }
        self.crashes += u32::from(how > 0);
        self.disk().halt_after(u64::MAX);
        self.disk().clear_faults();
        self.leases.clear();
        self.tickets.clear();
        self.interrupt_openings();
        let engine = self.ground.open();
        let found = self.states.iter().rposition(|models| difference(&engine, models).is_none());
        let found = found.unwrap_or_else(|| {
            let why: Vec<_> = self.states.iter().map(|models| difference(&engine, models)).collect();
            panic!("none of {} states: {why:?}", self.states.len())
        });
        self.states = vec![self.states.swap_remove(found)];
        self.check(&engine, self.last());
        let registered = |name: &String| {
            let mut snapshots = (0..SHARDS).flat_map(|shard| engine.snapshots().list(ShardId(shard)));
            snapshots.any(|snapshot| *name == format!("snapshot-{:016x}", snapshot.file))
        };
        let ours = |name: &String| ["snapshot-", "building-", "receiving-"].iter().any(|of| name.starts_with(of));
        let left: Vec<String> =
            self.disk().list().unwrap().into_iter().filter(|name| ours(name) && !registered(name)).collect();
        assert!(left.is_empty(), "{left:?}");
        engine
    }

    /// Openings that a crash or an error cuts short.
    fn interrupt_openings(&mut self) {
        for _ in 0..self.rng.u32(..3) {
            if self.rng.bool() {
                self.disk().halt_after(self.rng.u64(1..150));
            } else {
                let kind = FaultKind::ALL[self.rng.usize(..FaultKind::ALL.len())];
                self.disk().inject(Fault::error(kind, io::ErrorKind::Other).nth(self.rng.u64(1..10)));
            }
            match self.ground.try_open() {
                Ok(_) | Err(Error::Io { .. } | Error::Poisoned { .. } | Error::Identity { .. }) => {}
                Err(error) => panic!("{error}"),
            }
            self.ground.replace_disk(self.disk().power_cut());
            self.disk().halt_after(u64::MAX);
            self.disk().clear_faults();
        }
    }

    /// That the engine has what the models say, and that all of it can be read.
    fn check(&self, engine: &Engine, models: &Models) {
        assert_eq!(difference(engine, models), None);
        for (shard, model) in models {
            for (_, id) in &model.snapshots {
                match engine.snapshots().lease(ShardId(*shard), *id) {
                    Ok(lease) => self.check_content(&lease.unwrap()),
                    // A read that was planned to fail.
                    Err(Error::Snapshot(SnapshotError::Io { .. })) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }

    fn check_content(&self, lease: &Lease) {
        let mut bytes = Vec::new();
        let manifest = lease.manifest();
        match lease.open("state").unwrap().read_to_end(&mut bytes) {
            Ok(_) => assert!(bytes == content(ShardId(manifest.shard), manifest.index), "{manifest:?}"),
            Err(error) => {
                let source = error.get_ref().and_then(|source| source.downcast_ref());
                assert!(matches!(source, Some(SnapshotError::Io { .. })), "{error}");
            }
        }
    }
}

/// How the engine differs from what the models say.
fn difference(engine: &Engine, models: &Models) -> Option<String> {
    let vacant = Model::default();
    (0..SHARDS).find_map(|id| {
        let model = models.get(&id).unwrap_or(&vacant);
        let shard = engine.shard(ShardId(id));
        let snapshots: Vec<_> = engine.snapshots().list(ShardId(id)).iter().map(|one| (one.index, one.id)).collect();
        let log = (shard.first(), shard.next());
        let ours = ((model.log.0 < model.log.1).then_some(model.log.0), (model.log.1 > 0).then_some(model.log.1));
        (log != ours || snapshots != model.snapshots)
            .then(|| format!("shard {id}: {log:?} {snapshots:?} instead of {ours:?} {:?}", model.snapshots))
    })
}

fn append<'a>(engine: &Engine, shard: ShardId, indexes: std::ops::Range<u64>) -> Batch<'a> {
    let mut batch = engine.batch();
    for index in indexes {
        batch.append_payload(shard, EntryId { index, term: 1 }, payload(shard, index, 1)).unwrap();
    }
    batch
}

/// Of one block or of several.
fn content(shard: ShardId, index: u64) -> Vec<u8> {
    let mut rng = Rng::with_seed(shard.0 << 32 ^ index);
    let len = if index.is_multiple_of(3) { 1_100_000 } else { rng.usize(..3000) };
    let noise = index.is_multiple_of(2);
    (0..len).map(|at| if noise { rng.u8(..) } else { u8::try_from(at / 9000 % 200).unwrap() }).collect()
}

fn build(engine: &Engine, rng: &mut Rng, shard: ShardId, index: u64, stop: &Stop) -> logboom::Result<Built> {
    let mut spec = Spec::new(shard.0, EntryId { index, term: 1 });
    spec.codec = if rng.bool() { Codec::Lz4 } else { Codec::None };
    let mut builder = engine.snapshots().build(spec, stop)?;
    // The builder repeats the error.
    drop(builder.file("state")?.write_all(&content(shard, index)));
    Ok(builder.finish()?)
}

fn receive(engine: &Engine, rng: &mut Rng, shard: ShardId, sent: &Lease) -> logboom::Result<Built> {
    let mut receiver = engine.snapshots().receive(shard, &sent.manifest_bytes(), &Stop::new())?;
    while let Some(at) = receiver.position() {
        receiver.accept(&sent.chunk(at)?)?;
        for _ in 0..rng.u32(..5) {
            engine.drive_once();
        }
    }
    Ok(receiver.finish()?)
}
