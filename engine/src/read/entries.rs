//! Entry batches: verified entries, in the memory that they were written from or read into.

use bytes::Bytes;
use logboom_disk::Slice;
use logboom_wal::Record;

use crate::{
    encoding::{
        buffers::BatchEntry,
        entry_table::{self, EntryTable, ROW},
    },
    index::log_index::EntryLocation,
    read::shared_payloads::{EntryMemory, SharedPayloads},
    types::payload::Payload,
};

/// Contiguous entries of a shard, each verified against its checksums.
///
/// The batch shares the memory of the log's tail or of the read, and keeps it from being reused:
/// [`EntryBatch::pinned_bytes`]. To keep few bytes for long, take an [`EntryBatch::compact_copy`]. Cloning copies no
/// payload.
///
/// # Example
/// ```
/// # use logboom::{Config, Engine, EntryId, ShardId};
/// # let dir = tempfile::tempdir()?;
/// # let mut config = Config::new(dir.path().join("log"));
/// # config.segment_bytes = 256 << 10;
/// # let engine = Engine::open(config)?;
/// # let mut batch = engine.batch();
/// # for index in 1..=3 {
/// #     batch.append_payload(ShardId(1), EntryId { index, term: 1 }, b"payload")?;
/// # }
/// # engine.write(batch)?;
/// let entries = engine.shard(ShardId(1)).entries(1..4, u64::MAX)?;
/// let payload: bytes::Bytes = entries.get(2).expect("in the range").payload_shared(); // shares the memory
/// for entry in entries.iter() {
///     println!("{} in term {}: {} bytes", entry.index, entry.term, entry.payload.len());
/// }
/// # assert_eq!(payload, "payload");
/// # engine.close()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct EntryBatch {
    runs: Vec<RecordSlice>,
    len: usize,
    bytes: u64,
    shares: SharedPayloads,
}

/// An entry of an [`EntryBatch`].
#[derive(Clone, Copy)]
pub struct EntryRef<'b> {
    /// Its index.
    pub index: u64,
    /// Its term.
    pub term: u64,
    /// The kind that it was appended with.
    pub kind: u8,
    /// The context that it was appended with.
    pub context: &'b [u8],
    /// Its payload.
    pub payload: &'b [u8],
    batch: &'b EntryBatch,
}

/// The entries of a read that lie in one record.
#[derive(Clone, Debug)]
struct RecordSlice {
    body: Body,
    /// The index of the first entry taken.
    first: u64,
    term: u64,
    /// Entries in the record, and those of them that come before the first one taken.
    count: u32,
    skip: u32,
    /// Entries taken.
    take: u32,
}

#[derive(Clone, Debug)]
enum Body {
    Shared(Record),
    Copied(Bytes),
}

/// The record at the place does not hold the entries that the index states.
#[derive(Debug)]
pub(crate) struct Mismatch;

impl EntryBatch {
    pub(crate) fn with_capacity(runs: usize) -> Self {
        Self { runs: Vec::with_capacity(runs), ..Self::default() }
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the batch is empty, which only the read of an empty range is.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The index of the first entry; `None` if there is none.
    pub fn first(&self) -> Option<u64> {
        self.runs.first().map(|run| run.first)
    }

    /// The entries in order.
    pub fn iter(&self) -> Iter<'_> {
        Iter { batch: self, runs: &self.runs, at: 0, left: self.len }
    }

