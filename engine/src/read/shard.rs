//! A handle to one shard.

use std::{
    fmt,
    ops::{Range, RangeBounds},
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use parking_lot::MutexGuard;

use crate::{
    encoding::extent::{Boundary, Extent},
    index::terms::NO_TERM,
    read::{entries::EntryBatch, query::Query, readers::EntriesFuture, store::Store},
    shard_state::{
        quarantine::{Missing, Quarantine},
        state::{ShardCell, State},
    },
    types::{
        error::{Error, ReadError, Result},
        ids::ShardId,
    },
};

/// One raft group's log and what belongs to it: a cheap handle for any thread.
///
/// Everything that was submitted is seen, durable or not. A handle does not keep the engine from being closed: after
/// that the bounds stay as they were, entries can be read, and the directory cannot be opened again until the handle is
/// dropped. Of a shard that was never written to, neither the engine nor a handle keeps anything; looking at it looks
/// for it, under a lock that others who look share.
///
/// # Example
/// ```
/// # use logboom::{Config, Engine, ShardId};
/// # let dir = tempfile::tempdir()?;
/// # let mut config = Config::new(dir.path().join("log"));
/// # config.segment_bytes = 256 << 10;
/// # let engine = Engine::open(config)?;
/// let shard = engine.shard(ShardId(1));
/// assert_eq!(shard.last(), None);
/// let mut batch = engine.batch();
/// batch.append_payload(shard.id(), 1, 5, b"first")?.append_payload(shard.id(), 2, 5, b"second")?;
/// engine.write(batch)?;
/// assert_eq!((shard.first(), shard.last(), shard.next()), (Some(1), Some(2), Some(3)));
/// assert_eq!(shard.term(2)?, 5);
/// # engine.close()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Shard {
    store: Arc<Store>,
    id: ShardId,
    /// The shard's, from when there is something to say of it; it stays the shard's until the handle goes.
    cell: OnceLock<Arc<ShardCell>>,
}

/// The bounds of a shard's log at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bounds {
    /// The index of the first entry; `None` when the log is empty.
    pub first: Option<u64>,
    /// The index of the last entry; `None` when the log is empty.
    pub last: Option<u64>,
    /// The entry before the first one, if it was compacted or given by a reset.
    pub boundary: Option<Boundary>,
}

/// What [`Shard::try_entries`] has to say.
#[derive(Debug)]
#[must_use]
pub enum TryRead {
    /// The entries.
    Ready(EntryBatch),
    /// The disk is needed, or the shard is being written to at this moment: the future gives the entries.
    WouldBlock(EntriesFuture),
    /// Why they cannot be read.
    Failed(ReadError),
}

impl Shard {
    pub(crate) fn new(store: Arc<Store>, id: ShardId) -> Self {
        let cell = store.shards.find(id).map(OnceLock::from).unwrap_or_default();
        Self { store, id, cell }
    }

    /// The shard's number.
    pub fn id(&self) -> ShardId {
        self.id
    }

    /// The index of the first entry; `None` when the log is empty. Takes no lock of a shard that was written to.
    pub fn first(&self) -> Option<u64> {
        self.bounds().first
    }

    /// The index of the last entry; `None` when the log is empty. Takes no lock of a shard that was written to.
    pub fn last(&self) -> Option<u64> {
        self.extent().last()
    }

    /// First, last and boundary as they were at one moment. Takes no lock of a shard that was written to.
    pub fn bounds(&self) -> Bounds {
        let extent = self.extent();
        Bounds { first: (!extent.is_empty()).then_some(extent.first), last: extent.last(), boundary: extent.boundary() }
    }

    /// The entry before the first one: the last that was compacted, or that a reset gave. Takes no lock of a shard that
    /// was written to.
    pub fn boundary(&self) -> Option<Boundary> {
        self.extent().boundary()
    }

    /// The index that the next entry must have: one past the last, or past the boundary of an empty log; `None` when
    /// any may come. Takes no lock of a shard that was written to.
    pub fn next(&self) -> Option<u64> {
        self.extent().expected()
    }

    /// The highest index that is known to survive power loss: of an entry, or of the boundary when no entry does.
    ///
    /// Entries that replace durable ones are not durable before their own group is.
    pub fn durable(&self) -> Option<u64> {
        let cell = self.cell();
        let durable = self.store.source.durable();
        let view = cell.published.load();
        if view.sequence.group() <= durable {
            return index_before(&view.extent, view.extent.next);
        }
        let mut state = cell.state.lock();
        let view = cell.published.load();
        let durable = self.store.source.durable();
        let next = if view.sequence.group() <= durable { view.extent.next } else { state.log.durable_next(durable) };
        index_before(&view.extent, next)
    }

