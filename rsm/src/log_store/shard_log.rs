//! `ShardLog`: a shard of the engine as a log store.

use std::{fmt, ops::Range};

use bytes::Bytes;
use logboom::{Batch, Durability, Engine, Entry, EntryId, Limit, ReadError, Shard, ShardId, Ticket};
use parking_lot::{Mutex, MutexGuard};

use super::{Compacted, Error, LogEntry, LogStore, Notice, Result, ServerState, StateStore, pack};

/// The most bytes of payload and context in one pack; a single larger entry is packed alone.
const PACK_BYTES: u64 = 4 << 20;
/// The key of the configuration.
const CONFIG: &[u8] = b"nuraft/config";

/// The behaviour of [`LogStore::end_of_append_batch`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Appending {
    /// It waits until everything is durable.
    #[default]
    Waits,
    /// It returns at once, and a [notice](LogStore::on_append_completion) comes: NuRaft's `parallel_log_appending`.
    Parallel,
}

/// A shard of an engine as a [`LogStore`] and a [`StateStore`].
///
/// Each appended entry goes to the engine at once, lazily: it joins the engine's open group, which is readable as it
/// grows and shared with all other shards, and the end of a batch has the group written. This type caches nothing, so
/// one shard may have several of them and a [`Driver`](crate::Driver); write through only one at a time.
///
/// Entries above the shard's [applied floor](Shard::raise_applied_floor), which a driver maintains, are not compacted:
/// a commit thread always finds the entries that it is about to read.
pub struct ShardLog {
    engine: Engine,
    shard: Shard,
    appending: Appending,
    /// Locked by writers. Holds the ticket of the last append until a caller waits for it.
    writing: Mutex<Option<Ticket>>,
    notice: Mutex<Option<Notice>>,
}

impl ShardLog {
    /// The log of a shard, which may have entries already. A log that begins with entry 0 is not supported.
    pub fn new(engine: &Engine, shard: ShardId, appending: Appending) -> Self {
        Self {
            engine: engine.clone(),
            shard: engine.shard(shard),
            appending,
            writing: Mutex::new(None),
            notice: Mutex::new(None),
        }
    }

    /// The shard.
    pub fn shard(&self) -> &Shard {
        &self.shard
    }

