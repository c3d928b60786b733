//! Snapshots in a history: builds and ships them piece by piece beside other operations, registers, leases, replaces
//! and releases them.

use std::{collections::BTreeSet, io::Write};

use logboom::{
    Durability, Engine, EntryId, Error, ShardId,
    disk::{Disk, SimDisk, SimOptions},
    snapshot::{Codec, Error as SnapshotError, Lease, Spec, Stop},
};
use logboom_wal::marks;

use super::{
    History,
    snapshot_handles::{Building, Receiving},
};
use crate::{
    check::{Check, Failure},
    content,
    model::{Model, Models, Snapshot},
    operation::{Kind, Operation},
};

impl History {
    /// Does something with snapshots.
    pub(super) fn snapshots(&mut self, engine: &Engine) -> Result<(), Failure> {
        match self.choices.weighted(&[8, 4, 6, 5, 5, 2, 1]) {
            0 => self.build(engine),
            1 => self.receive(engine),
            2 => self.register(engine),
            3 => self.lease(engine),
            4 => self.release(engine),
            5 => self.forget_snapshot(engine),
            _ => {
                self.handles.built.pop();
                Ok(())
            }
        }
    }

    /// Begins to build a snapshot, or goes on with it.
    fn build(&mut self, engine: &Engine) -> Result<(), Failure> {
        if self.handles.building.is_none() {
            let shard = self.choices.below(self.shards());
            let (tag, stop) = (self.author.tag(), Stop::new());
            let spec = self.spec(shard, tag);
            match engine.snapshots().build(spec, &stop) {
                Ok(builder) => self.handles.building = Some(Building { builder, stop, tag, next: 0 }),
                Err(error) => return self.is_in_the_way(error),
            }
        }
        let at_once = self.choices.percent(70);
        while let Some(mut building) = self.handles.building.take() {
            if building.next == content::files(building.tag) {
                return self.finish_building(engine, building);
            }
            match building.builder.file(&content::name(building.next)) {
                // The builder repeats its error.
                Ok(mut file) => drop(file.write_all(&content::bytes(building.tag, building.next))),
                Err(error) if building.stop.is_stopped() => return self.is_stopped(error),
                Err(error) => return self.is_in_the_way(error.into()),
            }
            building.next += 1;
            if self.choices.percent(4) {
                building.stop.stop();
            }
            self.handles.building = Some(building);
            if !at_once {
                break;
            }
            self.steps(engine);
        }
        Ok(())
    }

    fn finish_building(&mut self, engine: &Engine, building: Building) -> Result<(), Failure> {
        let Building { builder, stop, tag, .. } = building;
        match builder.finish() {
            Ok(_) if stop.is_stopped() => Err(wrong("a snapshot is built in spite of its end")),
            Ok(built) => {
                marks::hit_if(content::is_large(tag), "snapshot: of several blocks");
                self.handles.built.push((built, tag));
                if self.choices.percent(60) { self.register(engine) } else { Ok(()) }
            }
            Err(error) if stop.is_stopped() => self.is_stopped(error),
            Err(error) => self.is_in_the_way(error.into()),
        }
    }

    /// The spec of the shard's next snapshot: an index in its log, never below the newest snapshot's.
    fn spec(&mut self, shard: u64, tag: u64) -> Spec {
        let model = self.model(shard);
        let newest = model.snapshots.last().map(|newest| newest.order);
        let lowest = newest.map_or(model.first, |(index, _)| index.max(model.first));
        let index = self.choices.range(lowest..model.next().max(lowest + 1));
        let term = newest.map_or(1, |(_, term)| term + self.choices.below(2));
        self.spec_of(shard, index, term, tag)
    }

    fn spec_of(&mut self, shard: u64, index: u64, term: u64, tag: u64) -> Spec {
        let codec = if self.choices.percent(40) { Codec::Lz4 } else { Codec::None };
        let (membership, metadata) = (tag.to_le_bytes().to_vec(), (!tag).to_le_bytes().to_vec());
        Spec { shard, index, term, membership, metadata, codec }
    }

    /// Begins to receive a snapshot, or goes on with it.
    fn receive(&mut self, engine: &Engine) -> Result<(), Failure> {
        if self.handles.receiving.is_none()
            && let Err(error) = self.begin_to_receive(engine)?
        {
            return self.is_in_the_way(error);
        }
        let at_once = self.choices.percent(60);
        while let Some(mut receiving) = self.handles.receiving.take() {
            let Some(at) = receiving.receiver.position() else {
                return self.finish_receiving(engine, receiving);
            };
            let accepted = receiving.source.chunk(at).and_then(|chunk| {
                let is_new = receiving.receiver.accept(&chunk)?;
                Ok(is_new && (self.choices.percent(80) || !receiving.receiver.accept(&chunk)?))
            });
            match accepted {
                Ok(true) => {}
                Ok(false) => return Err(wrong("a chunk counts twice, or not at all")),
                Err(error) => return self.is_in_the_way(error.into()),
            }
            self.handles.receiving = Some(receiving);
            if !at_once {
                break;
            }
            self.steps(engine);
        }
        Ok(())
    }

