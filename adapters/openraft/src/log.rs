//! The log of a raft group on a shard, shared by both versions of openraft.
//!
//! All writes go through the engine's log in order, so an earlier write is durable earlier: entries before a later
//! vote, a truncation before the entries that replace what it dropped. Writes that are not acknowledged (truncation,
//! purge, commit) therefore need not be waited for.

use std::{
    marker::PhantomData,
    ops::{Bound, Range, RangeBounds},
};

use bytes::Bytes;
use logboom::{Batch, Durability, Engine, Entry, EntryBatch, EntryId, Limit, ReadError, Shard, ShardId, Ticket};

use crate::{
    data::Codec,
    entry::{self, StoredEntry, decode},
    error::{Error, Result},
    log_id::{self, Leader},
    options::Options,
};

/// The key that holds the log id up to which the log was purged.
const PURGED: &[u8] = b"logboom-openraft: purged";

/// The log of a group, with entries of type `E` and their data stored by `K`. Clones are handles to the same log.
pub(crate) struct Log<E, K> {
    engine: Engine,
    shard: Shard,
    options: Options,
    entries: PhantomData<fn() -> (E, K)>,
}

/// A log id of the entries' own kind: leader and index.
pub(crate) type Id<E> = (<E as StoredEntry>::Leader, u64);

/// The most restarts of a read because the log changed meanwhile. No core changes a log each time.
const TRIES_MAX: u32 = 64;

/// Entries, and the index of the first.
struct Read<E> {
    first: u64,
    entries: Vec<E>,
}

/// The ends of a log.
pub(crate) struct Ends<L> {
    pub(crate) purged: Option<(L, u64)>,
    pub(crate) last: Option<(L, u64)>,
}

impl<E, K> Log<E, K> {
    pub(crate) fn new(engine: &Engine, shard: ShardId, options: Options) -> Self {
        Self { engine: engine.clone(), shard: engine.shard(shard), options, entries: PhantomData }
    }

    pub(crate) fn shard(&self) -> &Shard {
        &self.shard
    }

    async fn submit(&self, batch: Batch<'_>, durability: Durability) -> Result<Ticket> {
        submit(&self.engine, batch, durability).await
    }
}

impl<E: StoredEntry, K: Codec<E::Data>> Log<E, K> {
    /// Appends entries, which can be read on return; `done` is called when they and everything before them are durable,
    /// in the order of the calls. Splits entries that are too many for one batch; skips those up to the purge point,
    /// which the state machine has.
    ///
    /// When it fails, `done` is dropped.
    pub(crate) async fn append(
        &self,
        entries: impl IntoIterator<Item = E>,
        done: impl FnOnce(logboom::Result<()>) + Send + 'static,
    ) -> Result<()> {
        let rows = Rows::of::<E, K>(entries);
        let mut batch = self.engine.batch();
        let purged = self.shard.boundary().map(|boundary| boundary.index);
        for row in rows.rows.iter().filter(|row| Some(row.index) > purged) {
            match batch.append(self.shard.id(), rows.entry(row)).map(drop) {
                Err(logboom::Error::TooLarge { what: Limit::Batch | Limit::Records, .. }) if !batch.is_empty() => {
                    let full = std::mem::replace(&mut batch, self.engine.batch());
                    // The last batch's ticket speaks for the ones before.
                    drop(self.submit(full, Durability::Durable).await?);
                    batch.append(self.shard.id(), rows.entry(row))?;
                }
                refused => refused?,
            }
        }
        let ticket = match batch.is_empty() {
            true => self.engine.barrier()?,
            false => self.submit(batch, Durability::Durable).await?,
        };
        ticket.on_complete(done);
        Ok(())
    }

    /// All entries of `range` that exist.
    pub(crate) async fn entries(&self, range: Range<u64>) -> Result<Vec<E>> {
        Ok(self.read(range, u64::MAX).await?.entries)
    }

    /// The first entries of `range`, as many as one message may carry; none when the first one is missing, since
    /// nothing may be sent behind a gap.
    ///
    /// Openraft documents that there is always one, and yet requests entries that are gone: a leader's replication
    /// tasks outlive its leadership for a moment, while the new leader's messages purge or truncate the log. It stops
    /// the node after an error, and takes an empty result for a heartbeat.
    pub(crate) async fn first_entries(&self, range: Range<u64>) -> Result<Vec<E>> {
        let (start, end) = (range.start, range.end);
        let most = start.saturating_add(self.options.message_entries_max.max(1));
        let read = self.read(start..end.min(most), self.options.message_bytes_max).await?;
        Ok(if read.first == start { read.entries } else { Vec::new() })
    }