    /// Reads the range within `max_bytes`; `None` if one of its entries is missing.
    fn read(&self, range: Range<u64>, max_bytes: u64) -> Result<Option<Vec<LogEntry>>> {
        match self.shard.entries(range, max_bytes) {
            Ok(batch) => Ok(Some(batch.iter().map(|entry| owned(&entry)).collect())),
            Err(ReadError::Compacted { .. } | ReadError::Unavailable { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads the whole range. If the engine returns a part, the rest is read with writers locked out: a result never
    /// mixes entries from before and after an overwrite.
    fn read_all(&self, range: Range<u64>) -> Result<Option<Vec<LogEntry>>> {
        let count = range.end.saturating_sub(range.start);
        match self.read(range.clone(), u64::MAX)? {
            Some(entries) if (entries.len() as u64) < count => {}
            outcome => return Ok(outcome),
        }
        let _writing = self.writing.lock();
        let mut entries = Vec::new();
        loop {
            let next = range.start.saturating_add(entries.len() as u64);
            match self.read(next..range.end, u64::MAX)? {
                Some(more) if next < range.end => entries.extend(more),
                Some(_) => return Ok(Some(entries)),
                None => return Ok(None),
            }
        }
    }

    fn append_to(&self, writing: &mut MutexGuard<'_, Option<Ticket>>, index: u64, entry: &LogEntry) -> Result<()> {
        let mut batch = self.engine.batch();
        batch.append(self.shard.id(), borrowed(index, entry))?;
        **writing = Some(self.engine.submit(batch, Durability::Lazy)?);
        Ok(())
    }

    /// Waits for a ticket, or for everything that is not durable if another thread has taken it.
    fn wait(&self, ticket: Option<Ticket>) -> Result<()> {
        match ticket {
            Some(ticket) => Ok(ticket.wait()?),
            None if self.last_durable_index().saturating_add(1) >= self.next_slot() => Ok(()),
            None => self.flush(),
        }
    }

    /// The batches that put the entries in place of what is there. Each is as large as it may be.
    fn replacing<'e>(&self, entries: Vec<Entry<'e>>) -> Result<Vec<Batch<'e>>> {
        let mut batches = Vec::new();
        let mut batch = self.engine.batch();
        for entry in entries {
            if batches.is_empty() && batch.is_empty() {
                batch.overwrite(self.shard.id(), [entry])?;
                continue;
            }
            let added = batch.append(self.shard.id(), entry.clone()).map(drop);
            match added {
                Err(logboom::Error::TooLarge { what: Limit::Batch | Limit::Records, .. }) if !batch.is_empty() => {
                    batches.push(std::mem::replace(&mut batch, self.engine.batch()));
                    batch.append(self.shard.id(), entry)?;
                }
                outcome => outcome?,
            }
        }
        batches.push(batch);
        Ok(batches)
    }

    /// Compacts or empties the log, if there is anything to do.
    fn submit_compaction(&self, index: u64) -> Result<Option<Ticket>> {
        let _writing = self.writing.lock();
        let mut batch = self.engine.batch();
        let durability = match index {
            _ if index < self.start_index() => return Ok(None),
            _ if index < self.next_slot() => {
                batch.compact_through(self.shard.id(), index)?;
                Durability::Lazy
            }
            _ => {
                batch.reset_to(self.shard.id(), Some(EntryId { index, term: 0 }))?;
                Durability::Durable
            }
        };
        Ok(Some(self.engine.submit(batch, durability)?))
    }
}

impl LogStore for ShardLog {
    fn next_slot(&self) -> u64 {
        self.shard.next().unwrap_or(1)
    }

    fn start_index(&self) -> u64 {
        let bounds = self.shard.bounds();
        bounds.first.or(bounds.boundary.map(|boundary| boundary.index.saturating_add(1))).unwrap_or(1)
    }

    fn last_entry(&self) -> Result<LogEntry> {
        while let Some(last) = self.shard.last() {
            if let Some(entry) = self.entry_at(last)? {
                return Ok(entry);
            }
            // It was truncated or compacted in between.
        }
        Ok(LogEntry::default())
    }

    fn last_id(&self) -> Result<EntryId> {
        loop {
            let bounds = self.shard.bounds();
            let Some(index) = bounds.last else {
                return Ok(bounds.boundary.unwrap_or_default());
            };
            match self.shard.term(index) {
                Ok(term) => return Ok(EntryId { index, term }),
                Err(error @ ReadError::Corrupted { .. }) => return Err(error.into()),
                // It was truncated or compacted in between.
                Err(_) => {}
            }
        }
    }

    fn append(&self, entry: LogEntry) -> Result<u64> {
        let mut writing = self.writing.lock();
        let index = self.next_slot();
        self.append_to(&mut writing, index, &entry)?;
        Ok(index)
    }

    fn write_at(&self, index: u64, entry: LogEntry) -> Result<()> {
        let mut writing = self.writing.lock();
        let next = self.next_slot();
        if index == next {
            return self.append_to(&mut writing, index, &entry);
        }
        // Nothing comes before the engine's first entry, which may have any index.
        if index > next || self.shard.next().is_none() {
            return Err(Error::Gap { next, index });
        }
        let mut batch = self.engine.batch();
        batch.overwrite(self.shard.id(), [borrowed(index, &entry)])?;
        *writing = Some(self.engine.submit(batch, Durability::Durable)?);
        Ok(())
    }

    fn end_of_append_batch(&self, _: u64, _: u64) -> Result<()> {
        match self.appending {
            Appending::Waits => {
                let ticket = self.writing.lock().take();
                self.wait(ticket)
            }
            Appending::Parallel => {
                let notice = self.notice.lock().clone();
                self.engine.barrier()?.on_complete(move |outcome| {
                    if let Some(notice) = notice {
                        notice(outcome.map_err(Error::from));
                    }
                });
                Ok(())
            }
        }
    }

    fn last_durable_index(&self) -> u64 {
        self.shard.durable().unwrap_or(0)
    }

    fn on_append_completion(&self, notice: Notice) {
        *self.notice.lock() = Some(notice);
    }

    fn flush(&self) -> Result<()> {
        Ok(self.engine.barrier()?.wait()?)
    }

    fn log_entries_ext(&self, range: Range<u64>, hint_bytes: i64) -> Result<Option<Vec<LogEntry>>> {
        match u64::try_from(hint_bytes) {
            Err(_) => Ok(Some(Vec::new())),
            Ok(0) => self.read_all(range),
            Ok(bytes) => self.read(range, bytes),
        }
    }

    fn entry_at(&self, index: u64) -> Result<Option<LogEntry>> {
        let entries = self.read(index..index.saturating_add(1), u64::MAX)?;
        Ok(entries.and_then(|mut entries| entries.pop()))
    }

    fn term_at(&self, index: u64) -> Result<u64> {
        match self.shard.term(index) {
            Ok(term) => Ok(term),
            Err(error @ ReadError::Corrupted { .. }) => Err(error.into()),
            Err(_) => Ok(0),
        }
    }

    fn pack(&self, index: u64, count: u64) -> Result<Option<Bytes>> {
        let Some(entries) = self.read(index..index.saturating_add(count), PACK_BYTES)? else { return Ok(None) };
        Ok(Some(pack::encode(index, &entries)?.into()))
    }

    fn apply_pack(&self, index: u64, pack: &[u8]) -> Result<()> {
        let entries = pack::decode(index, pack)?;
        if entries.is_empty() {
            return Ok(());
        }
        let ticket = {
            let mut writing = self.writing.lock();
            for batch in self.replacing(entries)? {
                *writing = Some(self.engine.submit(batch, Durability::Durable)?);
            }
            writing.take()
        };
        self.wait(ticket)
    }

    fn compact(&self, index: u64) -> Result<()> {
        self.submit_compaction(index).map(drop)
    }

    fn compact_async(&self, index: u64, done: Compacted) {
        match self.submit_compaction(index) {
            Ok(Some(ticket)) => ticket.on_complete(|outcome| done(outcome.map_err(Error::from))),
            Ok(None) => done(Ok(())),
            Err(error) => done(Err(error)),
        }
    }

    fn install(&self, at: EntryId) -> Result<()> {
        let ticket = {
            let _writing = self.writing.lock();
            let (start, next) = (self.start_index(), self.next_slot());
            let held = self.term_at(at.index)?;
            let mut batch = self.engine.batch();
            match at.index {
                index if index.saturating_add(1) < start => return Ok(()),
                // If the log begins directly behind `at`, an unknown term does not justify dropping the entries.
                index if index < start && (held == at.term || (held == 0 && start < next)) => return Ok(()),
                index if index < next && held == at.term => batch.compact_through(self.shard.id(), index)?,
                index => batch.reset_to(self.shard.id(), Some(EntryId { index, term: at.term }))?,
            };
            self.engine.submit(batch, Durability::Durable)?
        };
        Ok(ticket.wait()?)
    }
}

impl StateStore for ShardLog {
    fn save_state(&self, state: &ServerState) -> Result<()> {
        let mut batch = self.engine.batch();
        batch.hard_state(self.shard.id(), &state.encode())?;
        Ok(self.engine.write(batch)?)
    }

    fn read_state(&self) -> Result<Option<ServerState>> {
        let state = self.shard.hard_state().map_err(Error::unreadable)?;
        state.map(|state| ServerState::decode(&state)).transpose()
    }

    fn save_config(&self, config: &[u8]) -> Result<()> {
        let mut batch = self.engine.batch();
        batch.put(self.shard.id(), CONFIG, config)?;
        Ok(self.engine.write(batch)?)
    }

    fn load_config(&self) -> Result<Option<Bytes>> {
        self.shard.get(CONFIG).map_err(Error::unreadable)
    }
}

impl fmt::Debug for ShardLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShardLog")
            .field("shard", &self.shard)
            .field("appending", &self.appending)
            .finish_non_exhaustive()
    }
}

fn owned(entry: &logboom::EntryRef<'_>) -> LogEntry {
    LogEntry { term: entry.term, kind: entry.kind, context: entry.context_shared(), payload: entry.payload_shared() }
}

fn borrowed(index: u64, entry: &LogEntry) -> Entry<'_> {
    Entry { index, term: entry.term, kind: entry.kind, context: &entry.context, payload: (&entry.payload[..]).into() }
}
