//! The state machine of a group, for openraft 0.10.

use std::{fmt, io};

use futures_util::{Stream, TryStreamExt};
use logboom::{Engine, ShardId, snapshot::Lease};
use openraft_v0_10::{
    LogId, Membership, OptionalSend, RaftSnapshotBuilder, RaftTypeConfig, Snapshot, SnapshotMeta, StoredMembership,
    entry::RaftEntry,
    storage::{EntryResponder, RaftStateMachine},
    type_config::alias::{CommittedLeaderIdOf, LogIdOf, SnapshotMetaOf, SnapshotOf, StoredMembershipOf},
    vote::RaftCommittedLeaderId,
};

use super::log::{failed, log_id};
use crate::{
    entry::StoredEntry,
    field::Field,
    log_id::Leader,
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
    last: Option<LogIdOf<C>>,
    membership: StoredMembershipOf<C>,
}

impl<C, M> MachineStore<C, M>
where
    C: RaftTypeConfig,
    C::NodeId: Field,
    C::Node: Field,
    CommittedLeaderIdOf<C>: Leader,
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

    /// A handle for a snapshot that is going to arrive: what a network fills before it calls
    /// `Raft::install_full_snapshot`.
    pub fn receive(&self) -> SnapshotData {
        self.0.receive()
    }
}

impl<C, M> RaftStateMachine<C> for MachineStore<C, M>
where
    C: RaftTypeConfig,
    C::R: Default,
    C::NodeId: Field,
    C::Node: Field,
    CommittedLeaderIdOf<C>: Leader,
    C::Entry: StoredEntry<Data = C::D>,
    M: StateMachine<Data = C::D, Reply = C::R>,
{
    type SnapshotData = SnapshotData;
    type SnapshotBuilder = SnapshotBuilder<C, M>;

    async fn applied_state(&mut self) -> io::Result<(Option<LogIdOf<C>>, StoredMembershipOf<C>)> {
        let stands = self.0.read().stands.clone();
        Ok((stands.last, stands.membership))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<C>>> + Unpin + OptionalSend,
    {
        while let Some((entry, responder)) = entries.try_next().await? {
            let reply = self.apply_one(entry).map_err(failed)?;
            if let Some(responder) = responder {
                responder.send(reply);
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder<C, M> {
        SnapshotBuilder(self.0.prepare_snapshot())
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMetaOf<C>, snapshot: SnapshotData) -> io::Result<()> {
        self.0.install(snapshot, meta.last_log_id.as_ref().map(parts)).await.map_err(failed)
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<SnapshotOf<C, SnapshotData>>> {
        Ok(self.0.current().map_err(failed)?.map(snapshot::<C>))
    }
}

impl<C, M> MachineStore<C, M>
where
    C: RaftTypeConfig,
    C::R: Default,
    C::Entry: StoredEntry<Data = C::D>,
    M: StateMachine<Data = C::D, Reply = C::R>,
{
    fn apply_one(&self, entry: C::Entry) -> crate::error::Result<C::R> {
        let mut replica = self.0.write();
        let id = entry.log_id();
        if let Some(membership) = entry.get_membership() {
            replica.stands.membership = StoredMembership::new(Some(id.clone()), membership);
        }
        let reply = match entry.into_data() {
            Some(data) => replica.machine.apply(id.index, data).map_err(self.0.machine_failed("apply"))?,
            None => C::R::default(),
        };
        replica.stands.last = Some(id);
        Ok(reply)
    }
}

impl<C> AppliedState for Applied<C>
where
    C: RaftTypeConfig,
    C::NodeId: Field,
    C::Node: Field,
    CommittedLeaderIdOf<C>: Leader,
{
    type Leader = CommittedLeaderIdOf<C>;

    fn last(&self) -> Option<(&CommittedLeaderIdOf<C>, u64)> {
        self.last.as_ref().map(parts)
    }

    fn encode_membership(&self) -> Vec<u8> {
        let (id, membership) = (self.membership.log_id().as_ref().map(parts), self.membership.membership());
        membership::encode_stored(id, membership.get_joint_config(), membership.nodes())
    }

    fn decode(membership: &[u8], last: Option<(CommittedLeaderIdOf<C>, u64)>) -> Option<Self> {
        let (id, (configs, nodes)) = membership::decode_stored(membership)?;
        let membership = Membership::new(configs, nodes).ok()?;
        Some(Self { last: last.map(log_id), membership: StoredMembership::new(id.map(log_id), membership) })
    }
}

impl<C, M> RaftSnapshotBuilder<C> for SnapshotBuilder<C, M>
where
    C: RaftTypeConfig,
    C::NodeId: Field,
    C::Node: Field,
    CommittedLeaderIdOf<C>: Leader,
    M: StateMachine,
{
    type SnapshotData = SnapshotData;

    async fn build_snapshot(&mut self) -> io::Result<SnapshotOf<C, SnapshotData>> {
        Ok(snapshot::<C>(self.0.save().await.map_err(failed)?))
    }
}

fn snapshot<C: RaftTypeConfig>((stands, lease): (Applied<C>, Lease)) -> SnapshotOf<C, SnapshotData> {
    let meta = SnapshotMeta { last_log_id: stands.last, last_membership: stands.membership };
    Snapshot { meta, snapshot: lease.into() }
}

fn parts<L: RaftCommittedLeaderId>(id: &LogId<L>) -> (&L, u64) {
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
