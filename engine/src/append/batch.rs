//! A batch: collects operations on one or many shards, to be submitted as one.

use std::{fmt, sync::Arc};

use logboom_snapshot::{Built, EntryId};
use logboom_wal::record_bytes;

use crate::{
    encoding::{
        buffers::{BatchEntry, BufferPool, BufferRange, Buffers},
        entry_table::ROW,
        operation::{Operation, encode_snapshot},
    },
    types::{
        error::{Error, Result},
        ids::ShardId,
        limits::{BATCH_RECORDS_MAX, CONTEXT_BYTES_MAX, KEY_BYTES_MAX, Limit, STATE_BYTES_MAX, VALUE_BYTES_MAX},
        payload::{Entry, Payload},
    },
};

/// Consecutive entries share a record up to this many bytes: enough to amortize its header, and few enough that reading
/// one entry from disk stays cheap.
const RUN_BYTES: usize = 64 << 10;

/// An ordered list of operations on one or many shards. It is atomic: after a crash all of it is there, or none.
///
/// Adding an operation copies no payload, and fails if it exceeds a limit; the batch is unchanged then. Whether an
/// operation fits the shard's log is checked when the batch is submitted.
///
/// # Example
/// ```
/// # use logboom::{Config, Engine, Entry, EntryId, ShardId};
/// # let dir = tempfile::tempdir()?;
/// # let mut config = Config::new(dir.path().join("log"));
/// # config.segment_bytes = 256 << 10;
/// # let engine = Engine::open(config)?;
/// let mut batch = engine.batch();
/// batch.append(ShardId(1), Entry::new(EntryId { index: 1, term: 1 }, b"first"))?;
/// let second = EntryId { index: 2, term: 1 };
/// batch.append(ShardId(1), Entry { kind: 7, context: b"seq 9", ..Entry::new(second, b"second") })?;
/// batch.hard_state(ShardId(1), b"term 1, vote 3")?;
/// batch.put(ShardId(2), b"name", b"value")?;
/// engine.write(batch)?;
/// # engine.close()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Batch<'a> {
    buffers: Buffers<'a>,
    pool: Arc<BufferPool>,
    /// The number of operations, each entry counted.
    len: usize,
    /// An upper bound of the size of all records.
    bytes: usize,
    bytes_max: usize,
    /// How many snapshots a shard keeps when another is registered.
    snapshots_kept: u32,
}

/// A savepoint in a [`Batch`]: see [`Batch::savepoint`].
#[derive(Clone, Copy, Debug)]
pub struct Savepoint {
    operations: usize,
    /// The last operation: later entries may have been merged into it.
    last: Option<(ShardId, Operation)>,
    items: usize,
    arena: usize,
    built: usize,
    len: usize,
    bytes: usize,
}

impl<'a> Batch<'a> {
    pub(crate) fn new(pool: Arc<BufferPool>, bytes_max: usize) -> Self {
        Self { buffers: pool.take(), pool, len: 0, bytes: 0, bytes_max, snapshots_kept: 1 }
    }

    pub(crate) fn keeping_snapshots(mut self, snapshots_kept: u32) -> Self {
        self.snapshots_kept = snapshots_kept;
        self
    }

    /// Appends `entry` to the shard's log. Its index must be one past the last entry's, or past the boundary of an
    /// empty log; in an empty log without a boundary it may be any.
    ///
    /// When submitted: [`Error::Gap`] or [`Error::Compacted`] for any other index.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when the index, the context, the entry or the batch exceeds its limit.
    pub fn append(&mut self, shard: ShardId, entry: Entry<'a>) -> Result<&mut Self> {
        self.check_entry(shard, &entry)?;
        self.push_entry(shard, entry, false)?;
        self.len += 1;
        Ok(self)
    }

    /// [`Batch::append`] of an entry of kind 0 without context.
    ///
    /// # Errors
    /// As [`Batch::append`].
    pub fn append_payload(
        &mut self,
        shard: ShardId,
        id: EntryId,
        payload: impl Into<Payload<'a>>,
    ) -> Result<&mut Self> {
        self.append(shard, Entry::new(id, payload))
    }