    /// The indexes of `range` that exist now.
    pub(crate) fn present(&self, range: Range<u64>) -> Range<u64> {
        let bounds = self.shard.bounds();
        let start = bounds.first.map_or(range.end, |first| first.max(range.start));
        let end = bounds.last.map_or(start, |last| last.saturating_add(1)).min(range.end);
        start..end.max(start)
    }

    /// Reads the existing entries of `range` as of one moment; stops early only after `max_bytes`.
    async fn read(&self, range: Range<u64>, max_bytes: u64) -> Result<Read<E>> {
        let mut tries = 0;
        loop {
            let present = self.present(range.clone());
            let first = present.start;
            match self.read_present(present, max_bytes).await {
                // Purged or truncated meanwhile: read again what exists now.
                Err(Error::Read(ReadError::Compacted { .. } | ReadError::Unavailable { .. })) if tries < TRIES_MAX => {
                    tries += 1;
                }
                outcome => return Ok(Read { first, entries: outcome? }),
            }
        }
    }

    async fn read_present(&self, range: Range<u64>, max_bytes: u64) -> Result<Vec<E>> {
        let batch = self.batch(range.clone(), max_bytes).await?;
        let next = range.start.saturating_add(batch.len() as u64);
        if max_bytes == u64::MAX && next < range.end {
            // Without a limit only lost entries end a read early.
            return Err(self.absent(range, next));
        }
        let mut entries = Vec::with_capacity(batch.len());
        for entry in &batch {
            let decoded = decode::<E, K>(&entry)
                .map_err(|failure| Error::malformed(self.shard.id(), format!("entry {}", entry.index), failure))?;
            entries.push(decoded);
        }
        Ok(entries)
    }

    pub(crate) fn absent(&self, range: Range<u64>, absent: u64) -> Error {
        Error::Absent { shard: self.shard.id(), start: range.start, end: range.end, absent }
    }

    async fn batch(&self, range: Range<u64>, max_bytes: u64) -> Result<EntryBatch> {
        Ok(self.shard.entries_async(range, max_bytes).await?)
    }

    /// The purge point and the last log id; the two are equal in an empty log.
    pub(crate) async fn ends(&self) -> Result<Ends<E::Leader>> {
        let purged = self.purged()?;
        let Some(last) = self.shard.last() else {
            return Ok(Ends { last: purged.clone(), purged });
        };
        let batch = self.batch(last..last.saturating_add(1), 0).await?;
        let malformed = |failure| Error::malformed(self.shard.id(), format!("entry {last}"), failure);
        let leader = match batch.get(last) {
            Some(entry) => entry::leader(&entry).map_err(malformed)?,
            None => return Err(malformed("it is not there".into())),
        };
        Ok(Ends { purged, last: Some((leader, last)) })
    }

    fn purged(&self) -> Result<Option<Id<E>>> {
        let purged = match self.shard.get(PURGED)? {
            Some(bytes) => Some(self.known("the purge point", log_id::decode(&bytes))?),
            None => None,
        };
        // A boundary is always written together with the key.
        let boundary = self.shard.boundary().map(|boundary| boundary.index);
        if boundary.is_some() && boundary != purged.as_ref().map(|(_, index)| *index) {
            return self.known("the purge point", None);
        }
        Ok(purged)
    }

    /// Drops the entries from `next` on, if there are any.
    pub(crate) async fn truncate_from(&self, next: u64) -> Result<()> {
        let bounds = self.shard.bounds();
        let (Some(first), Some(last)) = (bounds.first, bounds.last) else { return Ok(()) };
        if next > last {
            return Ok(());
        }
        let mut batch = self.engine.batch();
        match next.checked_sub(1).filter(|_| next > first) {
            Some(keep) => batch.truncate_after(self.shard.id(), keep)?,
            None => batch.reset_to(self.shard.id(), bounds.boundary)?,
        };
        drop(self.submit(batch, Durability::Durable).await?);
        Ok(())
    }