    /// The entry with this index, if it is in the batch.
    pub fn get(&self, index: u64) -> Option<EntryRef<'_>> {
        let at = self.runs.partition_point(|run| run.first <= index).checked_sub(1)?;
        self.runs[at].get(self, index - self.runs[at].first)
    }

    /// The bytes of all payloads and contexts.
    pub fn payload_bytes(&self) -> u64 {
        self.bytes
    }

    /// The bytes of memory that the batch keeps in use, about, those around its entries included.
    pub fn pinned_bytes(&self) -> usize {
        let mut last: Option<Slice> = None;
        let mut pinned = 0;
        for run in &self.runs {
            match &run.body {
                Body::Copied(bytes) => pinned += bytes.len(),
                Body::Shared(record) => {
                    let slice = record.body_slice();
                    // Runs follow each other in memory as they do in the log: neighbours share a chunk.
                    let distance =
                        last.as_ref().map_or(usize::MAX, |last| last.as_ptr().addr().abs_diff(slice.as_ptr().addr()));
                    if distance >= slice.chunk_len() {
                        pinned += slice.chunk_len();
                    }
                    last = Some(slice);
                }
            }
        }
        pinned
    }

    /// A copy of the entries in memory of its own, which holds nothing else.
    pub fn compact_copy(&self) -> EntryBatch {
        let runs = self.runs.iter().map(RecordSlice::compact_copy).collect();
        EntryBatch { runs, len: self.len, bytes: self.bytes, shares: SharedPayloads::default() }
    }

    /// A handle to `part` of an entry that shares its memory.
    fn share(&self, part: &[u8]) -> Bytes {
        if part.is_empty() {
            return Bytes::new();
        }
        let shared = self.shares.part(part, self.runs.iter().map(|run| run.body.memory()));
        debug_assert!(shared.is_some(), "a part of none of the records");
        shared.unwrap_or_else(|| Bytes::copy_from_slice(part))
    }

    /// Adds the entries of a location that `record` holds, up to `max_bytes` of payload and context in the batch, but
    /// the first entry in any case. Returns whether all were added.
    pub(crate) fn push(&mut self, location: &EntryLocation, record: Record, max_bytes: u64) -> Result<bool, Mismatch> {
        let first = record.first();
        let table = EntryTable::parse(record.body(), record.count()).ok_or(Mismatch)?;
        if !location.is_in(&record) {
            return Err(Mismatch);
        }
        let skip = number(location.range.start - first)?;
        let wanted = number(location.range.end - location.range.start)?;
        let take = self.fitting(&table, skip, wanted, max_bytes);
        if take > 0 {
            self.bytes += table.bytes(skip as usize, (skip + take) as usize);
            self.len += take as usize;
            let (term, count) = (record.attr(), record.count());
            self.runs.push(RecordSlice {
                body: Body::Shared(record),
                first: location.range.start,
                term,
                count,
                skip,
                take,
            });
        }
        Ok(take == wanted)
    }

    fn fitting(&self, table: &EntryTable<'_>, skip: u32, wanted: u32, max_bytes: u64) -> u32 {
        // No empty entries follow a first one that exceeds `max_bytes`.
        let Some(left) = max_bytes.checked_sub(self.bytes) else { return 0 };
        let bytes = |take: u32| table.bytes(skip as usize, (skip + take) as usize);
        if bytes(wanted) <= left {
            return wanted;
        }
        // Prefix sizes are monotonic: binary search for the longest prefix that fits.
        let (mut fits, mut exceeds) = (0, wanted);
        while exceeds - fits > 1 {
            let middle = fits + (exceeds - fits) / 2;
            if bytes(middle) <= left { fits = middle } else { exceeds = middle }
        }
        if self.len == 0 { fits.max(1) } else { fits }
    }
}

impl<'b> IntoIterator for &'b EntryBatch {
    type Item = EntryRef<'b>;
    type IntoIter = Iter<'b>;

    fn into_iter(self) -> Iter<'b> {
        self.iter()
    }
}

impl EntryRef<'_> {
    /// The payload as [`Bytes`] that share the batch's memory; no copy.
    pub fn payload_shared(&self) -> Bytes {
        self.batch.share(self.payload)
    }

    /// The context as [`Bytes`] that share the batch's memory; no copy.
    pub fn context_shared(&self) -> Bytes {
        self.batch.share(self.context)
    }
}

impl std::fmt::Debug for EntryRef<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EntryRef")
            .field("index", &self.index)
            .field("term", &self.term)
            .field("kind", &self.kind)
            .field("context", &self.context.len())
            .field("payload", &self.payload.len())
            .finish()
    }
}

/// The entries of an [`EntryBatch`], in order.
#[derive(Clone, Debug)]
pub struct Iter<'b> {
    batch: &'b EntryBatch,
    runs: &'b [RecordSlice],
    /// The entries of the first run that were returned already.
    at: u32,
    left: usize,
}

impl<'b> Iterator for Iter<'b> {
    type Item = EntryRef<'b>;

    fn next(&mut self) -> Option<EntryRef<'b>> {
        let (run, rest) = self.runs.split_first()?;
        let entry = run.get(self.batch, u64::from(self.at))?;
        self.at += 1;
        self.left -= 1;
        if self.at == run.take {
            self.runs = rest;
            self.at = 0;
        }
        Some(entry)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Iter<'_> {}

impl RecordSlice {
    fn get<'b>(&'b self, batch: &'b EntryBatch, at: u64) -> Option<EntryRef<'b>> {
        let at = u32::try_from(at).ok().filter(|at| *at < self.take)?;
        let entry = EntryTable::trusted(self.body.bytes(), self.count).get((self.skip + at) as usize)?;
        Some(EntryRef {
            index: self.first + u64::from(at),
            term: self.term,
            kind: entry.kind,
            context: entry.context,
            payload: entry.payload,
            batch,
        })
    }

