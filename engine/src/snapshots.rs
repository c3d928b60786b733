//! Snapshots beside the log: how they are built, received, registered, found and leased.

use std::{collections::BTreeMap, fmt, io, sync::Arc, time::Duration};

use logboom_disk::Disk;
use logboom_snapshot::{Builder, Built, Error as SnapshotError, Host, Lease, Receiver, Registered, Spec, Stop, Store};
use logboom_wal::{
    Step, Wal,
    mutants::{self, Mutant},
};
use parking_lot::MutexGuard;

use crate::{
    batch::Batch,
    buffers::Buffers,
    config::Config,
    core::Core,
    engine::Engine,
    error::{Error, Result},
    extent::Boundary,
    operation::Operation,
    plan::Locked,
    shard::ShardId,
    shard_map::ShardMap,
    state::State,
};

/// The snapshots of an engine: see [`Engine::snapshots`](crate::Engine::snapshots).
///
/// A snapshot is built or received beside the log, which takes any time and disturbs nobody, and becomes the shard's by
/// [`Batch::register_snapshot`](crate::Batch::register_snapshot): in one batch with the compaction, or the reset and
/// the hard state, that go with it. A crash anywhere leaves either the old or the new.
///
/// While a snapshot is leased its file stays, whatever replaces it, and the shard's log above its index is kept:
/// [`Batch::compact_to`](crate::Batch::compact_to) beyond it is refused with
/// [`Error::Leased`].
#[derive(Clone)]
pub struct Snapshots(Arc<Core>);

impl Snapshots {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self(core)
    }

    /// Begins to build a snapshot of the shard that `spec` names. `stop` ends it from any thread.
    ///
    /// # Errors
    /// [`Error::Snapshot`] with `Stale` if the shard has a newer one, `TooLarge`, `Full` or `Io`; [`Error::Closed`],
    /// [`Error::Poisoned`].
    pub fn build(&self, spec: Spec, stop: &Stop) -> Result<Builder> {
        self.check_usable()?;
        Ok(self.store().build(spec, stop)?)
    }

    /// Begins to receive a snapshot of `shard`, of which another engine's [`Lease::manifest_bytes`] were sent ahead.
    ///
    /// # Errors
    /// [`Error::Snapshot`] with `Foreign` for another shard's, `Stale` if the shard has a newer one or this one,
    /// `Malformed`, `Full` or `Io`; [`Error::Closed`], [`Error::Poisoned`].
    pub fn receive(&self, shard: ShardId, manifest: &[u8], stop: &Stop) -> Result<Receiver> {
        self.check_usable()?;
        Ok(self.store().receive(shard.0, manifest, stop)?)
    }

    /// The registered snapshots of a shard, oldest first: by index, then term.
    pub fn list(&self, shard: ShardId) -> Vec<Registered> {
        self.store().list(shard.0)
    }

    /// The lowest index of the shard's leased snapshots, above which the log is kept; `None` if none is leased.
    pub fn held(&self, shard: ShardId) -> Option<u64> {
        self.store().held(shard.0)
    }

    /// A lease of the shard's newest snapshot; `None` if it has none.
    ///
    /// # Errors
    /// [`Error::Snapshot`] with `Missing` or `Damaged` when it is registered and not there: an older one is never given
    /// in its place. [`Error::Quarantined`] when a registration of the shard is lost, or may be.
    pub fn newest(&self, shard: ShardId) -> Result<Option<Lease>> {
        if may_lack(&self.0.store.shards, shard) {
            return Err(Error::Quarantined { shard });
        }
        Ok(self.store().newest(shard.0)?)
    }

    /// A lease of the shard's snapshot of this id; `None` if it is not registered.
    ///
    /// # Errors
    /// [`Error::Snapshot`] with `Missing` or `Damaged` when it is registered and not there.
    pub fn lease(&self, shard: ShardId, id: u64) -> Result<Option<Lease>> {
        Ok(self.store().lease(shard.0, id)?)
    }

    /// The registered snapshots whose files are not there: no crash explains it. Their shards answer with an error
    /// where the snapshot is asked for, and are otherwise served.
    ///
    /// # Errors
    /// [`Error::Snapshot`] when the directory cannot be listed.
    pub fn missing(&self) -> Result<Vec<(ShardId, Registered)>> {
        Ok(self.store().missing()?.into_iter().map(|(shard, registered)| (ShardId(shard), registered)).collect())
    }

    /// Registers a snapshot, in a batch of its own. Durable on return. The log stays as it is, also where the snapshot
    /// lies past its end: see [`Batch::register_snapshot`](crate::Batch::register_snapshot).
    ///
    /// # Errors
    /// Those of [`Batch::register_snapshot`](crate::Batch::register_snapshot) and of
    /// [`Engine::write`](crate::Engine::write).
    pub fn register(&self, built: &Built) -> Result<()> {
        let mut batch = self.batch();
        batch.register_snapshot(ShardId(built.manifest().shard), built)?;
        self.write(batch)
    }

    /// Makes what was received the shard's: one batch that resets its log to the snapshot's index and term, registers
    /// the snapshot, and sets the hard state if one is given. Durable on return.
    ///
    /// # Errors
    /// Those of [`Batch::register_snapshot`](crate::Batch::register_snapshot) and of
    /// [`Engine::write`](crate::Engine::write).
    pub fn install(&self, built: &Built, hard_state: Option<&[u8]>) -> Result<()> {
        let manifest = built.manifest();
        let shard = ShardId(manifest.shard);
        let mut batch = self.batch();
        batch.reset_to(shard, Some(Boundary { index: manifest.index, term: manifest.term }))?;
        batch.register_snapshot(shard, built)?;
        if let Some(hard_state) = hard_state {
            batch.hard_state(shard, hard_state)?;
        }
        self.write(batch)
    }

    fn batch(&self) -> Batch<'static> {
        Engine::batch_of(&self.0)
    }

    fn write(&self, batch: Batch<'_>) -> Result<()> {
        Engine::write_to(&self.0, batch)
    }

    fn store(&self) -> &Store {
        &self.0.snapshots.store
    }

    fn check_usable(&self) -> Result<()> {
        self.0.check_open()?;
        match self.0.wal.poisoned() {
            Some(first) => Err(Error::Poisoned { first: Arc::new(first.into()) }),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Snapshots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshots").finish_non_exhaustive()
    }
}

