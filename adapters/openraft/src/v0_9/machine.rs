//! The state machine of a group, for openraft 0.9.

use std::fmt;

use logboom::{Engine, ShardId, snapshot::Lease};
use openraft::{
    ErrorSubject, ErrorVerb, LeaderId, LogId, Membership, NodeId, OptionalSend, RaftLogId, RaftSnapshotBuilder,
    RaftTypeConfig, Snapshot, SnapshotMeta, StorageError, StoredMembership, entry::RaftPayload,
    storage::RaftStateMachine,
};

use super::log::{failed, log_id};
use crate::{
    entry::StoredEntry,
    field::Field,
    machine::StateMachine,
    machine_handle::{AppliedState, MachineHandle, PendingSnapshot},
    membership,
    snapshot_data::SnapshotData,
};

/// A state machine of the application in its raft group, with its snapshots in the engine: openraft's
/// `RaftStateMachine`.
///
/// A snapshot is streamed to disk from a view of the state, and registered through the log: a crash leaves the old one
/// or the new one. The group has one at a time; one that is being sent stays until that ends.
///
/// Clones are handles to the same machine, for code that [reads](MachineStore::read) it.
pub struct MachineStore<C: RaftTypeConfig, M>(MachineHandle<M, Applied<C>>);

/// Saves a view of the state as a snapshot: openraft's `RaftSnapshotBuilder`.
pub struct SnapshotBuilder<C: RaftTypeConfig, M: StateMachine>(PendingSnapshot<M::View, Applied<C>>);

/// What was applied last, and the membership as of that.
struct Applied<C: RaftTypeConfig> {
    last: Option<LogId<C::NodeId>>,
    membership: StoredMembership<C::NodeId, C::Node>,
}

type Result<T, C> = std::result::Result<T, StorageError<<C as RaftTypeConfig>::NodeId>>;

impl<C, M> MachineStore<C, M>
where
    C: RaftTypeConfig,
    C::NodeId: Field,
    C::Node: Field,
    M: StateMachine,
{
    /// Puts a machine that is empty into its group, the log of which is on `shard`, and recovers it from the group's
    /// snapshot if there is one. Reads that in the calling thread.
    ///
    /// # Errors
    /// [`Error::Engine`](crate::Error::Engine), with `Quarantined` if the newest snapshot may be lost;
    /// [`Error::Machine`](crate::Error::Machine); [`Error::Malformed`](crate::Error::Malformed).
    pub fn open(engine: &Engine, shard: ShardId, machine: M) -> crate::error::Result<Self> {
        Ok(Self(MachineHandle::open(engine, shard, machine)?))
    }

    /// What `query` finds in the machine. Applying waits for it.
    pub fn read<T>(&self, query: impl FnOnce(&M) -> T) -> T {
        query(&self.0.read().machine)
    }
}

