//! A handle to one shard.

use std::{
    fmt,
    ops::{Range, RangeBounds},
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use logboom_snapshot::EntryId;
use parking_lot::MutexGuard;

use crate::{
    encoding::extent::Extent,
    index::terms::NO_TERM,
    read::{
        entries::EntryBatch,
        query::{Query, lost},
        readers::EntriesFuture,
        store::Store,
    },
    shard_state::{
        quarantine::{Missing, Quarantine},
        state::{ShardCell, State},
    },
    types::{
        error::{Error, Result, read_error::ReadError},
        ids::ShardId,
    },
};

/// A handle to one shard: the log of a raft group, its hard state, commit hint and keys. Cheap; for any thread.
///
/// Reads see all accepted batches, durable or not. A handle does not keep the engine open: after
/// [`Engine::close`](crate::Engine::close) it can still read, and keeps the directory locked until it is dropped. A
/// shard that was never written to takes no memory; reads of it look it up each time, under a shared lock.
///
/// # Example
/// ```
/// # use logboom::{Config, Engine, EntryId, ShardId};
/// # let dir = tempfile::tempdir()?;
/// # let mut config = Config::new(dir.path().join("log"));
/// # config.segment_bytes = 256 << 10;
/// # let engine = Engine::open(config)?;
/// let shard = engine.shard(ShardId(1));
/// assert_eq!(shard.last(), None);
/// let mut batch = engine.batch();
/// batch.append_payload(shard.id(), EntryId { index: 1, term: 5 }, b"first")?;
/// batch.append_payload(shard.id(), EntryId { index: 2, term: 5 }, b"second")?;
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
    /// The shard's cell, from when the shard has state. While the handle lives, the shard gets no other cell.
    cell: OnceLock<Arc<ShardCell>>,
}

/// The bounds of a shard's log, as of one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bounds {
    /// The index of the first entry; `None` when the log is empty.
    pub first: Option<u64>,
    /// The index of the last entry; `None` when the log is empty.
    pub last: Option<u64>,
    /// The entry before the first one, set by a compaction or a reset.
    pub boundary: Option<EntryId>,
}

/// The result of [`Shard::try_entries`].
#[derive(Debug)]
#[must_use]
pub enum TryRead {
    /// The entries.
    Ready(EntryBatch),
    /// The read needs the disk, or the shard is locked by a writer: the future completes it.
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

    /// First, last and boundary, as of one moment. Takes no lock of a shard that was written to.
    pub fn bounds(&self) -> Bounds {
        let extent = self.extent();
        Bounds { first: (!extent.is_empty()).then_some(extent.first), last: extent.last(), boundary: extent.boundary() }
    }

    /// The entry before the first one: the last compacted one, or that of a reset. Takes no lock of a shard that was
    /// written to.
    pub fn boundary(&self) -> Option<EntryId> {
        self.extent().boundary()
    }

    /// The index that the next entry must have: one past the last, or past the boundary of an empty log; `None` if it
    /// may be any. Takes no lock of a shard that was written to.
    pub fn next(&self) -> Option<u64> {
        self.extent().expected()
    }

    /// The index of the last durable entry, or of the boundary if no entry is durable; `None` if neither is.
    ///
    /// An entry that overwrites a durable one is durable only when its own batch is.
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

    /// States that the application has applied the log up to and including `index`: the applied floor. From then on
    /// [`Batch::compact_through`](crate::Batch::compact_through) above the floor fails, so that entries which the
    /// application still has to read are not compacted.
    ///
    /// The floor never falls, except that it follows the log's end down; a reset raises it to the boundary. It is kept
    /// in memory only: after an opening, or the destruction of the shard, there is none until the next call.
    ///
    /// # Errors
    /// [`Error::Beyond`] when the log, its boundary included, ends below `index`.
    pub fn raise_applied_floor(&self, index: u64) -> Result<()> {
        let cell = self.cell();
        let mut state = cell.state.lock();
        let extent = cell.published.load().extent;
        // The cell that shards without state share has an empty log, and so is never changed.
        if index >= extent.next {
            return Err(Error::Beyond { shard: self.id, index, last: extent.last() });
        }
        state.raise_applied(&extent, index);
        Ok(())
    }

    /// The applied floor: the last index that [`Shard::raise_applied_floor`] has stated; `None` without a floor, or if
    /// it lies below the boundary.
    pub fn applied_floor(&self) -> Option<u64> {
        let cell = self.cell();
        let state = cell.state.lock();
        let extent = cell.published.load().extent;
        index_before(&extent, state.applied_next(&extent)?)
    }

    /// The term of the entry at `index`, or of the boundary. Never reads the disk. The term of a
    /// [lost](Quarantine::entries) entry is still known, unless its record was lost when the log was opened.
    ///
    /// # Errors
    /// [`ReadError::Compacted`] below the boundary, [`ReadError::Unavailable`] past the end, [`ReadError::Corrupted`]
    /// for a lost entry whose term is not known, and past the end where more may have been written.
    pub fn term(&self, index: u64) -> Result<u64, ReadError> {
        let cell = self.cell();
        let state = cell.state.lock();
        let extent = cell.published.load().extent;
        if let Some(boundary) = extent.boundary().filter(|boundary| boundary.index == index) {
            return Ok(boundary.term);
        }
        if state.missing().is_none()
            && (extent.first..extent.next).contains(&index)
            && let Some(term) = state.log.term(index)
        {
            return Ok(term);
        }
        self.rare_term(&state, &extent, index)
    }