/// What an open engine has of snapshots.
pub(crate) struct Kept {
    pub(crate) store: Store,
    /// How many of a shard stay when another is registered.
    pub(crate) kept: u32,
}

/// Takes over the snapshots beside the log, and removes what a crash left. The log must be durable as it was
/// recovered: what it does not name is gone after this.
pub(crate) fn open(disk: Arc<dyn Disk>, wal: &Wal, shards: &ShardMap, config: &Config) -> Result<Kept> {
    // A registration may be among what is lost: then nobody knows whose the file is, but the file.
    let spared = |shard| mutants::is_on(Mutant::LeftoverKept) || may_lack(shards, ShardId(shard));
    let host = Arc::new(Beside(wal.clone()));
    let opened = Store::open(disk, wal.log_id(), host, registered(shards), spared);
    let store = opened.map_err(|error| match error {
        // Of the opening, as any other.
        SnapshotError::Io { what, error } => Error::Io { what, error },
        error => error.into(),
    })?;
    Ok(Kept { store, kept: config.snapshots_kept })
}

/// The snapshots beside a log that is only looked at.
pub(crate) fn view(disk: Arc<dyn Disk>, log: [u64; 2], shards: &ShardMap) -> Store {
    Store::view(disk, log, Arc::new(Onlooker), registered(shards))
}

/// All snapshots that the log names.
fn registered(shards: &ShardMap) -> Vec<(u64, Registered)> {
    let of_shard = |id: ShardId| {
        let cell = shards.get(id)?;
        let snapshots = cell.state.lock().snapshots().to_vec();
        Some(snapshots.into_iter().map(move |snapshot| (id.0, snapshot)))
    };
    shards.ids().into_iter().filter_map(of_shard).flatten().collect()
}

