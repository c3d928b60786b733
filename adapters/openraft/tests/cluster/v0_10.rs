//! The cluster under openraft 0.10.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    io,
    sync::Arc,
};

use logboom::Engine;
use logboom_openraft::{
    Data, Options, SnapshotData,
    v0_10::{
        LogStore, MachineStore, openraft,
        openraft::{
            BasicNode, Config, OptionalSend, Raft, RaftNetworkFactory, RaftNetworkV2, Snapshot,
            async_runtime::watch::WatchReceiver,
            errors::{RPCError, ReplicationClosed, StreamingError, Unreachable},
            network::RPCOption,
            raft::{AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse},
            type_config::alias::{SnapshotOf, VoteOf},
        },
    },
};

use crate::scenario::{self, GROUP, Node, Peers, Texts, ship};

openraft::declare_raft_types!(
    pub(crate) Types:
        D = Data,
        R = u64,
);

type Group = Raft<Types, MachineStore<Types, Texts>>;

#[test]
fn a_cluster_on_0_10() {
    scenario::run::<OnV0_10>();
}

struct OnV0_10 {
    raft: Group,
    machine: MachineStore<Types, Texts>,
}

impl Node for OnV0_10 {
    const CORE: &'static str = "openraft 0.10";
    type Raft = Peer;

    async fn start(id: u64, engine: &Engine, peers: &Peers<Peer>) -> Self {
        let config = Config { max_in_snapshot_log_to_keep: 0, ..Config::default() }.validate().unwrap();
        let machine = MachineStore::open(engine, GROUP, Texts::default()).unwrap();
        let log = LogStore::new(engine, GROUP, Options::default());
        let raft = Raft::new(id, Arc::new(config), Network(peers.clone()), log, machine.clone()).await.unwrap();
        peers.lock().insert(id, Peer { raft: raft.clone(), machine: machine.clone() });
        Self { raft, machine }
    }

    async fn found(&self) {
        let nodes: BTreeMap<u64, BasicNode> = (1..=3).map(|id| (id, BasicNode::new(format!("node {id}")))).collect();
        self.raft.initialize(nodes).await.unwrap();
    }

    async fn write(&self, data: Data) -> bool {
        self.raft.client_write(data).await.is_ok()
    }

    async fn join(&self, id: u64) -> bool {
        let node = BasicNode::new(format!("node {id}"));
        let members = (1..=id).collect::<BTreeSet<_>>();
        self.raft.add_learner(id, node, true).await.is_ok() && self.raft.change_membership(members, false).await.is_ok()
    }

    async fn compact(&self) {
        self.raft.trigger().snapshot().await.unwrap();
        let snapshot = self.raft.metrics().borrow_watched().snapshot;
        if let Some(snapshot) = snapshot {
            self.raft.trigger().purge_log(snapshot.index).await.unwrap();
        }
    }

    fn texts(&self) -> Texts {
        self.machine.read(Texts::clone)
    }

    async fn stop(self) {
        self.raft.shutdown().await.unwrap();
    }
}

/// A node as its peers reach it.
#[derive(Clone)]
pub(crate) struct Peer {
    raft: Group,
    machine: MachineStore<Types, Texts>,
}

pub(crate) struct Network(pub(crate) Peers<Peer>);

pub(crate) struct Link {
    peers: Peers<Peer>,
    target: u64,
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Link;

    async fn new_client(&mut self, target: u64, _: &BasicNode) -> Link {
        Link { peers: self.0.clone(), target }
    }
}

impl Link {
    fn peer(&self) -> Result<Peer, Unreachable<Types>> {
        self.peers.lock().get(&self.target).cloned().ok_or_else(|| unreachable(&io::Error::other("it is down")))
    }
}

impl RaftNetworkV2<Types> for Link {
    type SnapshotData = SnapshotData;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types>,
        _: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        Ok(self.peer()?.raft.append_entries(rpc).await.map_err(|error| unreachable(&error))?)
    }

    async fn vote(&mut self, rpc: VoteRequest<Types>, _: RPCOption) -> Result<VoteResponse<Types>, RPCError<Types>> {
        Ok(self.peer()?.raft.vote(rpc).await.map_err(|error| unreachable(&error))?)
    }

    async fn full_snapshot(
        &mut self,
        vote: VoteOf<Types>,
        snapshot: SnapshotOf<Types, SnapshotData>,
        _: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let peer = self.peer()?;
        let mut received = peer.machine.receive();
        ship(&snapshot.snapshot, &mut received).map_err(|error| unreachable(&error))?;
        let received = Snapshot { meta: snapshot.meta, snapshot: received };
        Ok(peer.raft.install_full_snapshot(vote, received).await.map_err(|error| unreachable(&error))?)
    }
}

fn unreachable(error: &(impl std::error::Error + 'static)) -> Unreachable<Types> {
    Unreachable::new(error)
}