    /// A snapshot of another engine, or one of this engine that is not registered.
    fn begin_to_receive(&mut self, engine: &Engine) -> Result<logboom::Result<()>, Failure> {
        let shard = self.choices.below(self.shards());
        let model = self.model(shard);
        let newest = model.snapshots.last().map_or(0, |newest| newest.order.0);
        let index = newest.max(model.next()) + self.choices.range(1..10);
        let tag = self.author.tag();
        let spec = self.spec_of(shard, index, 7, tag);
        let is_own = self.choices.percent(40);
        let sender = if is_own { engine.clone() } else { self.sender()? };
        let begin = || -> logboom::Result<Receiving> {
            let mut builder = sender.snapshots().build(spec, &Stop::new())?;
            for nth in 0..content::files(tag) {
                drop(builder.file(&content::name(nth))?.write_all(&content::bytes(tag, nth)));
            }
            let source = builder.finish()?.lease();
            let receiver = engine.snapshots().receive(ShardId(shard), &source.manifest_bytes(), &Stop::new())?;
            Ok(Receiving { receiver, source, is_own, tag })
        };
        let begun = begin();
        if !is_own {
            sender.drive_once();
        }
        Ok(begun.map(|receiving| self.handles.receiving = Some(receiving)))
    }

    /// An engine on another simulated machine.
    fn sender(&mut self) -> Result<Engine, Failure> {
        if let Some(sender) = &self.handles.sender {
            return Ok(sender.clone());
        }
        let disk = SimDisk::new(self.choices.below(u64::MAX), SimOptions::default());
        let sender = self.world.on(disk).open();
        let sender = sender.map_err(|error| Failure::new(Check::Opens, format!("another one: {error:#}")))?;
        self.handles.sender = Some(sender.clone());
        Ok(sender)
    }

    fn finish_receiving(&mut self, engine: &Engine, receiving: Receiving) -> Result<(), Failure> {
        let Receiving { receiver, source, is_own, tag } = receiving;
        match receiver.finish() {
            Ok(built) => {
                marks::hit(if is_own { "snapshot: sent to itself" } else { "snapshot: sent by another engine" });
                drop(source);
                self.handles.built.push((built, tag));
                if self.choices.percent(60) { self.register(engine) } else { Ok(()) }
            }
            Err(error) => self.is_in_the_way(error.into()),
        }
    }

    /// Registers a snapshot that was built or received, alone or with the compaction or reset that belongs to it.
    fn register(&mut self, engine: &Engine) -> Result<(), Failure> {
        let Some((built, tag)) = self.handles.built.pop() else { return Ok(()) };
        let (one, shard) = (built.registration(), built.manifest().shard);
        let snapshot = Snapshot { order: (one.index, one.term), id: one.id, file: one.file, tag };
        let is_stale = self.model(shard).snapshots.last().is_some_and(|newest| newest.order > snapshot.order);
        let is_in_log = self.model(shard).entry(one.index).is_some();
        let kept = self.world.config.snapshots_kept as usize;
        let mut kinds = vec![Kind::Register { built, snapshot, kept }];
        let mut lazy = self.choices.percent(self.weights.lazy);
        match self.choices.below(4) {
            0 | 1 if is_in_log => {
                let compact = Kind::Compact { index: one.index, past_leases: self.choices.percent(20) };
                kinds.insert(self.choices.size(2), compact);
            }
            2 => {
                lazy = false;
                kinds.insert(0, Kind::Reset { boundary: Some(EntryId { index: one.index, term: one.term }) });
                kinds.push(Kind::HardState { state: vec![self.choices.byte(); 9] });
            }
            _ => {}
        }
        marks::hit_if(kinds.len() == 2, "snapshot: registered with a compaction");
        marks::hit_if(kinds.len() == 3, "snapshot: registered with a reset and a hard state");
        let operations: Vec<Operation> = kinds.into_iter().map(|kind| Operation { shard, kind }).collect();
        self.hand_in_snapshots(engine, &operations, lazy, is_stale)
    }

    fn forget_snapshot(&mut self, engine: &Engine) -> Result<(), Failure> {
        let shard = self.choices.below(self.shards());
        let Some(snapshot) = self.pick_snapshot(shard) else { return Ok(()) };
        let lazy = self.choices.percent(self.weights.lazy);
        let forget = Operation { shard, kind: Kind::Forget { id: snapshot.id } };
        self.hand_in_snapshots(engine, &[forget], lazy, false)
    }

