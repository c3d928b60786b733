//! Openraft's network: a client for each shard and peer, over shared `Calls`.

use std::{
    fmt,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use logboom_rsm::Failure;
use openraft::{
    EmptyNode, OptionalSend, RaftNetwork, RaftNetworkFactory, Snapshot, Vote,
    error::{Fatal, RPCError, RaftError, ReplicationClosed, StreamingError, Unreachable},
    network::{Backoff, RPCOption},
    raft::{AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse},
};
use tokio::task::block_in_place;

use super::{
    Types,
    calls::Calls,
    messages::{Answer, Question},
};

/// Makes clients of the other replicas of a shard.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    pub(crate) calls: Arc<Calls>,
    pub(crate) shard: u64,
    /// The pause before the next request to a peer that did not answer.
    pub(crate) pause: Duration,
    /// The longest that a peer may take for one step of a snapshot transfer.
    pub(crate) patience: Duration,
    /// Counts the snapshots that were sent completely.
    pub(crate) sent: Arc<AtomicU64>,
}

/// A client of another replica.
#[derive(Debug)]
pub(crate) struct Peer {
    network: Network,
    id: u64,
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Peer;

    async fn new_client(&mut self, target: u64, _: &EmptyNode) -> Peer {
        Peer { network: self.clone(), id: target }
    }
}

type Rpc<T> = Result<T, RPCError<u64, EmptyNode, RaftError<u64>>>;

impl Peer {
    async fn ask(&self, question: Question, patience: Duration) -> Result<Answer, Failure> {
        match self.network.calls.ask(self.id, self.network.shard, question, patience).await? {
            Answer::Failed(why) => Err(why.into()),
            answer => Ok(answer),
        }
    }

    /// Sends the chunks that the peer asks for until it has all, and tells it to install the snapshot.
    async fn send(&self, vote: Vote<u64>, snapshot: Snapshot<Types>) -> Result<Vote<u64>, Failure> {
        let Snapshot { meta, snapshot } = snapshot;
        let manifest = snapshot.manifest_bytes().ok_or("there is nothing to send")?;
        let mut answer = self.ask(Question::Snapshot(manifest), self.network.patience).await?;
        while let Answer::Wanted(Some(at)) = answer {
            let chunk = block_in_place(|| snapshot.chunk(at))?;
            answer = self.ask(Question::Chunk(chunk), self.network.patience).await?;
        }
        match self.ask(Question::Install(vote, meta), self.network.patience).await? {
            Answer::Installed(vote) => Ok(vote),
            _ => Err("the answer is to another question".into()),
        }
    }
}

impl RaftNetwork<Types> for Peer {
    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Rpc<AppendEntriesResponse<u64>> {
        match self.ask(Question::Append(rpc), option.hard_ttl()).await {
            Ok(Answer::Append(response)) => Ok(response),
            other => Err(unreachable(other)),
        }
    }

    async fn vote(&mut self, rpc: VoteRequest<u64>, option: RPCOption) -> Rpc<VoteResponse<u64>> {
        match self.ask(Question::Vote(rpc), option.hard_ttl()).await {
            Ok(Answer::Vote(response)) => Ok(response),
            other => Err(unreachable(other)),
        }
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote<u64>,
        snapshot: Snapshot<Types>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _: RPCOption,
    ) -> Result<SnapshotResponse<u64>, StreamingError<Types, Fatal<u64>>> {
        tokio::select! {
            closed = cancel => Err(StreamingError::Closed(closed)),
            sent = self.send(vote, snapshot) => match sent {
                Ok(vote) => {
                    self.network.sent.fetch_add(1, Ordering::Relaxed);
                    Ok(SnapshotResponse::new(vote))
                }
                Err(why) => Err(StreamingError::Unreachable(Unreachable::new(&Why(why.to_string())))),
            }
        }
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(std::iter::repeat(self.network.pause))
    }
}

/// An error after which openraft pauses before its next request to the peer.
fn unreachable(answer: Result<Answer, Failure>) -> RPCError<u64, EmptyNode, RaftError<u64>> {
    let why = match answer {
        Ok(_) => "the answer is to another question".into(),
        Err(why) => why.to_string(),
    };
    RPCError::Unreachable(Unreachable::new(&Why(why)))
}

/// An error that is only a text.
#[derive(Debug)]
struct Why(String);

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Why {}