    /// Says that the application has applied the log up to and including `index`, and asks the engine to hold it to
    /// that: from now on [`Batch::compact_through`](crate::Batch::compact_through) above the floor is refused. A core
    /// that reads committed entries to apply them cannot stand to find them compacted.
    ///
    /// The floor never falls, but with the log's end; a reset raises it to the boundary. It is kept in memory: after
    /// opening or destroying a shard there is none until this is called.
    ///
    /// # Errors
    /// [`Error::Beyond`] when the log, its boundary included, ends below `index`.
    pub fn raise_applied_floor(&self, index: u64) -> Result<()> {
        let cell = self.cell();
        let mut state = cell.state.lock();
        let extent = cell.published.load().extent;
        // What stands for shards without a cell is empty: it is never changed.
        if index >= extent.next {
            return Err(Error::Beyond { shard: self.id, index, last: extent.last() });
        }
        state.raise_applied(&extent, index);
        Ok(())
    }

    /// The last index that the application is known to have applied: `None` before it said so, or when that is
    /// nothing of this log.
    pub fn applied_floor(&self) -> Option<u64> {
        let cell = self.cell();
        let state = cell.state.lock();
        let extent = cell.published.load().extent;
        index_before(&extent, state.applied_next(&extent)?)
    }

    /// The term of the entry at `index`, or of the boundary. Does not touch the disk: the term of an entry that is
    /// [lost](Quarantine::entries) is still known, unless opening has found no trace of it.
    ///
    /// # Errors
    /// [`ReadError::Compacted`] below the boundary, [`ReadError::Unavailable`] past the end, [`ReadError::Corrupted`]
    /// for a lost entry whose term is not known, and past the end where more may have been written.
    pub fn term(&self, index: u64) -> Result<u64, ReadError> {
        let cell = self.cell();
        let state = cell.state.lock();
        let extent = cell.published.load().extent;
        let missing = state.missing();
        match extent.boundary() {
            Some(boundary) if boundary.index == index => return Ok(boundary.term),
            _ if missing.is_some_and(|missing| may_follow(missing, &extent, index)) => {
                return Err(ReadError::lost(extent.beyond()));
            }
            _ if extent.is_vacant() => return Err(ReadError::Unavailable { last: None }),
            _ if index < extent.first => return Err(ReadError::Compacted { first: extent.first }),
            _ => {}
        }
        let is_lost = missing.is_some_and(|missing| missing.entries.contains(index));
        match state.log.term(index).filter(|_| index < extent.next) {
            Some(NO_TERM) if is_lost => Err(ReadError::lost(index..index + 1)),
            term => term.ok_or(ReadError::Unavailable { last: extent.last() }),
        }
    }

    /// What is lost of the shard, if it is in quarantine: something of it was durable and is damaged.
    pub fn quarantine(&self) -> Option<Quarantine> {
        let cell = self.cell();
        if !cell.published.load().quarantined {
            return None;
        }
        cell.state.lock().missing().map(Quarantine::from)
    }

    /// The hard state that was written last, if any since the shard began.
    ///
    /// # Errors
    /// [`Error::Quarantined`] when a later one may be lost.
    pub fn hard_state(&self) -> Result<Option<Bytes>> {
        let state = self.known(|missing| missing.hard_state.is_none())?;
        Ok(state.hard_state().map(Bytes::copy_from_slice))
    }

    /// The last hard state that is known, although a later one may be lost: for a person who has to decide what the
    /// shard goes on with. Nobody may vote by it: [`Shard::hard_state`] is for that.
    pub fn last_known_hard_state(&self) -> Option<Bytes> {
        self.cell().state.lock().hard_state().map(Bytes::copy_from_slice)
    }

    /// The commit hint that was written last, if any since the shard began. Where only a hint is lost there is none.
    ///
    /// # Errors
    /// [`Error::Quarantined`] when it is not known how far the shard has come.
    pub fn commit_hint(&self) -> Result<Option<Bytes>> {
        Ok(self.known(|_| true)?.commit_hint().map(Bytes::copy_from_slice))
    }

