//! A state machine and its snapshots, shared by both versions of openraft.

use std::sync::Arc;

use logboom::{
    Durability, Engine, EntryId, ShardId,
    snapshot::{Built, Error as SnapshotError, Lease, Manifest, Spec, Stop},
};
use parking_lot::{Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::{
    error::{Error, Failure, Result},
    log::submit,
    log_id::{self, Leader},
    machine::{SnapshotView, StateMachine},
    offload::{self, offload},
    snapshot_data::{Arrived, SnapshotData},
};

/// The snapshot's file for the machine's state.
const STATE: &str = "state";

/// Last log id and membership of a state, in the types of one version of openraft.
pub(crate) trait AppliedState: Clone + Default + Send + Sync + 'static {
    type Leader: Leader;

    /// The last applied entry, if any.
    fn last(&self) -> Option<(&Self::Leader, u64)>;

    /// Encodes the membership as of that entry, with its log id.
    fn encode_membership(&self) -> Vec<u8>;

    /// Decodes both.
    fn decode(membership: &[u8], last: Option<(Self::Leader, u64)>) -> Option<Self>;
}

/// A machine of a group with its applied state. Clones are handles to the same machine.
pub(crate) struct MachineHandle<M, S> {
    engine: Engine,
    shard: ShardId,
    replica: Arc<RwLock<Replica<M, S>>>,
}

pub(crate) struct Replica<M, S> {
    pub(crate) machine: M,
    pub(crate) stands: S,
}

/// A state at one moment, to be saved as a snapshot.
pub(crate) struct PendingSnapshot<V, S> {
    engine: Engine,
    shard: ShardId,
    stands: S,
    /// Taken by the first attempt. The lock makes the type `Sync`, which openraft requires but does not use.
    view: Mutex<Option<Result<V>>>,
}

impl<M: StateMachine, S: AppliedState> MachineHandle<M, S> {
    /// Takes an empty machine, and recovers it from the group's snapshot if there is one.
    pub(crate) fn open(engine: &Engine, shard: ShardId, machine: M) -> Result<Self> {
        let mut replica = Replica { machine, stands: S::default() };
        if let Some(lease) = engine.snapshots().newest(shard)? {
            replica.recover(shard, &lease)?;
        }
        Ok(Self { engine: engine.clone(), shard, replica: Arc::new(RwLock::new(replica)) })
    }

    /// Prepares to save the current state.
    pub(crate) fn prepare_snapshot(&self) -> PendingSnapshot<M::View, S> {
        let replica = self.read();
        let view = replica.machine.view().map_err(self.machine_failed("be viewed"));
        PendingSnapshot {
            engine: self.engine.clone(),
            shard: self.shard,
            stands: replica.stands.clone(),
            view: Mutex::new(Some(view)),
        }
    }

    /// The group's snapshot, with its applied state.
    pub(crate) fn current(&self) -> Result<Option<(S, Lease)>> {
        current(&self.engine, self.shard)
    }

    pub(crate) fn receive(&self) -> SnapshotData {
        SnapshotData::receive(&self.engine, self.shard)
    }

    /// Registers a received snapshot of the entry `last` as the group's only one, and recovers the machine from it.
    pub(crate) async fn install(&self, data: SnapshotData, last: Option<(&S::Leader, u64)>) -> Result<()> {
        let arrived = data.arrived().ok_or(Error::Unfinished { shard: self.shard })?;
        let said = log_id::encode_option(last);
        if arrived.manifest().metadata != said {
            let what = format!("snapshot {:016x}", arrived.manifest().id);
            return Err(Error::malformed(self.shard, what, "it is of another entry than was said"));
        }
        let (engine, shard) = (self.engine.clone(), self.shard);
        let lease = match offload(move || obtain(&engine, shard, arrived)).await.ok_or_else(panicked)?? {
            Obtained::Ours(lease) => lease,
            Obtained::New(built) => {
                register(&self.engine, self.shard, &built).await?;
                built.lease()
            }
        };
        let machine_handle = self.clone();
        offload(move || machine_handle.write().recover(machine_handle.shard, &lease)).await.ok_or_else(panicked)?
    }
}

impl<M: StateMachine, S: AppliedState> Replica<M, S> {
    fn recover(&mut self, shard: ShardId, lease: &Lease) -> Result<()> {
        let stands = stands(shard, lease.manifest())?;
        let failed = |failure| Error::Machine { shard, what: "recover", failure };
        self.machine.recover(&mut lease.open(STATE)?).map_err(failed)?;
        self.stands = stands;
        Ok(())
    }
}