    /// Drops all entries of the shard's log from the index of the first of `entries` on, then appends `entries`.
    ///
    /// The indexes of `entries` must be consecutive, and the first must not lie below the log's first entry nor beyond
    /// one past its last. Does nothing if `entries` is empty.
    ///
    /// # Errors
    /// [`Error::Gap`] when the entries are not contiguous; [`Error::TooLarge`] as for [`Batch::append`]. The batch is
    /// unchanged then.
    pub fn overwrite(&mut self, shard: ShardId, entries: impl IntoIterator<Item = Entry<'a>>) -> Result<&mut Self> {
        let (operations, items, bytes) = (self.buffers.operations.len(), self.buffers.items.len(), self.bytes);
        match self.push_overwrite(shard, entries.into_iter()) {
            Ok(count) => self.len += count,
            Err(error) => {
                self.buffers.operations.truncate(operations);
                self.buffers.items.truncate(items);
                self.bytes = bytes;
                return Err(error);
            }
        }
        Ok(self)
    }

    /// Drops every entry above `index`, and keeps the one at `index`. The boundary's index empties the log.
    ///
    /// When submitted: [`Error::Beyond`] past the end, [`Error::Compacted`] below the boundary.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when the batch exceeds its limit.
    pub fn truncate_after(&mut self, shard: ShardId, index: u64) -> Result<&mut Self> {
        self.push(shard, Operation::Truncate { keep: index })
    }

    /// Drops every entry up to and including `index`, which becomes the boundary: its term stays known. (raft-engine's
    /// `compact_to` keeps the entry at its index.)
    ///
    /// Does nothing if `index` lies below the first entry. When submitted: [`Error::Beyond`] past the last entry, where
    /// [`Batch::reset_to`] can go; [`Error::Unapplied`] above the [applied floor](crate::Shard::raise_applied_floor),
    /// if the application has set one; [`Error::Leased`] above the lowest leased snapshot.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when the batch exceeds its limit.
    pub fn compact_through(&mut self, shard: ShardId, index: u64) -> Result<&mut Self> {
        self.push(shard, Operation::Compact { index, term: None, past_leases: false })
    }

    /// [`Batch::compact_through`] that ignores leases, for an application with a hard cap on the log. The files of
    /// leased snapshots stay, but their readers may not find the log above them, and need a newer snapshot then.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when the batch exceeds its limit.
    pub fn compact_past_leases(&mut self, shard: ShardId, index: u64) -> Result<&mut Self> {
        self.push(shard, Operation::Compact { index, term: None, past_leases: true })
    }

    /// Registers a snapshot as the shard's newest, and unregisters the oldest beyond
    /// [`Config::snapshots_kept`](crate::Config::snapshots_kept), atomically with the rest of the batch. Files of
    /// unregistered snapshots are removed when the batch is durable and their leases are gone.
    ///
    /// Index and term are not compared with the log: only the application knows whether the snapshot belongs to it. A
    /// snapshot past the log's end is accepted, and neither opening nor `logboom inspect` reports it. The log is
    /// unchanged, continues at its own end, and cannot be [compacted](Batch::compact_through) through the snapshot's
    /// index ([`Error::Beyond`]) until it is [reset](Batch::reset_to) to it: in the same batch, as
    /// [`Snapshots::install`](crate::Snapshots::install) does, or in a later one.
    ///
    /// When submitted: [`Error::Snapshot`] with `Stale` if the shard has a newer one.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when the batch exceeds its limit, and for an index that no entry has; [`Error::Snapshot`]
    /// with `Foreign` if it is another shard's.
    pub fn register_snapshot(&mut self, shard: ShardId, built: &Built) -> Result<&mut Self> {
        let snapshot = built.registration();
        check_index(shard, snapshot.index)?;
        if built.manifest().shard != shard.0 {
            return Err(logboom_snapshot::Error::of_shard(built.manifest().shard, shard.0).into());
        }
        let (index, term, kept) = (snapshot.index, snapshot.term, self.snapshots_kept);
        let register = |[body]: [BufferRange; 1]| Operation::Register { index, term, body, kept };
        self.push_copying(shard, [&encode_snapshot(&snapshot)], register)?;
        self.buffers.built.push(built.clone());
        Ok(self)
    }