    fn compact_copy(&self) -> RecordSlice {
        let table = EntryTable::trusted(self.body.bytes(), self.count);
        let items: Vec<BatchEntry<'_>> = (self.skip..self.skip + self.take)
            .filter_map(|at| table.get(at as usize))
            .map(|entry| BatchEntry {
                kind: entry.kind,
                context: entry.context,
                payload: Payload::Borrowed(entry.payload),
            })
            .collect();
        let mut body = Vec::with_capacity(items.len() * ROW + self.body.bytes().len());
        entry_table::put(&items, &mut |bytes| body.extend_from_slice(bytes));
        body.shrink_to_fit();
        RecordSlice { body: Body::Copied(body.into()), count: self.take, skip: 0, ..*self }
    }
}

impl Body {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Shared(record) => record.body(),
            Self::Copied(bytes) => bytes,
        }
    }

    fn memory(&self) -> EntryMemory<'_> {
        match self {
            Self::Shared(record) => EntryMemory::Chunk(record.slice()),
            Self::Copied(bytes) => EntryMemory::Own(bytes),
        }
    }
}

fn number(number: u64) -> Result<u32, Mismatch> {
    u32::try_from(number).map_err(|_| Mismatch)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The entries 10..15, with payloads of 1 to 5 bytes.
    fn batch() -> EntryBatch {
        let payloads = ["a", "bb", "ccc", "dddd", "eeeee"];
        let items: Vec<BatchEntry<'_>> =
            payloads.iter().map(|&text| BatchEntry { kind: 3, context: b"c", payload: Payload::from(text) }).collect();
        let mut body = Vec::new();
        entry_table::put(&items, &mut |bytes| body.extend_from_slice(bytes));
        let run = RecordSlice { body: Body::Copied(body.into()), first: 11, term: 4, count: 5, skip: 1, take: 3 };
        EntryBatch { runs: vec![run], len: 3, bytes: 12, shares: SharedPayloads::default() }
    }

    #[test]
    fn entries_are_given_in_order_and_by_index() {
        let batch = batch();
        let seen: Vec<(u64, &[u8])> = batch.iter().map(|entry| (entry.index, entry.payload)).collect();
        assert_eq!(seen, [(11, &b"bb"[..]), (12, b"ccc"), (13, b"dddd")]);
        assert_eq!(batch.iter().len(), 3);
        assert!(batch.get(10).is_none() && batch.get(14).is_none());
        let entry = batch.get(13).unwrap();
        assert_eq!((entry.term, entry.kind, entry.context), (4, 3, &b"c"[..]));
    }

    #[test]
    fn a_compact_copy_is_the_same_and_smaller() {
        let batch = batch();
        let copy = batch.compact_copy();
        let all = |batch: &EntryBatch| batch.iter().map(|entry| format!("{entry:?}")).collect::<Vec<_>>();
        assert_eq!(all(&copy), all(&batch));
        assert!(copy.pinned_bytes() < batch.pinned_bytes());
    }

    #[test]
    fn bytes_share_the_memory() {
        let batch = batch();
        let entry = batch.get(12).unwrap();
        let bytes = entry.payload_shared();
        assert_eq!((bytes.as_ptr(), &bytes[..]), (entry.payload.as_ptr(), &b"ccc"[..]));
        assert_eq!(entry.context_shared(), "c");
    }

    #[test]
    fn sizes_add_up_to_the_limit() {
        let batch = batch();
        let table = EntryTable::trusted(batch.runs[0].body.bytes(), 5);
        let fitting = |max_bytes| EntryBatch::default().fitting(&table, 0, 5, max_bytes);
        assert_eq!([0, 2, 4, 5, 9, 19, 20].map(fitting), [1, 1, 1, 2, 3, 4, 5]);
        let full = EntryBatch { len: 1, bytes: 10, ..EntryBatch::default() };
        assert_eq!(full.fitting(&table, 0, 5, 11), 0);
        let mut empty = Vec::new();
        entry_table::put(&[BatchEntry { kind: 0, context: b"", payload: Payload::from("") }], &mut |bytes| {
            empty.extend_from_slice(bytes);
        });
        let empty = EntryTable::trusted(&empty, 1);
        assert_eq!([9, 10].map(|max_bytes| full.fitting(&empty, 0, 1, max_bytes)), [0, 1]);
    }
}