    /// The entries of `range` (half-open) as of one moment, as many from its beginning as have no more than `max_bytes`
    /// of payload and context together, but at least one. May stop a little earlier where entries were overwritten,
    /// unless `max_bytes` is `u64::MAX`, and stops before entries that are [lost](Quarantine::entries).
    ///
    /// Blocks for what is not in memory. An empty range gives an empty batch.
    ///
    /// # Errors
    /// [`ReadError::Compacted`] when the range begins below the first entry, [`ReadError::Unavailable`] when it ends
    /// past the last one, [`ReadError::Corrupted`] when a checksum does not match or the first entries are lost,
    /// [`ReadError::Io`].
    pub fn entries(&self, range: Range<u64>, max_bytes: u64) -> Result<EntryBatch, ReadError> {
        let query = self.query(range, max_bytes);
        query.try_read().unwrap_or_else(|| query.read())
    }

    /// [`Shard::entries`] without blocking: never touches the disk, never waits for a writer.
    pub fn try_entries(&self, range: Range<u64>, max_bytes: u64) -> TryRead {
        let query = self.query(range, max_bytes);
        match query.try_read() {
            None => TryRead::WouldBlock(EntriesFuture::cold(query)),
            Some(Ok(batch)) => TryRead::Ready(batch),
            Some(Err(error)) => TryRead::Failed(error),
        }
    }

    /// [`Shard::entries`], awaited: ready at once for what is in memory.
    pub fn entries_async(&self, range: Range<u64>, max_bytes: u64) -> EntriesFuture {
        EntriesFuture::new(self.query(range, max_bytes))
    }

    /// The value of a key of the shard.
    ///
    /// # Errors
    /// [`Error::Quarantined`] when a change of a key may be lost.
    pub fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        Ok(self.known(|missing| missing.keys == 0)?.get(key))
    }

    /// The keys of the shard in `range`, with their values, in order.
    ///
    /// # Errors
    /// [`Error::Quarantined`] when a change of a key may be lost.
    pub fn scan<'k>(&self, range: impl RangeBounds<&'k [u8]>) -> Result<Vec<(Bytes, Bytes)>> {
        let range = (range.start_bound().map(|key| *key), range.end_bound().map(|key| *key));
        Ok(self.known(|missing| missing.keys == 0)?.scan(range))
    }

    /// The shard's state, if what is missing leaves the answer `intact`, and nothing may have come later.
    fn known(&self, intact: impl FnOnce(&Missing) -> bool) -> Result<MutexGuard<'_, State>> {
        let state = self.cell().state.lock();
        match state.missing() {
            Some(missing) if missing.suffix || !intact(missing) => Err(Error::Quarantined { shard: self.id }),
            _ => Ok(state),
        }
    }

    fn extent(&self) -> Extent {
        self.cell().published.load().extent
    }

    fn query(&self, range: Range<u64>, max_bytes: u64) -> Query {
        Query { store: Arc::clone(&self.store), cell: Arc::clone(self.cell()), id: self.id, range, max_bytes }
    }

    /// The shard's cell, or what stands for it while there is nothing to say of it. Different ones at two calls, maybe:
    /// what belongs together asks once. Takes a lock, of the table that has the shard, until there is something.
    #[inline]
    fn cell(&self) -> &Arc<ShardCell> {
        match self.cell.get() {
            Some(cell) => cell,
            None => self.look_up(),
        }
    }

    /// Apart, so that asking a shard that is written stays as short as it is.
    #[cold]
    fn look_up(&self) -> &Arc<ShardCell> {
        match self.store.shards.find(self.id) {
            Some(cell) => self.cell.get_or_init(|| cell),
            None => self.store.shards.absent(),
        }
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "shard {}", self.0)
    }
}

impl fmt::Debug for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shard").field("id", &self.id).field("bounds", &self.bounds()).finish_non_exhaustive()
    }
}

/// Whether the entry at `index` may have been written behind what is known of the log, and lost.
fn may_follow(missing: &Missing, extent: &Extent, index: u64) -> bool {
    missing.suffix && (index >= extent.next || extent.is_vacant())
}

/// The index before `next`, if the log has it: an entry's, or the boundary's.
fn index_before(extent: &Extent, next: u64) -> Option<u64> {
    let next = next.min(extent.next);
    let some = next > extent.first || (next == extent.first && extent.boundary_term.is_some());
    some.then(|| next - 1)
}
