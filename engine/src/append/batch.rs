//! A batch: operations on one or many shards, collected to be submitted as one.

use std::{fmt, sync::Arc};

use logboom_snapshot::Built;
use logboom_wal::record_bytes;

use crate::{
    encoding::{
        buffers::{BatchEntry, BufferPool, BufferRange, Buffers},
        entry_table::ROW,
        extent::Boundary,
        operation::{Operation, encode_snapshot},
    },
    types::{
        error::{Error, Limit, Result},
        ids::ShardId,
        limits::{BATCH_RECORDS_MAX, CONTEXT_BYTES_MAX, KEY_BYTES_MAX, STATE_BYTES_MAX, VALUE_BYTES_MAX},
        payload::{Entry, Payload},
    },
};

/// Entries are merged into one record up to this many bytes: enough that its header is no cost, and few enough that
/// reading an entry of it from disk is none.
const RUN_BYTES: usize = 64 << 10;

/// Operations on one or many shards, in order, atomic as a whole: a crash leaves all of it or nothing.
///
/// Collecting copies no payload; what exceeds a limit is refused when it is added, and what does not fit the shard's
/// log when the batch is submitted. A refused operation leaves the batch as it was.
///
/// # Example
/// ```
/// # use logboom::{Config, Engine, Entry, ShardId};
/// # let dir = tempfile::tempdir()?;
/// # let mut config = Config::new(dir.path().join("log"));
/// # config.segment_bytes = 256 << 10;
/// # let engine = Engine::open(config)?;
/// let mut batch = engine.batch();
/// batch.append(ShardId(1), Entry::new(1, 1, b"first"))?;
/// batch.append(ShardId(1), Entry { kind: 7, context: b"seq 9", ..Entry::new(2, 1, b"second") })?;
/// batch.hard_state(ShardId(1), b"term 1, vote 3")?;
/// batch.put(ShardId(2), b"name", b"value")?;
/// engine.write(batch)?;
/// # engine.close()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Batch<'a> {
    buffers: Buffers<'a>,
    pool: Arc<BufferPool>,
    /// Operations as the caller counts them.
    len: usize,
    /// The size of all records, at most.
    bytes: usize,
    bytes_max: usize,
    /// How many snapshots of a shard stay when another is registered.
    snapshots_kept: u32,
}