impl<C, M> RaftStateMachine<C> for MachineStore<C, M>
where
    C: RaftTypeConfig<SnapshotData = SnapshotData>,
    C::Entry: StoredEntry<Data = C::D>,
    C::R: Default,
    C::NodeId: Field,
    C::Node: Field,
    M: StateMachine<Data = C::D, Reply = C::R>,
{
    type SnapshotBuilder = SnapshotBuilder<C, M>;

    async fn applied_state(&mut self) -> Result<(Option<LogId<C::NodeId>>, StoredMembership<C::NodeId, C::Node>), C> {
        let stands = self.0.read().stands.clone();
        Ok((stands.last, stands.membership))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<C::R>, C>
    where
        I: IntoIterator<Item = C::Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut replies = Vec::new();
        for entry in entries {
            let id = entry.get_log_id().clone();
            let applied = self.apply_one(id.clone(), entry);
            replies.push(applied.map_err(failed(ErrorSubject::Apply(id), ErrorVerb::Write))?);
        }
        Ok(replies)
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder<C, M> {
        SnapshotBuilder(self.0.prepare_snapshot())
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<SnapshotData>, C> {
        Ok(Box::new(self.0.receive()))
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta<C::NodeId, C::Node>,
        snapshot: Box<SnapshotData>,
    ) -> Result<(), C> {
        let last = meta.last_log_id.as_ref().map(parts);
        self.0.install(*snapshot, last).await.map_err(failed(ErrorSubject::Snapshot(None), ErrorVerb::Write))
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<C>>, C> {
        let current = self.0.current().map_err(failed(ErrorSubject::Snapshot(None), ErrorVerb::Read))?;
        Ok(current.map(|(stands, lease)| snapshot(stands, lease)))
    }
}

impl<C, M> MachineStore<C, M>
where
    C: RaftTypeConfig,
    C::Entry: StoredEntry<Data = C::D>,
    C::R: Default,
    C::NodeId: Field,
    C::Node: Field,
    M: StateMachine<Data = C::D, Reply = C::R>,
{
    fn apply_one(&self, id: LogId<C::NodeId>, entry: C::Entry) -> crate::error::Result<C::R> {
        let mut replica = self.0.write();
        if let Some(membership) = entry.get_membership() {
            replica.stands.membership = StoredMembership::new(Some(id.clone()), membership.clone());
        }
        let reply = match entry.into_data() {
            Some(data) => replica.machine.apply(id.index, data).map_err(self.0.machine_failed("apply"))?,
            None => C::R::default(),
        };
        replica.stands.last = Some(id);
        Ok(reply)
    }
}

impl<C: RaftTypeConfig> AppliedState for Applied<C>
where
    C::NodeId: Field,
    C::Node: Field,
{
    type Leader = LeaderId<C::NodeId>;

    fn last(&self) -> Option<(&LeaderId<C::NodeId>, u64)> {
        self.last.as_ref().map(parts)
    }

    fn encode_membership(&self) -> Vec<u8> {
        let (id, membership) = (self.membership.log_id().as_ref().map(parts), self.membership.membership());
        membership::encode_stored(id, membership.get_joint_config(), membership.nodes())
    }

    fn decode(membership: &[u8], last: Option<(LeaderId<C::NodeId>, u64)>) -> Option<Self> {
        let (id, (configs, nodes)) = membership::decode_stored(membership)?;
        let membership = StoredMembership::new(id.map(log_id), Membership::new(configs, nodes));
        Some(Self { last: last.map(log_id), membership })
    }
}

impl<C, M> RaftSnapshotBuilder<C> for SnapshotBuilder<C, M>
where
    C: RaftTypeConfig<SnapshotData = SnapshotData>,
    C::NodeId: Field,
    C::Node: Field,
    M: StateMachine,
{
    async fn build_snapshot(&mut self) -> Result<Snapshot<C>, C> {
        let saved = self.0.save().await.map_err(failed(ErrorSubject::Snapshot(None), ErrorVerb::Write))?;
        Ok(snapshot(saved.0, saved.1))
    }
}

fn snapshot<C: RaftTypeConfig<SnapshotData = SnapshotData>>(stands: Applied<C>, lease: Lease) -> Snapshot<C> {
    let meta = SnapshotMeta {
        last_log_id: stands.last,
        last_membership: stands.membership,
        snapshot_id: format!("{:016x}", lease.manifest().id),
    };
    Snapshot { meta, snapshot: Box::new(lease.into()) }
}

fn parts<I: NodeId>(id: &LogId<I>) -> (&LeaderId<I>, u64) {
    (&id.leader_id, id.index)
}

impl<C: RaftTypeConfig> Clone for Applied<C> {
    fn clone(&self) -> Self {
        Self { last: self.last.clone(), membership: self.membership.clone() }
    }
}

impl<C: RaftTypeConfig> Default for Applied<C> {
    fn default() -> Self {
        Self { last: None, membership: StoredMembership::default() }
    }
}

impl<C: RaftTypeConfig, M> Clone for MachineStore<C, M> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<C: RaftTypeConfig, M> fmt::Debug for MachineStore<C, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MachineStore").field(&self.0.shard()).finish()
    }
}

impl<C: RaftTypeConfig, M: StateMachine> fmt::Debug for SnapshotBuilder<C, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SnapshotBuilder")
    }
}