    /// Unregisters one of the shard's snapshots. Its file is removed when the batch is durable and its leases are gone.
    /// Does nothing if it is not registered.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when the batch exceeds its limit.
    pub fn forget_snapshot(&mut self, shard: ShardId, id: u64) -> Result<&mut Self> {
        self.push(shard, Operation::Forget { id })
    }

    /// Empties the log. It continues one past `boundary`, the entry that stands before its first one (that of a
    /// snapshot, say), or at any index if that is `None`. Hard state, commit hint and keys stay.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when the index or the batch exceeds its limit.
    pub fn reset_to(&mut self, shard: ShardId, boundary: Option<EntryId>) -> Result<&mut Self> {
        boundary.map_or(Ok(()), |boundary| check_index(shard, boundary.index))?;
        self.push(shard, Operation::Reset { boundary })
    }

    /// Drops everything of the shard: log, boundary, hard state, commit hint, keys and snapshots. Later operations,
    /// also of the same batch, may begin the shard anew.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when the batch exceeds its limit.
    pub fn destroy(&mut self, shard: ShardId) -> Result<&mut Self> {
        self.push(shard, Operation::Destroy)
    }

    /// Replaces the shard's hard state, at most [`STATE_BYTES_MAX`] bytes, which the engine does not interpret: term
    /// and vote, for instance.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when it or the batch exceeds its limit.
    pub fn hard_state(&mut self, shard: ShardId, state: &[u8]) -> Result<&mut Self> {
        check((shard, None), Limit::HardState, state.len(), STATE_BYTES_MAX)?;
        self.push_copying(shard, [state], |[state]| Operation::HardState(state))
    }

    /// Replaces the shard's commit hint, at most [`STATE_BYTES_MAX`] bytes. Unlike the hard state, a lazy batch may
    /// hold it.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when it or the batch exceeds its limit.
    pub fn commit_hint(&mut self, shard: ShardId, hint: &[u8]) -> Result<&mut Self> {
        check((shard, None), Limit::CommitHint, hint.len(), STATE_BYTES_MAX)?;
        self.push_copying(shard, [hint], |[hint]| Operation::CommitHint(hint))
    }

    /// Sets `key` of the shard to `value`. Keys and values are kept in memory, and every checkpoint writes all of them:
    /// use them for a little metadata.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when the key exceeds [`KEY_BYTES_MAX`], the value [`VALUE_BYTES_MAX`], or the batch its
    /// limit.
    pub fn put(&mut self, shard: ShardId, key: &[u8], value: &[u8]) -> Result<&mut Self> {
        check((shard, None), Limit::Key, key.len(), KEY_BYTES_MAX)?;
        check((shard, None), Limit::Value, value.len(), VALUE_BYTES_MAX)?;
        self.push_copying(shard, [key, value], |[key, value]| Operation::Put { key, value })
    }

    /// Deletes `key` of the shard, if it exists.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when the key exceeds [`KEY_BYTES_MAX`] or the batch its limit.
    pub fn delete(&mut self, shard: ShardId, key: &[u8]) -> Result<&mut Self> {
        check((shard, None), Limit::Key, key.len(), KEY_BYTES_MAX)?;
        self.push_copying(shard, [key], |[key]| Operation::Delete { key })
    }

