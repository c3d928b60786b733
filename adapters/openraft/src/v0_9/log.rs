//! The log of a group, for openraft 0.9.

use std::{
    fmt::{self, Debug},
    io,
    ops::RangeBounds,
};

use logboom::{Engine, Shard, ShardId};
use openraft::{
    AnyError, ErrorSubject, ErrorVerb, LeaderId, LogId, LogState, NodeId, OptionalSend, RaftLogReader, RaftTypeConfig,
    StorageError, StorageIOError, Vote,
    storage::{LogFlushed, RaftLogStorage},
};

use crate::{
    data::{Codec, OwnCodec},
    entry::StoredEntry,
    error::Error,
    field::Field,
    log::{Log, half_open},
    options::Options,
};

/// The log, the vote and the commit hint of a raft group, on a shard of an engine: openraft's `RaftLogStorage`.
///
/// Any number of groups share an engine, and their writes share its syncs. An entry can be read when `append` returns,
/// and its callback comes when it is durable; a vote is durable when `save_vote` returns. Truncation and purge are in
/// order with both, and not waited for.
///
/// Data that is not a [`DataCodec`](crate::DataCodec) is encoded by a [`Codec`], the parameter `K`.
///
/// Clones are handles to the same log: openraft is the one that writes, readers read.
pub struct LogStore<C: RaftTypeConfig, K = OwnCodec>(Log<C::Entry, K>);

type Result<T, C> = std::result::Result<T, StorageError<<C as RaftTypeConfig>::NodeId>>;

impl<C: RaftTypeConfig> LogStore<C> {
    /// The log on a shard, which nothing else writes to, with data that is a
    /// [`DataCodec`](crate::DataCodec).
    pub fn new(engine: &Engine, shard: ShardId, options: Options) -> Self {
        Self::with_codec(engine, shard, options)
    }
}

impl<C: RaftTypeConfig, K> LogStore<C, K> {
    /// The log on a shard, which nothing else writes to, with data that is stored by `K`.
    pub fn with_codec(engine: &Engine, shard: ShardId, options: Options) -> Self {
        Self(Log::new(engine, shard, options))
    }

    /// The shard.
    pub fn shard(&self) -> &Shard {
        self.0.shard()
    }
}

impl<C, K> RaftLogStorage<C> for LogStore<C, K>
where
    C: RaftTypeConfig,
    C::NodeId: Field,
    C::Entry: StoredEntry<Leader = LeaderId<C::NodeId>, Data = C::D>,
    K: Codec<C::D>,
{
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<C>, C> {
        let ends = self.0.ends().await.map_err(failed(ErrorSubject::Logs, ErrorVerb::Read))?;
        Ok(LogState { last_purged_log_id: ends.purged.map(log_id), last_log_id: ends.last.map(log_id) })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote<C::NodeId>) -> Result<(), C> {
        let saved = self.0.save_vote(&vote.leader_id, vote.committed).await;
        saved.map_err(failed(ErrorSubject::Vote, ErrorVerb::Write))
    }

    async fn read_vote(&mut self) -> Result<Option<Vote<C::NodeId>>, C> {
        let vote = self.0.vote().map_err(failed(ErrorSubject::Vote, ErrorVerb::Read))?;
        Ok(vote.map(|(leader_id, committed)| Vote { leader_id, committed }))
    }

    async fn save_committed(&mut self, committed: Option<LogId<C::NodeId>>) -> Result<(), C> {
        let committed = committed.as_ref().map(|id| (&id.leader_id, id.index));
        self.0.save_committed(committed).await.map_err(failed(ErrorSubject::Store, ErrorVerb::Write))
    }

    async fn read_committed(&mut self) -> Result<Option<LogId<C::NodeId>>, C> {
        let committed = self.0.committed().map_err(failed(ErrorSubject::Store, ErrorVerb::Read))?;
        Ok(committed.map(log_id))
    }

    async fn append<I>(&mut self, entries: I, callback: LogFlushed<C>) -> Result<(), C>
    where
        I: IntoIterator<Item = C::Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let done = move |outcome: logboom::Result<()>| callback.log_io_completed(outcome.map_err(io::Error::other));
        self.0.append(entries, done).await.map_err(failed(ErrorSubject::Logs, ErrorVerb::Write))
    }

    async fn truncate(&mut self, log_id: LogId<C::NodeId>) -> Result<(), C> {
        let truncated = self.0.truncate_from(log_id.index).await;
        truncated.map_err(failed(ErrorSubject::Log(log_id), ErrorVerb::Delete))
    }

    async fn purge(&mut self, log_id: LogId<C::NodeId>) -> Result<(), C> {
        let purged = self.0.purge(&log_id.leader_id, log_id.index).await;
        purged.map_err(failed(ErrorSubject::Log(log_id), ErrorVerb::Delete))
    }
}

impl<C, K> RaftLogReader<C> for LogStore<C, K>
where
    C: RaftTypeConfig,
    C::NodeId: Field,
    C::Entry: StoredEntry<Leader = LeaderId<C::NodeId>, Data = C::D>,
    K: Codec<C::D>,
{
    async fn try_get_log_entries<R>(&mut self, range: R) -> Result<Vec<C::Entry>, C>
    where
        R: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        self.0.entries(half_open(&range)).await.map_err(failed(ErrorSubject::Logs, ErrorVerb::Read))
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<C::Entry>, C> {
        self.0.first_entries(start..end).await.map_err(failed(ErrorSubject::Logs, ErrorVerb::Read))
    }
}

impl<C: RaftTypeConfig, K> Clone for LogStore<C, K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<C: RaftTypeConfig, K> fmt::Debug for LogStore<C, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LogStore").field(self.shard()).finish()
    }
}

pub(super) fn log_id<I: NodeId>((leader, index): (LeaderId<I>, u64)) -> LogId<I> {
    LogId::new(leader, index)
}

/// Openraft's storage error for an error of this crate: the operation and the message.
pub(super) fn failed<I: NodeId>(subject: ErrorSubject<I>, verb: ErrorVerb) -> impl FnOnce(Error) -> StorageError<I> {
    move |error| StorageIOError::new(subject, verb, AnyError::new(&error)).into()
}