/// A place in a [`Batch`]: see [`Batch::mark`].
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    operations: usize,
    /// The last operation, which more entries may be added to.
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

    /// Appends `entry` to the shard's log, which it must continue: its index must be one past the last entry's, or
    /// past the boundary of an empty log; it may be any where there is neither.
    ///
    /// Whether it does is found out when the batch is submitted: [`Error::Gap`] or [`Error::Compacted`] then.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when the index, the context, the entry or the batch exceeds its limit.
    pub fn append(&mut self, shard: ShardId, entry: Entry<'a>) -> Result<&mut Self> {
        self.check_entry(&entry)?;
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
        index: u64,
        term: u64,
        payload: impl Into<Payload<'a>>,
    ) -> Result<&mut Self> {
        self.append(shard, Entry::new(index, term, payload))
    }

    /// Drops whatever the shard's log holds from the first of `entries` on, then appends them all.
    ///
    /// The indexes of `entries` must follow one another, and the first must not lie below the log's first entry nor
    /// beyond its end. Nothing happens if there are no entries.
    ///
    /// # Errors
    /// [`Error::Gap`] when the entries are not contiguous; [`Error::TooLarge`] as for [`Batch::append`]. None of them
    /// is in the batch then.
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

    /// Drops every entry behind `index`, which stays. The index of the boundary empties the log.
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
    /// Nothing happens where `index` lies below the first entry already. When submitted: [`Error::Beyond`] past the
    /// end; [`Batch::reset_to`] can go there. [`Error::Unapplied`] above the applied floor, where the application
    /// keeps [one](crate::Shard::raise_applied_floor).
    ///
    /// # Errors
    /// [`Error::TooLarge`] when the batch exceeds its limit.
    pub fn compact_through(&mut self, shard: ShardId, index: u64) -> Result<&mut Self> {
        self.push(shard, Operation::Compact { index, term: None, past_leases: false })
    }

    /// [`Batch::compact_through`], whatever is leased: for an owner that has a hard cap on the log. The files of
    /// leased snapshots stay all the same; who reads one may need a newer one afterwards.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when the batch exceeds its limit.
    pub fn compact_past_leases(&mut self, shard: ShardId, index: u64) -> Result<&mut Self> {
        self.push(shard, Operation::Compact { index, term: None, past_leases: true })
    }

    /// Makes a snapshot the shard's newest, and lets go of those that are too many then
    /// ([`Config::snapshots_kept`](crate::Config::snapshots_kept)): together with whatever else is in the batch, so
    /// that a crash leaves all of it or nothing. Files that are let go are removed when the batch is durable and
    /// nobody leases them.
    ///
    /// Index and term are not compared with the log. A snapshot past its end becomes the newest as any other would, and
    /// neither opening nor `logboom inspect` remarks on it: whether it belongs to the log is the application's to know.
    /// The log stays as it is, goes on at its own end, and cannot be [compacted](Batch::compact_through) up to the
    /// snapshot ([`Error::Beyond`]) until it is [reset](Batch::reset_to) to that: in the same batch, as
    /// [`Snapshots::install`](crate::Snapshots::install) does, or in a later one.
    ///
    /// When submitted: [`Error::Snapshot`] with `Stale` if the shard has a newer one.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when the batch exceeds its limit; [`Error::Snapshot`] with `Foreign` if it is another
    /// shard's.
    pub fn register_snapshot(&mut self, shard: ShardId, built: &Built) -> Result<&mut Self> {
        let snapshot = built.registration();
        if built.manifest().shard != shard.0 {
            let what = format!("it is of shard {}", built.manifest().shard);
            return Err(logboom_snapshot::Error::Foreign { what: what.into() }.into());
        }
        let (index, term, kept) = (snapshot.index, snapshot.term, self.snapshots_kept);
        let register = |[body]: [BufferRange; 1]| Operation::Register { index, term, body, kept };
        self.push_copying(shard, [&encode_snapshot(&snapshot)], register)?;
        self.buffers.built.push(built.clone());
        Ok(self)
    }

    /// Lets go of one of the shard's snapshots, of which nothing else is left. Nothing happens if it is not
    /// registered.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when the batch exceeds its limit.
    pub fn forget_snapshot(&mut self, shard: ShardId, id: u64) -> Result<&mut Self> {
        self.push(shard, Operation::Forget { id })
    }

    /// Empties the log, which continues behind `boundary`, or anywhere if that is `None`. Hard state, commit hint and
    /// keys stay.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when the index or the batch exceeds its limit.
    pub fn reset_to(&mut self, shard: ShardId, boundary: Option<Boundary>) -> Result<&mut Self> {
        boundary.map_or(Ok(()), |boundary| check_index(boundary.index))?;
        self.push(shard, Operation::Reset { boundary })
    }

    /// Drops everything of the shard: log, boundary, hard state, commit hint and keys. It may begin anew, in the same
    /// batch even.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when the batch exceeds its limit.
    pub fn destroy(&mut self, shard: ShardId) -> Result<&mut Self> {
        self.push(shard, Operation::Destroy)
    }

    /// Replaces the shard's hard state, at most [`STATE_BYTES_MAX`] bytes that mean nothing to the engine: a term and
    /// a vote, say.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when it or the batch exceeds its limit.
    pub fn hard_state(&mut self, shard: ShardId, state: &[u8]) -> Result<&mut Self> {
        check(Limit::HardState, state.len(), STATE_BYTES_MAX)?;
        self.push_copying(shard, [state], |[state]| Operation::HardState(state))
    }

    /// Replaces the shard's commit hint, at most [`STATE_BYTES_MAX`] bytes. It differs from the hard state in that a
    /// lazy batch may hold it.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when it or the batch exceeds its limit.
    pub fn commit_hint(&mut self, shard: ShardId, hint: &[u8]) -> Result<&mut Self> {
        check(Limit::CommitHint, hint.len(), STATE_BYTES_MAX)?;
        self.push_copying(shard, [hint], |[hint]| Operation::CommitHint(hint))
    }

    /// Gives `key` of the shard the value `value`. Keys and values are kept in memory, and written again with each
    /// checkpoint: they are for a little metadata beside the log.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when the key exceeds [`KEY_BYTES_MAX`], the value [`VALUE_BYTES_MAX`], or the batch its
    /// limit.
    pub fn put(&mut self, shard: ShardId, key: &[u8], value: &[u8]) -> Result<&mut Self> {
        check(Limit::Key, key.len(), KEY_BYTES_MAX)?;
        check(Limit::Value, value.len(), VALUE_BYTES_MAX)?;
        self.push_copying(shard, [key, value], |[key, value]| Operation::Put { key, value })
    }

    /// Drops `key` of the shard, if it is there.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when the key exceeds [`KEY_BYTES_MAX`] or the batch its limit.
    pub fn delete(&mut self, shard: ShardId, key: &[u8]) -> Result<&mut Self> {
        check(Limit::Key, key.len(), KEY_BYTES_MAX)?;
        self.push_copying(shard, [key], |[key]| Operation::Delete { key })
    }

    /// Hands an entry in again that the shard has lost, or that a read found damaged: one that was fetched from another
    /// replica. Its index must be in the shard's log. When the last thing that is missing of a shard is there again,
    /// its [quarantine](crate::Shard::quarantine) ends. [`Engine::heal`](crate::Engine::heal) does many entries.
    ///
    /// When submitted: [`Error::Compacted`] below the log, [`Error::Beyond`] past its end, [`Error::Term`] where the
    /// entry is not lost and its term is another one.
    ///
    /// # Errors
    /// As [`Batch::append`].
    pub fn heal(&mut self, shard: ShardId, entry: Entry<'a>) -> Result<&mut Self> {
        self.check_entry(&entry)?;
        self.push_entry(shard, entry, true)?;
        self.len += 1;
        Ok(self)
    }

    /// Says that the shard is from now on what it is, whatever was lost: its
    /// [quarantine](crate::Shard::quarantine) ends. The operations before it in the batch may make the shard whatever
    /// is right, which is not allowed otherwise: a reset and a new hard state, say, for a snapshot that was fetched
    /// from another replica. Nothing happens to a shard that is not in quarantine.
    ///
    /// When submitted: [`Error::Quarantined`] while entries of the log are lost. They must be healed, or dropped.
    ///
    /// Who accepts a loss answers for it: a replica that has forgotten votes or acknowledged entries is not the
    /// one that gave them.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when the batch exceeds its limit.
    pub fn accept_loss(&mut self, shard: ShardId) -> Result<&mut Self> {
        self.push(shard, Operation::AcceptLoss { hard_state: None, keys: 0, snapshot: None })
    }

    /// Whether the batch holds no operation. Such a batch cannot be submitted.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The number of operations; each entry counts.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The most bytes that the batch takes in the log, framing included.
    pub fn bytes(&self) -> u64 {
        self.bytes as u64
    }

    /// The most that [`Batch::bytes`] can come to: a quarter of a segment of the log.
    pub fn bytes_max(&self) -> u64 {
        self.bytes_max as u64
    }

    /// Where the batch is now, to come back to.
    pub fn mark(&self) -> Mark {
        let Buffers { operations, items, arena, built, .. } = &self.buffers;
        Mark {
            operations: operations.len(),
            last: operations.last().copied(),
            items: items.len(),
            arena: arena.len(),
            built: built.len(),
            len: self.len,
            bytes: self.bytes,
        }
    }

    /// Drops all operations that were added since `mark` was made of this batch, one that was refused among them:
    /// several operations are then all in the batch, or none. Does nothing if the batch holds less.
    pub fn rewind(&mut self, mark: &Mark) {
        let Buffers { operations, items, arena, built, .. } = &mut self.buffers;
        operations.truncate(mark.operations);
        // An entry that continued the run before it is part of that.
        if let (Some(last), Some(known)) = (operations.last_mut(), mark.last) {
            *last = known;
        }
        items.truncate(mark.items);
        arena.truncate(mark.arena);
        built.truncate(mark.built);
        self.len = self.len.min(mark.len);
        self.bytes = self.bytes.min(mark.bytes);
    }

    /// Drops all operations; the memory is kept for others.
    pub fn clear(&mut self) {
        let used = std::mem::replace(&mut self.buffers, self.pool.take());
        self.pool.give(used);
        self.len = 0;
        self.bytes = 0;
    }

    /// Has the memory used again, once the batch is in the log. Not when it is dropped: a `Drop` of what borrows would
    /// have callers declare their payloads before their batch.
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
            self.check_entry(&entry)?;
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

    fn check_entry(&self, entry: &Entry<'a>) -> Result<()> {
        check_index(entry.index)?;
        check(Limit::Context, entry.context.len(), CONTEXT_BYTES_MAX)?;
        let size = entry.context.len().saturating_add(entry.payload.as_bytes().len());
        check(Limit::Entry, size, self.bytes_max.saturating_sub(record_bytes(ROW)))
    }

    /// Adds an entry, to the run before it if it continues that.
    fn push_entry(&mut self, shard: ShardId, entry: Entry<'a>, heals: bool) -> Result<()> {
        let bytes = entry.context.len() + entry.payload.as_bytes().len();
        let last = self.buffers.operations.last();
        let grown = last.and_then(|last| continued(last, shard, &entry, bytes, heals));
        let items = BufferRange { at: part_at(self.buffers.items.len()), len: 1 };
        let one = run(heals, entry.index, entry.term, items, bytes);
        match (grown, self.buffers.operations.last_mut()) {
            (Some(grown), Some(last)) => {
                let more = record_bytes(grown.body_len()) - record_bytes(last.1.body_len());
                check(Limit::Batch, self.bytes + more, self.bytes_max)?;
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

    /// Adds an operation on small things, which are copied: behind each other, and only if it is not refused.
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
        check(Limit::Batch, bytes, self.bytes_max)?;
        check(Limit::Records, self.buffers.operations.len() + 1, BATCH_RECORDS_MAX)?;
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

/// The run `last`, with an entry of `more` bytes added to it, if the entry continues it.
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

/// Entries of one term, appended or handed in again.
fn run(heals: bool, first: u64, term: u64, items: BufferRange, bytes: usize) -> Operation {
    let bytes = part_at(bytes);
    match heals {
        true => Operation::Heal { first, term, items, bytes },
        false => Operation::Append { first, term, items, bytes },
    }
}

fn check_index(index: u64) -> Result<()> {
    if index == u64::MAX { Err(Error::index_max()) } else { Ok(()) }
}

fn check(what: Limit, size: usize, limit: usize) -> Result<()> {
    if size > limit {
        return Err(Error::TooLarge { what, size: size as u64, limit: limit as u64 });
    }
    Ok(())
}

/// A position or length in a batch, all of which are far below 4 GiB.
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
            batch.append_payload(shard, index, term, b"x").unwrap();
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
            batch.append_payload(A, index, 1, &payload).unwrap();
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
        assert_eq!(limit(batch.append(A, Entry { context: &context, ..Entry::new(1, 1, b"") })), Limit::Context);
        assert_eq!(limit(batch.append_payload(A, 1, 1, &payload)), Limit::Entry);
        let fits = &payload[..(1 << 20) - record_bytes(ROW)];
        assert_eq!(limit(batch.append_payload(A, 1, 1, fits)), Limit::Batch);
        let entries = [Entry::new(1, 1, b"fits"), Entry::new(2, 1, fits)];
        assert_eq!(limit(batch.overwrite(A, entries)), Limit::Batch);
        assert_eq!(limit(batch.append_payload(A, u64::MAX, 1, b"")), Limit::Index);
        assert_eq!(limit(batch.reset_to(A, Some(Boundary { index: u64::MAX, term: 1 }))), Limit::Index);
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
        let gap = batch.overwrite(A, [Entry::new(4, 1, b""), Entry::new(6, 1, b"")]);
        assert!(matches!(gap, Err(Error::Gap { expected: 5, got: 6, .. })));
        assert!(batch.is_empty() && batch.bytes() == 0);
        batch.overwrite(A, []).unwrap();
        assert!(batch.is_empty());
        batch.overwrite(A, [Entry::new(4, 1, b""), Entry::new(5, 1, b"")]).unwrap();
        assert_eq!(runs(&batch), [(A, 4, 2)]);
    }

    #[test]
    fn rewinding_leaves_what_was_there_before() {
        let large = vec![0; 1 << 20];
        let mut batch = batch(1 << 20);
        batch.append_payload(A, 1, 1, b"a").unwrap().put(A, b"k", b"v").unwrap();
        batch.append_payload(A, 2, 1, b"b").unwrap();
        let mark = batch.mark();
        let before = (batch.len(), batch.bytes(), batch.buffers.operations.clone(), batch.buffers.arena.clone());
        // One that grows the last run, and others.
        batch.append_payload(A, 3, 1, b"c").unwrap().put(B, b"k", b"v").unwrap().hard_state(B, b"s").unwrap();
        assert!(batch.append_payload(B, 1, 1, &large).is_err());
        batch.rewind(&mark);
        let after = (batch.len(), batch.bytes(), batch.buffers.operations.clone(), batch.buffers.arena.clone());
        assert_eq!((before, batch.buffers.items.len()), (after, 2));
        batch.append_payload(A, 3, 1, b"c").unwrap();
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