    /// Restores an entry that the shard has lost, or that a read found damaged, with one from another replica. Its
    /// index must be in the shard's log. The [quarantine](crate::Shard::quarantine) ends when nothing of the shard is
    /// missing. [`Engine::heal`](crate::Engine::heal) restores many entries.
    ///
    /// When submitted: [`Error::Compacted`] below the log, [`Error::Beyond`] past its end, [`Error::Term`] if the entry
    /// is not lost and has another term.
    ///
    /// # Errors
    /// As [`Batch::append`].
    pub fn heal(&mut self, shard: ShardId, entry: Entry<'a>) -> Result<&mut Self> {
        self.check_entry(shard, &entry)?;
        self.push_entry(shard, entry, true)?;
        self.len += 1;
        Ok(self)
    }

    /// Accepts the loss: ends the [quarantine](crate::Shard::quarantine) with the state that is left. Operations before
    /// it in the batch may change the shard, which its quarantine refuses otherwise: a reset and a new hard state, for
    /// a snapshot from another replica. Does nothing to a shard that is not in quarantine.
    ///
    /// When submitted: [`Error::Quarantined`] while entries of the log are lost. They must be healed, or dropped.
    ///
    /// This can break raft's safety: the replica may have voted, or acknowledged entries, that it has forgotten.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when the batch exceeds its limit.
    pub fn accept_loss(&mut self, shard: ShardId) -> Result<&mut Self> {
        self.push(shard, Operation::AcceptLoss { hard_state: None, keys: 0, snapshot: None })
    }

    /// Whether the batch holds no operation. It cannot be submitted then.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The number of operations; each entry counts.
    pub fn len(&self) -> usize {
        self.len
    }

    /// An upper bound of the bytes that the batch takes in the log, framing included.
    pub fn bytes(&self) -> u64 {
        self.bytes as u64
    }

    /// The limit of [`Batch::bytes`]: a quarter of a segment of the log.
    pub fn bytes_max(&self) -> u64 {
        self.bytes_max as u64
    }

    /// A savepoint: [`Batch::rewind`] returns the batch to its current state.
    pub fn savepoint(&self) -> Savepoint {
        let Buffers { operations, items, arena, built, .. } = &self.buffers;
        Savepoint {
            operations: operations.len(),
            last: operations.last().copied(),
            items: items.len(),
            arena: arena.len(),
            built: built.len(),
            len: self.len,
            bytes: self.bytes,
        }
    }

    /// Drops all operations that were added since `savepoint` was taken of this batch: so that several operations are
    /// added all or none. Does nothing if the batch holds fewer.
    pub fn rewind(&mut self, savepoint: &Savepoint) {
        let Buffers { operations, items, arena, built, .. } = &mut self.buffers;
        operations.truncate(savepoint.operations);
        // Later entries may have been merged into the last operation.
        if let (Some(last), Some(known)) = (operations.last_mut(), savepoint.last) {
            *last = known;
        }
        items.truncate(savepoint.items);
        arena.truncate(savepoint.arena);
        built.truncate(savepoint.built);
        self.len = self.len.min(savepoint.len);
        self.bytes = self.bytes.min(savepoint.bytes);
    }

    /// Drops all operations. The memory returns to the engine's pool.
    pub fn clear(&mut self) {
        let used = std::mem::replace(&mut self.buffers, self.pool.take());
        self.pool.give(used);
        self.len = 0;
        self.bytes = 0;
    }

    /// Returns the memory to the pool, once the batch is in the log. Not in a `Drop`: that would force callers to
    /// declare their payloads before their batch.
    pub(crate) fn recycle(&mut self) {
        self.pool.give(std::mem::take(&mut self.buffers));
    }