    /// Drops the entries up to and including `index`, which may lie beyond the last one, and remembers the log id.
    pub(crate) async fn purge(&self, leader: &E::Leader, index: u64) -> Result<()> {
        if self.purged()?.is_some_and(|(_, purged)| purged >= index) {
            return Ok(());
        }
        let (shard, bounds) = (self.shard.id(), self.shard.bounds());
        let mut batch = self.engine.batch();
        batch.put(shard, PURGED, &log_id::encode(leader, index))?;
        if bounds.last.is_some_and(|last| index <= last) {
            // Openraft's own purge rules apply to readers of a leased snapshot.
            batch.compact_past_leases(shard, index)?;
        } else {
            batch.reset_to(shard, Some(EntryId { index, term: leader.term() }))?;
        }
        drop(self.submit(batch, Durability::Durable).await?);
        Ok(())
    }

    /// Replaces the vote: durable on return, behind everything that was appended before.
    pub(crate) async fn save_vote<L: Leader>(&self, leader: &L, committed: bool) -> Result<()> {
        let mut batch = self.engine.batch();
        batch.hard_state(self.shard.id(), &log_id::encode_vote(leader, committed))?;
        Ok(self.submit(batch, Durability::Durable).await?.await?)
    }

    pub(crate) fn vote<L: Leader>(&self) -> Result<Option<(L, bool)>> {
        match self.shard.hard_state()? {
            Some(bytes) => Ok(Some(self.known("the vote", log_id::decode_vote(&bytes))?)),
            None => Ok(None),
        }
    }

    /// Records the committed log id, to be written with the next group.
    pub(crate) async fn save_committed(&self, committed: Option<(&E::Leader, u64)>) -> Result<()> {
        let mut batch = self.engine.batch();
        batch.commit_hint(self.shard.id(), &log_id::encode_option(committed))?;
        drop(self.submit(batch, Durability::Lazy).await?);
        Ok(())
    }

    pub(crate) fn committed(&self) -> Result<Option<Id<E>>> {
        match self.shard.commit_hint()? {
            Some(bytes) => self.known("the commit hint", log_id::decode_option(&bytes)),
            None => Ok(None),
        }
    }

    fn known<T>(&self, what: &str, decoded: Option<T>) -> Result<T> {
        decoded.ok_or_else(|| Error::malformed(self.shard.id(), what, "it is none of these types"))
    }
}

impl<E, K> Clone for Log<E, K> {
    fn clone(&self) -> Self {
        let (engine, shard) = (self.engine.clone(), self.shard.clone());
        Self { engine, shard, options: self.options.clone(), entries: PhantomData }
    }
}

/// Accepts a batch, without blocking the thread.
pub(crate) async fn submit(engine: &Engine, batch: Batch<'_>, durability: Durability) -> Result<Ticket> {
    Ok(engine.submit_async(batch, durability).await?)
}

/// Any range of indexes as a half-open one. The greatest index is never used, so the end loses nothing.
pub(crate) fn half_open(range: &impl RangeBounds<u64>) -> Range<u64> {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(last) => last.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    start..end.max(start)
}

/// Entries that are to be appended, as the log takes them.
#[derive(Default)]
struct Rows {
    rows: Vec<Row>,
    /// The leaders' ids without their terms; entries of one leader share the bytes.
    contexts: Vec<u8>,
}

struct Row {
    index: u64,
    term: u64,
    kind: u8,
    context: Range<usize>,
    payload: Bytes,
}

impl Rows {
    fn of<E: StoredEntry, K: Codec<E::Data>>(entries: impl IntoIterator<Item = E>) -> Self {
        let mut rows = Self::default();
        for entry in entries {
            let parts = entry.into_parts();
            let context = rows.context(&parts.leader);
            let (index, term) = (parts.index, parts.leader.term());
            let (kind, payload) = parts.content.encode::<K>();
            rows.rows.push(Row { index, term, kind, context, payload });
        }
        rows
    }

    fn context<L: Leader>(&mut self, leader: &L) -> Range<usize> {
        let start = self.contexts.len();
        leader.put_rest(&mut self.contexts);
        let last = self.rows.last().map_or(0..0, |row| row.context.clone());
        if self.contexts.get(last.clone()) == self.contexts.get(start..) {
            self.contexts.truncate(start);
            return last;
        }
        start..self.contexts.len()
    }

    fn entry(&self, row: &Row) -> Entry<'_> {
        let context = self.contexts.get(row.context.clone()).unwrap_or_default();
        let payload = row.payload.clone().into();
        Entry { index: row.index, term: row.term, kind: row.kind, context, payload }
    }
}