    /// The term of an entry of a shard in quarantine, or why there is none. Apart, and never inlined: an error is
    /// large, and a term is looked up often.
    #[cold]
    #[inline(never)]
    fn rare_term(&self, state: &State, extent: &Extent, index: u64) -> Result<u64, ReadError> {
        let shard = self.id;
        let missing = state.missing();
        if missing.is_some_and(|missing| may_follow(missing, extent, index)) {
            return Err(lost(&self.store, shard, state, extent, extent.beyond()));
        }
        if extent.is_vacant() {
            return Err(ReadError::Unavailable { shard, index, last: None });
        }
        if index < extent.first {
            return Err(ReadError::Compacted { shard, index, first: extent.first });
        }
        let is_lost = missing.is_some_and(|missing| missing.entries.contains(index));
        match state.log.term(index).filter(|_| index < extent.next) {
            Some(NO_TERM) if is_lost => Err(lost(&self.store, shard, state, extent, index..index + 1)),
            Some(term) => Ok(term),
            None => Err(ReadError::Unavailable { shard, index, last: extent.last() }),
        }
    }

    /// What the shard has lost, if it is in quarantine.
    pub fn quarantine(&self) -> Option<Quarantine> {
        let cell = self.cell();
        if !cell.published.load().quarantined {
            return None;
        }
        cell.state.lock().missing().map(Quarantine::from)
    }

    /// The last hard state, if there is one.
    ///
    /// # Errors
    /// [`Error::Quarantined`] when a later one may be lost.
    pub fn hard_state(&self) -> Result<Option<Bytes>> {
        let state = self.known(|missing| missing.hard_state.is_none())?;
        Ok(state.hard_state().map(Bytes::copy_from_slice))
    }

    /// The last known hard state, although a later one may be lost: for an operator who repairs the shard. Raft must
    /// not use it to vote: [`Shard::hard_state`] is for that.
    pub fn last_known_hard_state(&self) -> Option<Bytes> {
        self.cell().state.lock().hard_state().map(Bytes::copy_from_slice)
    }

    /// The last commit hint; `None` if there is none, or only it is lost.
    ///
    /// # Errors
    /// [`Error::Quarantined`] when later operations of the shard may be lost.
    pub fn commit_hint(&self) -> Result<Option<Bytes>> {
        Ok(self.known(|_| true)?.commit_hint().map(Bytes::copy_from_slice))
    }

    /// The entries of `range` (half-open), as of one moment: from its start as many as have at most `max_bytes` of
    /// payload and context together, but at least one. May return fewer where entries were overwritten, unless
    /// `max_bytes` is `u64::MAX`, and stops before [lost](Quarantine::entries) entries.
    ///
    /// Blocks for entries that are not in memory. Returns an empty batch for an empty range.
    ///
    /// # Errors
    /// [`ReadError::Compacted`] when the range begins below the first entry, [`ReadError::Unavailable`] when it ends
    /// past the last one, [`ReadError::Corrupted`] when a checksum does not match or the first entries are lost,
    /// [`ReadError::Io`], [`ReadError::Log`].
    pub fn entries(&self, range: Range<u64>, max_bytes: u64) -> Result<EntryBatch, ReadError> {
        let query = self.query(range, max_bytes);
        query.try_read().unwrap_or_else(|| query.read())
    }

    /// [`Shard::entries`] without blocking: never reads the disk, never waits for a writer.
    pub fn try_entries(&self, range: Range<u64>, max_bytes: u64) -> TryRead {
        let query = self.query(range, max_bytes);
        match query.try_read() {
            None => TryRead::WouldBlock(EntriesFuture::cold(query)),
            Some(Ok(batch)) => TryRead::Ready(batch),
            Some(Err(error)) => TryRead::Failed(error),
        }
    }

    /// [`Shard::entries`] as a future: ready at once if all entries are in memory.
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

    /// The locked state, if no later operation may be lost and `intact` accepts what is missing.
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

    /// The shard's cell, or the shared one while the shard has no state. Two calls may return different cells: a
    /// consistent read calls it once. While the shard has no state it takes the lock of the shard's table.
    #[inline]
    fn cell(&self) -> &Arc<ShardCell> {
        match self.cell.get() {
            Some(cell) => cell,
            None => self.look_up(),
        }
    }

    /// Out of line, so that the common case stays short.
    #[cold]
    fn look_up(&self) -> &Arc<ShardCell> {
        match self.store.shards.find(self.id) {
            Some(cell) => self.cell.get_or_init(|| cell),
            None => self.store.shards.absent(),
        }
    }
}

impl fmt::Debug for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shard").field("id", &self.id).field("bounds", &self.bounds()).finish_non_exhaustive()
    }
}

/// Whether the entry at `index` may have been written after the known end of the log, and lost.
fn may_follow(missing: &Missing, extent: &Extent, index: u64) -> bool {
    missing.suffix && (index >= extent.next || extent.is_vacant())
}

/// The index before `next`, if the log has it: an entry's, or the boundary's.
fn index_before(extent: &Extent, next: u64) -> Option<u64> {
    let next = next.min(extent.next);
    let some = next > extent.first || (next == extent.first && extent.boundary_term.is_some());
    some.then(|| next - 1)
}