    fn hand_in_snapshots(
        &mut self,
        engine: &Engine,
        operations: &[Operation],
        lazy: bool,
        is_stale: bool,
    ) -> Result<(), Failure> {
        let mut models = self.models().clone();
        let mut batch = engine.batch();
        operations.iter().for_each(|operation| operation.apply(&mut models));
        let added = operations.iter().try_for_each(|operation| operation.add(&mut batch));
        added.map_err(|error| Failure::new(Check::Accepted, format!("a batch refuses: {error:#}")))?;
        let outcome = engine.submit(batch, if lazy { Durability::Lazy } else { Durability::Durable });
        match outcome {
            Err(Error::Snapshot(SnapshotError::Stale { .. })) if is_stale => {
                marks::hit("snapshot: a stale one is refused");
                Ok(())
            }
            Ok(_) if is_stale => Err(Failure::new(Check::Accepted, "a stale snapshot is registered")),
            outcome => self.submitted_or_held(engine, outcome, models, operations),
        }
    }

    /// Checks that a batch is refused whole if it compacts entries that a lease holds.
    pub(super) fn submitted_or_held(
        &mut self,
        engine: &Engine,
        outcome: logboom::Result<logboom::Ticket>,
        models: Models,
        operations: &[Operation],
    ) -> Result<(), Failure> {
        match (outcome, self.handles.refuses(operations, self.models())) {
            (Err(Error::Leased { held, .. }), Some(expected)) if held == expected => {
                marks::hit("lease: a compaction is refused");
                Ok(())
            }
            (Ok(_), Some(held)) => Err(wrong(format!("a batch compacts what is leased from {held} on"))),
            (outcome, _) => {
                let is_leased =
                    |one: &&Snapshot| self.handles.leases.iter().any(|(lease, _)| lease.manifest().id == one.id);
                let is_gone = |shard: &u64, one: &Snapshot| {
                    !models.get(shard).is_some_and(|model| model.snapshots.iter().any(|other| other.id == one.id))
                };
                let mut before =
                    self.models().iter().flat_map(|(shard, model)| model.snapshots.iter().map(move |one| (shard, one)));
                let replaced = outcome.is_ok() && before.any(|(shard, one)| is_leased(&one) && is_gone(shard, one));
                marks::hit_if(replaced, "lease: its snapshot is replaced");
                self.submitted(engine, outcome, models)
            }
        }
    }

    fn lease(&mut self, engine: &Engine) -> Result<(), Failure> {
        let shard = self.choices.below(self.shards());
        let newest = self.model(shard).snapshots.last().copied();
        let (expected, leased) = if self.choices.percent(50) {
            (newest, engine.snapshots().newest(ShardId(shard)))
        } else {
            let Some(snapshot) = self.pick_snapshot(shard) else { return Ok(()) };
            (Some(snapshot), engine.snapshots().lease(ShardId(shard), snapshot.id))
        };
        match (leased, expected) {
            (Ok(None), None) => Ok(()),
            (Ok(Some(lease)), Some(expected)) if lease.manifest().id == expected.id => {
                self.handles.leases.push((lease, expected));
                Ok(())
            }
            (Ok(found), _) => {
                let found = found.map(|lease| lease.manifest().id);
                Err(wrong(format!("shard {shard}: {found:x?} is leased, and {expected:x?} was registered")))
            }
            (Err(error), _) => self.is_in_the_way(error),
        }
    }

    /// Reads a leased snapshot, usually, and releases the lease.
    fn release(&mut self, engine: &Engine) -> Result<(), Failure> {
        if self.handles.leases.is_empty() {
            return Ok(());
        }
        let at = self.choices.size(self.handles.leases.len());
        let (lease, snapshot) = self.handles.leases.swap_remove(at);
        if self.choices.percent(30) {
            self.handles.leases.push((lease.clone(), snapshot));
        }
        if self.choices.percent(50) {
            self.steps(engine);
        }
        let there = self.world.disk.list().unwrap_or_default();
        if !there.contains(&file_of(&snapshot)) && !self.is_scarred && !self.world.has_halted() {
            return Err(wrong(format!("{snapshot:x?} is leased, and its file is not there")));
        }
        self.check_lease(&lease, snapshot.tag)
    }

    /// Checks that a leased snapshot exists and has the content that was built.
    pub(super) fn check_lease(&self, lease: &Lease, tag: u64) -> Result<(), Failure> {
        let id = lease.manifest().id;
        match content::difference(lease, tag) {
            Ok(None) => Ok(()),
            Ok(Some(what)) => Err(wrong(format!("snapshot {id:x}: {what}"))),
            Err(error) => self.is_in_the_way(error.into()),
        }
    }