    pub(crate) fn buffers(&self) -> &Buffers<'a> {
        &self.buffers
    }

    pub(crate) fn buffers_mut(&mut self) -> &mut Buffers<'a> {
        &mut self.buffers
    }

    fn push_overwrite(&mut self, shard: ShardId, entries: impl Iterator<Item = Entry<'a>>) -> Result<usize> {
        let mut count = 0;
        let mut expected = None;
        for entry in entries {
            self.check_entry(shard, &entry)?;
            match expected {
                None => self.push_operation(shard, Operation::Overwrite { index: entry.index })?,
                Some(expected) if expected != entry.index => {
                    return Err(Error::Gap { shard, expected, got: entry.index });
                }
                Some(_) => {}
            }
            expected = Some(entry.index.saturating_add(1));
            self.push_entry(shard, entry, false)?;
            count += 1;
        }
        Ok(count)
    }

    fn check_entry(&self, shard: ShardId, entry: &Entry<'a>) -> Result<()> {
        check_index(shard, entry.index)?;
        let at = (shard, Some(entry.index));
        check(at, Limit::Context, entry.context.len(), CONTEXT_BYTES_MAX)?;
        let size = entry.context.len().saturating_add(entry.payload.as_bytes().len());
        check(at, Limit::Entry, size, self.bytes_max.saturating_sub(record_bytes(ROW)))
    }

    /// Adds an entry: to the last operation if it continues that, or else as a new one.
    fn push_entry(&mut self, shard: ShardId, entry: Entry<'a>, heals: bool) -> Result<()> {
        let bytes = entry.context.len() + entry.payload.as_bytes().len();
        let last = self.buffers.operations.last();
        let grown = last.and_then(|last| continued(last, shard, &entry, bytes, heals));
        let items = BufferRange { at: part_at(self.buffers.items.len()), len: 1 };
        let one = run(heals, entry.index, entry.term, items, bytes);
        match (grown, self.buffers.operations.last_mut()) {
            (Some(grown), Some(last)) => {
                let more = record_bytes(grown.body_len()) - record_bytes(last.1.body_len());
                check((shard, Some(entry.index)), Limit::Batch, self.bytes + more, self.bytes_max)?;
                last.1 = grown;
                self.bytes += more;
            }
            _ => self.push_operation(shard, one)?,
        }
        self.buffers.items.push(BatchEntry { kind: entry.kind, context: entry.context, payload: entry.payload });
        Ok(())
    }

    fn push(&mut self, shard: ShardId, operation: Operation) -> Result<&mut Self> {
        self.push_operation(shard, operation)?;
        self.len += 1;
        Ok(self)
    }

    /// Adds an operation, and copies its `small` byte strings to the arena unless it is refused.
    fn push_copying<const N: usize>(
        &mut self,
        shard: ShardId,
        small: [&[u8]; N],
        operation: impl FnOnce([BufferRange; N]) -> Operation,
    ) -> Result<&mut Self> {
        let mut end = self.buffers.arena.len();
        let parts = small.map(|bytes| {
            let at = end;
            end += bytes.len();
            BufferRange { at: part_at(at), len: part_at(bytes.len()) }
        });
        self.push(shard, operation(parts))?;
        small.iter().for_each(|bytes| self.buffers.arena.extend_from_slice(bytes));
        Ok(self)
    }

    fn push_operation(&mut self, shard: ShardId, operation: Operation) -> Result<()> {
        let bytes = self.bytes + record_bytes(operation.body_len());
        let at = (shard, None);
        check(at, Limit::Batch, bytes, self.bytes_max)?;
        check(at, Limit::Records, self.buffers.operations.len() + 1, BATCH_RECORDS_MAX)?;
        self.buffers.operations.push((shard, operation));
        self.bytes = bytes;
        Ok(())
    }
}

impl fmt::Debug for Batch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("len", &self.len).field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

/// The operation `last` with an entry of `more` bytes added, if the entry continues it.
fn continued(
    last: &(ShardId, Operation),
    shard: ShardId,
    entry: &Entry<'_>,
    more: usize,
    heals: bool,
) -> Option<Operation> {
    let (first, term, items, bytes) = match last.1 {
        Operation::Append { first, term, items, bytes } if !heals => (first, term, items, bytes),
        Operation::Heal { first, term, items, bytes } if heals => (first, term, items, bytes),
        _ => return None,
    };
    let bytes = bytes as usize + more;
    let items = BufferRange { len: items.len + 1, ..items };
    let fits = items.len as usize * ROW + bytes <= RUN_BYTES;
    let continues =
        last.0 == shard && term == entry.term && first.checked_add(u64::from(items.len - 1)) == Some(entry.index);
    (fits && continues).then(|| run(heals, first, term, items, bytes))
}

