//! The log of a group, for openraft 0.10.

use std::{
    fmt::{self, Debug},
    io,
    ops::{Range, RangeBounds},
};

use futures_util::{Stream, stream};
use logboom::{Engine, Shard, ShardId};
use openraft_v0_10::{
    LogId, LogState, OptionalSend, RaftLogReader, RaftTypeConfig,
    storage::{IOFlushed, RaftLogStorage},
    type_config::alias::{CommittedLeaderIdOf, EntryOf, LogIdOf, VoteOf},
    vote::{RaftCommittedLeaderId, RaftVote},
};

use crate::{
    data::{Codec, OwnCodec},
    entry::StoredEntry,
    error::Error,
    log::{Log, half_open},
    log_id::Leader,
    options::Options,
};

/// The log, the vote and the commit hint of a raft group, on a shard of an engine: openraft's `RaftLogStorage`.
///
/// Any number of groups share an engine, and their writes share its syncs. An entry can be read when `append` returns,
/// and its callback comes when it is durable, in the order of the calls: openraft has several appends of a group in
/// flight. A vote is durable when `save_vote` returns. Truncation and purge are in order with both, and not waited for.
///
/// Data that is not a [`DataCodec`](crate::DataCodec) is encoded by a [`Codec`], the parameter `K`.
///
/// Clones are handles to the same log: openraft is the one that writes, readers read.
pub struct LogStore<C: RaftTypeConfig, K = OwnCodec>(Log<C::Entry, K>);

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
    C::LeaderId: Leader,
    C::Entry: StoredEntry<Leader = CommittedLeaderIdOf<C>, Data = C::D>,
    K: Codec<C::D>,
{
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<C>> {
        let ends = self.0.ends().await.map_err(failed)?;
        Ok(LogState { last_purged_log_id: ends.purged.map(log_id), last_log_id: ends.last.map(log_id) })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &VoteOf<C>) -> io::Result<()> {
        self.0.save_vote(vote.leader_id(), vote.is_committed()).await.map_err(failed)
    }

    async fn save_committed(&mut self, committed: Option<LogIdOf<C>>) -> io::Result<()> {
        let committed = committed.as_ref().map(|id| (&id.leader_id, id.index));
        self.0.save_committed(committed).await.map_err(failed)
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogIdOf<C>>> {
        Ok(self.0.committed().map_err(failed)?.map(log_id))
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<C>) -> io::Result<()>
    where
        I: IntoIterator<Item = C::Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let done = move |outcome: logboom::Result<()>| callback.io_completed(outcome.map_err(io::Error::other));
        self.0.append(entries, done).await.map_err(failed)
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogIdOf<C>>) -> io::Result<()> {
        let next = last_log_id.map_or(0, |id| id.index.saturating_add(1));
        self.0.truncate_from(next).await.map_err(failed)
    }

    async fn purge(&mut self, log_id: LogIdOf<C>) -> io::Result<()> {
        self.0.purge(&log_id.leader_id, log_id.index).await.map_err(failed)
    }
}

impl<C, K> RaftLogReader<C> for LogStore<C, K>
where
    C: RaftTypeConfig,
    C::LeaderId: Leader,
    C::Entry: StoredEntry<Leader = CommittedLeaderIdOf<C>, Data = C::D>,
    K: Codec<C::D>,
{
    async fn try_get_log_entries<R>(&mut self, range: R) -> io::Result<Vec<C::Entry>>
    where
        R: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        self.0.entries(half_open(&range)).await.map_err(failed)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<C::Entry>> {
        self.0.first_entries(start..end).await.map_err(failed)
    }

    /// Reads as many entries as fit a message at a time, so that a long range need not fit in memory.
    async fn entries_stream<R>(&mut self, range: R) -> impl Stream<Item = io::Result<EntryOf<C>>> + OptionalSend
    where
        R: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        Box::pin(stream::try_unfold(Pieces::<C, K>::new(&self.0, half_open(&range)), |mut pieces| async move {
            Ok(pieces.next().await.map_err(failed)?.map(|entry| (entry, pieces)))
        }))
    }

    async fn read_vote(&mut self) -> io::Result<Option<VoteOf<C>>> {
        let vote = self.0.vote().map_err(failed)?;
        Ok(vote.map(|(leader, committed)| VoteOf::<C>::from_leader_id(leader, committed)))
    }
}

/// Entries of a range, read piece by piece.
struct Pieces<C: RaftTypeConfig, K> {
    log: Log<C::Entry, K>,
    /// The indexes to read.
    range: Range<u64>,
    read: std::vec::IntoIter<C::Entry>,
}

impl<C, K> Pieces<C, K>
where
    C: RaftTypeConfig,
    C::Entry: StoredEntry,
    K: Codec<<C::Entry as StoredEntry>::Data>,
{
    /// The part of `range` that exists now. A purge or a truncation of it is an error then.
    fn new(log: &Log<C::Entry, K>, range: Range<u64>) -> Self {
        Self { log: log.clone(), range: log.present(range), read: Vec::new().into_iter() }
    }

    async fn next(&mut self) -> crate::error::Result<Option<C::Entry>> {
        if self.read.len() == 0 && !self.range.is_empty() {
            let piece = self.log.first_entries(self.range.clone()).await?;
            if piece.is_empty() {
                return Err(self.log.absent(self.range.clone(), self.range.start));
            }
            self.range.start = self.range.start.saturating_add(piece.len() as u64);
            self.read = piece.into_iter();
        }
        Ok(self.read.next())
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

pub(super) fn log_id<L: RaftCommittedLeaderId>((leader, index): (L, u64)) -> LogId<L> {
    LogId::new(leader, index)
}

/// Openraft's error for an error of this crate; openraft adds the operation.
pub(super) fn failed(error: Error) -> io::Error {
    io::Error::other(error)
}