    /// Checks that all registered snapshots exist, as they were built.
    pub(super) fn check_snapshots(&self, engine: &Engine) -> Result<(), Failure> {
        for (&shard, model) in self.models() {
            for snapshot in &model.snapshots {
                match engine.snapshots().lease(ShardId(shard), snapshot.id) {
                    Ok(Some(lease)) => self.check_lease(&lease, snapshot.tag)?,
                    Ok(None) if self.live_damage.is_some() => {}
                    Ok(None) => return Err(wrong(format!("shard {shard} does not have {snapshot:x?}"))),
                    Err(error) => self.is_in_the_way(error)?,
                }
            }
        }
        let there = self.world.disk.list().unwrap_or_default();
        let registered = self.registered_files();
        let missing: Vec<&String> = registered.iter().filter(|name| !there.contains(name)).collect();
        if missing.is_empty() || self.is_scarred || self.world.has_halted() {
            return Ok(());
        }
        Err(wrong(format!("of {registered:?} {missing:?} are not there")))
    }

    /// Checks that no file of an interrupted build or transfer, or of a replaced snapshot, is left.
    pub(super) fn check_leftovers(&self) -> Result<(), Failure> {
        let registered = self.registered_files();
        let mut left = snapshot_files(&self.world.disk);
        left.retain(|name| !registered.contains(name));
        if left.is_empty() || self.is_scarred || self.world.is_faulty {
            return Ok(());
        }
        Err(wrong(format!("left are {left:?} besides {registered:?}")))
    }

    /// Notes the files that the next opening must remove.
    pub(super) fn mark_leftovers(&self) {
        let registered: BTreeSet<String> = self.states.iter().flat_map(files_of).collect();
        for name in snapshot_files(&self.world.disk) {
            marks::hit_if(name.starts_with("building-"), "recovery: a snapshot was being built");
            marks::hit_if(name.starts_with("receiving-"), "recovery: a snapshot was being received");
            let is_left_over = name.starts_with("snapshot-") && !registered.contains(&name);
            marks::hit_if(is_left_over, "recovery: a snapshot is not registered");
        }
    }

    fn registered_files(&self) -> BTreeSet<String> {
        files_of(self.models()).collect()
    }

    fn pick_snapshot(&mut self, shard: u64) -> Option<Snapshot> {
        let snapshots = self.model(shard).snapshots;
        if snapshots.is_empty() { None } else { Some(self.choices.pick(&snapshots)) }
    }

    fn model(&self, shard: u64) -> Model {
        self.models().get(&shard).map_or_else(Model::default, |model| (**model).clone())
    }

    fn steps(&mut self, engine: &Engine) {
        for _ in 0..self.choices.below(5) {
            engine.drive_once();
        }
    }

    fn is_stopped(&self, error: SnapshotError) -> Result<(), Failure> {
        if matches!(error, SnapshotError::Stopped) {
            marks::hit("snapshot: its building is stopped");
            return Ok(());
        }
        self.is_in_the_way(error.into())
    }

    /// An operation on a snapshot may fail only by a planned failure or by damage.
    fn is_in_the_way(&self, error: Error) -> Result<(), Failure> {
        let is_damaged = self.weights.damages > 0 || self.live_damage.is_some();
        match error {
            Error::Snapshot(SnapshotError::Full { .. }) | Error::Full { .. }
                if self.world.is_tight() || self.world.is_faulty =>
            {
                Ok(())
            }
            Error::Snapshot(SnapshotError::Io { .. } | SnapshotError::Sync { .. }) | Error::Poisoned { .. }
                if self.world.is_faulty =>
            {
                Ok(())
            }
            Error::Snapshot(SnapshotError::Damaged { .. } | SnapshotError::Missing { .. })
            | Error::Quarantined { .. }
                if is_damaged =>
            {
                Ok(())
            }
            error => Err(wrong(format!("{error:#}"))),
        }
    }
}

fn files_of(models: &Models) -> impl Iterator<Item = String> {
    models.values().flat_map(|model| model.snapshots.iter().map(file_of))
}

fn file_of(snapshot: &Snapshot) -> String {
    format!("snapshot-{:016x}", snapshot.file)
}

fn snapshot_files(disk: &SimDisk) -> Vec<String> {
    let mut names = disk.list().unwrap_or_default();
    names.retain(|name| ["snapshot-", "building-", "receiving-"].iter().any(|of| name.starts_with(of)));
    names
}

fn wrong(what: impl Into<String>) -> Failure {
    Failure::new(Check::Snapshots, what)
}