/// An append or a heal of entries of one term.
fn run(heals: bool, first: u64, term: u64, items: BufferRange, bytes: usize) -> Operation {
    let bytes = part_at(bytes);
    match heals {
        true => Operation::Heal { first, term, items, bytes },
        false => Operation::Append { first, term, items, bytes },
    }
}

/// Rejects the one index that no entry has, as none could follow it.
pub(crate) fn check_index(shard: ShardId, index: u64) -> Result<()> {
    if index == u64::MAX { Err(Error::index_max(shard)) } else { Ok(()) }
}

fn check((shard, index): (ShardId, Option<u64>), what: Limit, size: usize, limit: usize) -> Result<()> {
    if size > limit {
        let (size, limit) = (size as u64, limit as u64);
        return Err(Error::TooLarge { shard: Some(shard), index, what, size, limit });
    }
    Ok(())
}

/// A position or length in a batch: batches are far smaller than 4 GiB.
fn part_at(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ShardId = ShardId(1);
    const B: ShardId = ShardId(2);

    fn batch<'a>(bytes_max: usize) -> Batch<'a> {
        Batch::new(Arc::default(), bytes_max)
    }

    fn runs(batch: &Batch<'_>) -> Vec<(ShardId, u64, u32)> {
        let run = |(shard, operation): &(ShardId, Operation)| match operation {
            Operation::Append { first, items, .. } => Some((*shard, *first, items.len)),
            _ => None,
        };
        batch.buffers.operations.iter().filter_map(run).collect()
    }

    #[test]
    fn entries_of_one_term_become_one_run() {
        let mut batch = batch(1 << 20);
        for (shard, index, term) in [(A, 1, 1), (A, 2, 1), (A, 3, 2), (A, 5, 2), (B, 6, 2), (B, 7, 2)] {
            batch.append_payload(shard, EntryId { index, term }, b"x").unwrap();
        }
        assert_eq!(runs(&batch), [(A, 1, 2), (A, 3, 1), (A, 5, 1), (B, 6, 2)]);
        assert_eq!(batch.len(), 6);
        assert_eq!(batch.bytes(), (2 * record_bytes(2 * (8 + 1)) + 2 * record_bytes(8 + 1)) as u64);
    }

    #[test]
    fn a_run_ends_where_it_would_get_long() {
        let payload = vec![7; 20 << 10];
        let mut batch = batch(1 << 20);
        for index in 1..=4 {
            batch.append_payload(A, EntryId { index, term: 1 }, &payload).unwrap();
        }
        assert_eq!(runs(&batch), [(A, 1, 3), (A, 4, 1)]);
    }

    #[test]
    fn what_exceeds_a_limit_is_refused_and_leaves_no_trace() {
        let (key, value, context) = (vec![0; 1025], vec![0; 65_537], vec![0; 65_536]);
        let payload = vec![0; 1 << 20];
        let mut batch = batch(1 << 20);
        batch.put(A, b"k", b"v").unwrap();
        let all = |batch: &Batch<'_>| {
            let Buffers { operations, items, arena, built, .. } = &batch.buffers;
            (batch.len(), batch.bytes(), operations.len(), items.len(), arena.len(), built.len())
        };
        let before = all(&batch);
        let limit = |result: Result<&mut Batch<'_>>| match result {
            Err(Error::TooLarge { what, .. }) => what,
            other => panic!("{other:?}"),
        };
        assert_eq!(limit(batch.put(A, &key, b"")), Limit::Key);
        assert_eq!(limit(batch.put(A, b"", &value)), Limit::Value);
        assert_eq!(limit(batch.delete(A, &key)), Limit::Key);
        assert_eq!(limit(batch.hard_state(A, &[0; 65])), Limit::HardState);
        assert_eq!(limit(batch.commit_hint(A, &[0; 65])), Limit::CommitHint);
        assert_eq!(
            limit(batch.append(A, Entry { context: &context, ..Entry::new(EntryId { index: 1, term: 1 }, b"") })),
            Limit::Context
        );
        assert_eq!(limit(batch.append_payload(A, EntryId { index: 1, term: 1 }, &payload)), Limit::Entry);
        let fits = &payload[..(1 << 20) - record_bytes(ROW)];
        assert_eq!(limit(batch.append_payload(A, EntryId { index: 1, term: 1 }, fits)), Limit::Batch);
        let entries =
            [Entry::new(EntryId { index: 1, term: 1 }, b"fits"), Entry::new(EntryId { index: 2, term: 1 }, fits)];
        assert_eq!(limit(batch.overwrite(A, entries)), Limit::Batch);
        assert_eq!(limit(batch.append_payload(A, EntryId { index: u64::MAX, term: 1 }, b"")), Limit::Index);
        assert_eq!(limit(batch.reset_to(A, Some(EntryId { index: u64::MAX, term: 1 }))), Limit::Index);
        while batch.delete(A, b"key").is_ok() {}
        let full = all(&batch);
        assert_eq!(limit(batch.put(A, b"key", &value[..4000])), Limit::Batch);
        assert_eq!(limit(batch.delete(A, b"key")), Limit::Batch);
        assert_eq!(limit(batch.hard_state(A, b"vote")), Limit::Batch);
        assert_eq!(full, all(&batch));
        batch.clear();
        batch.put(A, b"k", b"v").unwrap();
        assert_eq!(before, all(&batch));
    }

    #[test]
    fn an_overwrite_is_contiguous_or_nothing() {
        let mut batch = batch(1 << 20);
        let gap = batch.overwrite(
            A,
            [Entry::new(EntryId { index: 4, term: 1 }, b""), Entry::new(EntryId { index: 6, term: 1 }, b"")],
        );
        assert!(matches!(gap, Err(Error::Gap { expected: 5, got: 6, .. })));
        assert!(batch.is_empty() && batch.bytes() == 0);
        batch.overwrite(A, []).unwrap();
        assert!(batch.is_empty());
        batch
            .overwrite(
                A,
                [Entry::new(EntryId { index: 4, term: 1 }, b""), Entry::new(EntryId { index: 5, term: 1 }, b"")],
            )
            .unwrap();
        assert_eq!(runs(&batch), [(A, 4, 2)]);
    }

    #[test]
    fn rewinding_leaves_what_was_there_before() {
        let large = vec![0; 1 << 20];
        let mut batch = batch(1 << 20);
        batch.append_payload(A, EntryId { index: 1, term: 1 }, b"a").unwrap().put(A, b"k", b"v").unwrap();
        batch.append_payload(A, EntryId { index: 2, term: 1 }, b"b").unwrap();
        let savepoint = batch.savepoint();
        let before = (batch.len(), batch.bytes(), batch.buffers.operations.clone(), batch.buffers.arena.clone());
        // One that grows the last run, and others.
        batch
            .append_payload(A, EntryId { index: 3, term: 1 }, b"c")
            .unwrap()
            .put(B, b"k", b"v")
            .unwrap()
            .hard_state(B, b"s")
            .unwrap();
        assert!(batch.append_payload(B, EntryId { index: 1, term: 1 }, &large).is_err());
        batch.rewind(&savepoint);
        let after = (batch.len(), batch.bytes(), batch.buffers.operations.clone(), batch.buffers.arena.clone());
        assert_eq!((before, batch.buffers.items.len()), (after, 2));
        batch.append_payload(A, EntryId { index: 3, term: 1 }, b"c").unwrap();
        assert_eq!(runs(&batch), [(A, 1, 1), (A, 2, 2)]);
    }

    #[test]
    fn clearing_makes_room() {
        let mut batch = batch(1 << 10);
        batch.put(A, b"k", &[0; 512]).unwrap();
        assert!(batch.put(A, b"k", &[0; 512]).is_err());
        batch.clear();
        assert!(batch.is_empty());
        batch.put(A, b"k", &[0; 512]).unwrap();
    }
}
