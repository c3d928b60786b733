//! The cluster under openraft 0.9.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use logboom::Engine;
use logboom_openraft::{
    Data, Options, SnapshotData,
    v0_9::{
        LogStore, MachineStore, openraft,
        openraft::{
            BasicNode, Config, Entry, Raft, RaftNetwork, RaftNetworkFactory, TokioRuntime,
            error::{RPCError, RaftError, Unreachable},
            network::RPCOption,
            raft::{AppendEntriesRequest, AppendEntriesResponse, VoteRequest, VoteResponse},
        },
    },
};

#[cfg(feature = "generic-snapshot-data")]
use logboom_openraft::v0_9::openraft::{
    OptionalSend, Snapshot, Vote,
    error::{Fatal, ReplicationClosed, StreamingError},
    raft::SnapshotResponse,
};
#[cfg(not(feature = "generic-snapshot-data"))]
use logboom_openraft::v0_9::openraft::{
    error::{InstallSnapshotError, RemoteError},
    raft::{InstallSnapshotRequest, InstallSnapshotResponse},
};

#[cfg(feature = "generic-snapshot-data")]
use crate::scenario::ship;
use crate::scenario::{self, GROUP, Node, Peers, Texts};

openraft::declare_raft_types!(
    pub(crate) Types:
        D = Data,
        R = u64,
        NodeId = u64,
        Node = BasicNode,
        Entry = Entry<Types>,
        SnapshotData = SnapshotData,
        AsyncRuntime = TokioRuntime,
);

#[test]
fn a_cluster_on_0_9() {
    scenario::run::<OnV0_9>();
}

struct OnV0_9 {
    raft: Raft<Types>,
    machine: MachineStore<Types, Texts>,
}

impl Node for OnV0_9 {
    const CORE: &'static str = "openraft 0.9";
    type Raft = Raft<Types>;

    async fn start(id: u64, engine: &Engine, peers: &Peers<Raft<Types>>) -> Self {
        // Offsets, where those are sent, are of any place in the stream.
        let config = Config { max_in_snapshot_log_to_keep: 0, snapshot_max_chunk_size: 100, ..Config::default() };
        let config = config.validate().unwrap();
        let machine = MachineStore::open(engine, GROUP, Texts::default()).unwrap();
        let log = LogStore::new(engine, GROUP, Options::default());
        let raft = Raft::new(id, Arc::new(config), Network(peers.clone()), log, machine.clone()).await.unwrap();
        peers.lock().insert(id, raft.clone());
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
        let snapshot = self.raft.metrics().borrow().snapshot;
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

struct Network(Peers<Raft<Types>>);

struct Link {
    peers: Peers<Raft<Types>>,
    target: u64,
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Link;

    async fn new_client(&mut self, target: u64, _: &BasicNode) -> Link {
        Link { peers: self.0.clone(), target }
    }
}

impl Link {
    fn peer(&self) -> Result<Raft<Types>, Unreachable> {
        self.peers.lock().get(&self.target).cloned().ok_or_else(|| unreachable(&std::io::Error::other("it is down")))
    }
}

impl RaftNetwork<Types> for Link {
    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types>,
        _: RPCOption,
    ) -> Result<AppendEntriesResponse<u64>, RPCError<u64, BasicNode, RaftError<u64>>> {
        Ok(self.peer()?.append_entries(rpc).await.map_err(|error| unreachable(&error))?)
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<u64>,
        _: RPCOption,
    ) -> Result<VoteResponse<u64>, RPCError<u64, BasicNode, RaftError<u64>>> {
        Ok(self.peer()?.vote(rpc).await.map_err(|error| unreachable(&error))?)
    }

    #[cfg(not(feature = "generic-snapshot-data"))]
    async fn install_snapshot(
        &mut self,
        rpc: InstallSnapshotRequest<Types>,
        _: RPCOption,
    ) -> Result<InstallSnapshotResponse<u64>, RPCError<u64, BasicNode, RaftError<u64, InstallSnapshotError>>> {
        // A transfer that is out of step is the sender's to begin anew, so it is told what was said.
        Ok(self.peer()?.install_snapshot(rpc).await.map_err(|error| RemoteError::new(self.target, error))?)
    }

    #[cfg(feature = "generic-snapshot-data")]
    async fn full_snapshot(
        &mut self,
        vote: Vote<u64>,
        snapshot: Snapshot<Types>,
        _: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _: RPCOption,
    ) -> Result<SnapshotResponse<u64>, StreamingError<Types, Fatal<u64>>> {
        let peer = self.peer()?;
        let mut received = peer.begin_receiving_snapshot().await.map_err(|error| unreachable(&error))?;
        ship(&snapshot.snapshot, &mut received).map_err(|error| unreachable(&error))?;
        let received = Snapshot { meta: snapshot.meta, snapshot: received };
        Ok(peer.install_full_snapshot(vote, received).await.map_err(|error| unreachable(&error))?)
    }
}

fn unreachable(error: &(impl std::error::Error + 'static)) -> Unreachable {
    Unreachable::new(error)
}