impl<V: SnapshotView, S: AppliedState> PendingSnapshot<V, S> {
    /// Saves the state and registers it as the group's snapshot. Returns the newer one if the group got one meanwhile.
    pub(crate) async fn save(&mut self) -> Result<(S, Lease)> {
        let view = self.view.get_mut().take().unwrap_or_else(|| Err(panicked()))?;
        let (engine, shard, stands) = (self.engine.clone(), self.shard, self.stands.clone());
        let saved = match offload(move || build(&engine, shard, &stands, view)).await.ok_or_else(panicked)? {
            Ok(built) => register(&self.engine, self.shard, &built).await.map(|()| built.lease()),
            Err(error) => Err(error),
        };
        match saved {
            Ok(lease) => Ok((self.stands.clone(), lease)),
            Err(Error::Engine(logboom::Error::Snapshot(SnapshotError::Stale { .. }))) => {
                current(&self.engine, self.shard)?.ok_or(Error::Unfinished { shard: self.shard })
            }
            Err(error) => Err(error),
        }
    }
}

impl<M, S> MachineHandle<M, S> {
    pub(crate) fn shard(&self) -> ShardId {
        self.shard
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Replica<M, S>> {
        self.replica.read()
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, Replica<M, S>> {
        self.replica.write()
    }

    pub(crate) fn machine_failed(&self, what: &'static str) -> impl FnOnce(Failure) -> Error {
        let shard = self.shard;
        move |failure| Error::Machine { shard, what, failure }
    }
}

impl<M, S> Clone for MachineHandle<M, S> {
    fn clone(&self) -> Self {
        Self { engine: self.engine.clone(), shard: self.shard, replica: Arc::clone(&self.replica) }
    }
}

/// A snapshot of this engine.
enum Obtained {
    /// It is registered for the group already.
    Ours(Lease),
    New(Built),
}

fn obtain(engine: &Engine, shard: ShardId, arrived: Arrived) -> Result<Obtained> {
    let lease = match arrived {
        Arrived::Received(receiver) => return Ok(Obtained::New(receiver.finish()?)),
        Arrived::Held(lease) => lease,
    };
    let newest = engine.snapshots().newest(shard)?;
    if newest.is_some_and(|newest| newest.manifest().id == lease.manifest().id) {
        return Ok(Obtained::Ours(lease));
    }
    // The lease is of another engine in this process.
    let mut receiver = engine.snapshots().receive(shard, &lease.manifest_bytes(), &Stop::new())?;
    for chunk in lease.chunks(None)? {
        receiver.accept(&chunk?)?;
    }
    Ok(Obtained::New(receiver.finish()?))
}

fn build<S: AppliedState>(engine: &Engine, shard: ShardId, stands: &S, view: impl SnapshotView) -> Result<Built> {
    let last = stands.last();
    let (index, term) = last.map_or((0, 0), |(leader, index)| (index, leader.term()));
    let (membership, metadata) = (stands.encode_membership(), log_id::encode_option(last));
    let spec = Spec { membership, metadata, ..Spec::new(shard.0, EntryId { index, term }) };
    let mut builder = engine.snapshots().build(spec, &Stop::new())?;
    let saved = view.save(&mut builder.file(STATE)?);
    // An error of the disk is the cause of the view's error.
    let built = builder.finish()?;
    saved.map_err(|failure| Error::Machine { shard, what: "be saved", failure })?;
    Ok(built)
}

async fn register(engine: &Engine, shard: ShardId, built: &Built) -> Result<()> {
    let mut batch = engine.batch();
    batch.register_snapshot(shard, built)?;
    Ok(submit(engine, batch, Durability::Durable).await?.await?)
}

fn current<S: AppliedState>(engine: &Engine, shard: ShardId) -> Result<Option<(S, Lease)>> {
    match engine.snapshots().newest(shard)? {
        Some(lease) => Ok(Some((stands(shard, lease.manifest())?, lease))),
        None => Ok(None),
    }
}

fn stands<S: AppliedState>(shard: ShardId, manifest: &Manifest) -> Result<S> {
    let last = log_id::decode_option(&manifest.metadata);
    let stands = last.and_then(|last| S::decode(&manifest.membership, last));
    stands.ok_or_else(|| {
        Error::malformed(shard, format!("snapshot {:016x}", manifest.id), "it stands for nothing of these types")
    })
}

fn panicked() -> Error {
    Error::Engine(logboom::Error::Io { what: "a snapshot".into(), error: offload::panicked().into() })
}