/// Whether a registration of the shard is lost, or may be.
fn may_lack(shards: &ShardMap, shard: ShardId) -> bool {
    let found = shards.find(shard);
    let cell = found.as_ref().unwrap_or_else(|| shards.absent());
    if !cell.published.load().quarantined {
        return false;
    }
    let state = cell.state.lock();
    state.missing().is_some_and(|missing| missing.snapshot.is_some() || missing.suffix)
}

/// Says which part of the logs readers of snapshots will need, if the batch compacts any.
pub(crate) fn hold(core: &Core, buffers: &Buffers<'_>, locked: &mut [Locked<'_>]) {
    let compacts = buffers.operations.iter().any(|(_, operation)| matches!(operation, Operation::Compact { .. }));
    if !compacts || !core.snapshots.store.has_leases() || mutants::is_on(Mutant::LeaseNotHeld) {
        return;
    }
    for locked in locked {
        locked.held = core.snapshots.store.held(locked.cell.id.0);
    }
}

/// Refuses to register what cannot be. Nobody else registers snapshots of these shards meanwhile.
pub(crate) fn check(core: &Core, buffers: &Buffers<'_>, locked: &[Locked<'_>]) -> Result<()> {
    if buffers.built.is_empty() {
        return Ok(());
    }
    let mut built = buffers.built.iter();
    let mut lists: BTreeMap<ShardId, Vec<Registered>> =
        locked.iter().map(|locked| (locked.cell.id, locked.cell.state.lock().snapshots().to_vec())).collect();
    for (shard, operation) in &buffers.operations {
        let list = lists.entry(*shard).or_default();
        match *operation {
            Operation::Register { kept, .. } => {
                let Some(built) = built.next() else { continue };
                core.snapshots.store.check(shard.0, list, built)?;
                built.registration().registered_in(list, kept as usize);
            }
            Operation::Forget { id } => list.retain(|known| known.id != id),
            Operation::Destroy => list.clear(),
            _ => {}
        }
    }
    Ok(())
}

/// Has everyone see the snapshots that the shards have after a batch, which lies in `group`. What they had besides is
/// removed when that is durable, and not here.
pub(crate) fn publish(
    core: &Core,
    buffers: &Buffers<'_>,
    locked: &[Locked<'_>],
    states: &[MutexGuard<'_, State>],
    group: u64,
) {
    let group = if mutants::is_on(Mutant::SnapshotGoneEarly) { 0 } else { group };
    for planned in &buffers.plan {
        if !matches!(planned.operation, Operation::Register { .. } | Operation::Forget { .. } | Operation::Destroy) {
            continue;
        }
        if let (Some(locked), Some(state)) = (locked.get(planned.slot), states.get(planned.slot)) {
            core.snapshots.store.set(locked.cell.id.0, state.snapshots(), group);
        }
    }
}

/// How soon to look again for something that no kick announces.
const SOON: Duration = Duration::from_millis(5);

/// Removes the files of snapshots that nobody needs any more.
pub(crate) fn step(core: &Core, now: Duration) -> Result<Step> {
    let waits = core.snapshots.store.sweep(core.wal.durable())?;
    Ok(if waits { Step::At(now.saturating_add(SOON)) } else { Step::Parked })
}

/// In the place of a log that cannot be written to: nothing is made, and nothing synced.
#[derive(Debug)]
struct Onlooker;

impl Host for Onlooker {
    fn nonce(&self) -> u64 {
        0
    }

    fn sync_failed(&self, _what: &str, _error: &io::Error) {}
}

/// The log, as the snapshots beside it see it.
struct Beside(Wal);

impl fmt::Debug for Beside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Beside")
    }
}

impl Host for Beside {
    fn nonce(&self) -> u64 {
        self.0.nonce()
    }

    fn sync_failed(&self, what: &str, error: &io::Error) {
        // An error is of one owner, and the log tells everyone of this one.
        let copy = error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error);
        self.0.sync_failed(what, copy);
    }

    fn has_work(&self) {
        self.0.worker().kick();
    }
}
