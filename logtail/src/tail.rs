//! `Tail`: tables on a shard.

use std::{sync::Arc, thread, time::Duration};

use arrow_array::ArrayRef;
use logboom::{Engine, Shard, ShardId, SystemClock};
use logboom_logtail_core::{
    DatabaseId, TableId, Timestamp,
    catalog::{Catalog, Change, NewTable, TableSchema, is_system},
    checkpoint::Checkpoint,
    flush::FlushParts,
    record::Record,
    recovery::{Recovered, Recovery},
    scan::{Filter, Projection, ScanPlan},
    state::OpenSnapshot,
    store::StoreHealth,
    table::{Table, Version},
    transaction::Workspace,
    writer::{CheckpointKind, Stopped, Writer},
};

use crate::{
    checkpoint_object,
    checkpointer::checkpoint,
    commit::Commit,
    error::{Error, Result},
    flusher::Flusher,
    flushing::{Flushing, flush_all},
    load::Load,
    metrics::{TableMetrics, TailMetrics},
    options::Options,
    rows_by_key::{RowsByKey, encode_keys, get},
    scan::Scan,
    scan_options::ScanOptions,
    shard_log::{ShardLog, newest_checkpoint},
    shared::Shared,
    store::Store,
    transaction::Transaction,
};

/// How much of the log an opening reads at once.
const READ_BYTES: u64 = 4 << 20;

/// Tables whose rows are in a shard of an engine: one writer, which all clones share, from any thread.
///
/// Readers see the table as of a timestamp: each commit has one, and [`Tail::watermark`] is the newest. What is visible
/// at a timestamp never changes.
#[derive(Clone, Debug)]
pub struct Tail {
    shared: Arc<Shared>,
    /// `None` without threads.
    flusher: Arc<Option<Flusher>>,
}

impl Tail {
    /// Opens the tail in a shard, which is empty or holds one. Reads the shard's entries, and returns when a record of
    /// this opening is durable: nobody else writes the shard from then on.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::Recovery`], and [`Error::Log`].
    pub fn open(engine: &Engine, shard: ShardId, options: Options) -> Result<Self> {
        let clock = options.clock.clone().unwrap_or_else(|| Arc::new(SystemClock::default()));
        let shared = loop {
            let (recovered, store, next) = read(&engine.shard(shard), &options)?;
            let writer = Writer::new(recovered, clock.nonce()).with_flush_limits(options.flush_limits);
            let identity = writer.identity();
            let log = ShardLog::new(engine, shard, writer.epoch(), next);
            let store = match store {
                Some(store) => store,
                None => {
                    let tables = writer.state().tables();
                    let has_objects = tables.iter().any(|table| !table.version().objects().is_empty());
                    Store::open(&options, &identity.to_le_bytes(), has_objects)?
                }
            };
            let opened = Shared::new(log, writer, store, Arc::clone(&clock), options.clone());
            match opened.begin() {
                // The writer before this one appended while the entries were read.
                Err(Error::Stopped(Stopped::Lost)) => {
                    ShardLog::fence(engine, shard, clock.nonce(), identity)?;
                }
                begun => break begun.map(|()| opened)?,
            }
        };
        let flusher = if options.threads { Some(Flusher::start(Arc::clone(&shared))?) } else { None };
        let flusher = Arc::new(flusher);
        Ok(Self { shared, flusher })
    }

    /// Begins a transaction at the watermark.
    pub fn begin(&self) -> Transaction {
        let snapshot = self.shared.state.open_newest();
        let catalog = self.shared.state.catalog_of(&snapshot);
        Transaction::new(Arc::clone(&self.shared), Workspace::new(snapshot, catalog))
    }

    /// Begins a transaction at an older timestamp.
    ///
    /// # Errors
    /// [`Error::Stale`] below the horizon, [`Error::Future`] above the watermark.
    pub fn begin_at(&self, snapshot: Timestamp) -> Result<Transaction> {
        self.check_not_future(snapshot)?;
        let snapshot = self.shared.state.open_at(snapshot)?;
        let catalog = self.shared.state.catalog_of(&snapshot);
        Ok(Transaction::new(Arc::clone(&self.shared), Workspace::new(snapshot, catalog)))
    }

    /// Begins a load of rows of any number into a table.
    ///
    /// # Errors
    /// [`Error::Operation`] where there is no such table, or it is the catalog's.
    pub fn load(&self, table: TableId) -> Result<Load> {
        Load::begin(&self.shared, table)
    }

    /// The newest timestamp that can be read: every transaction up to it is durable and visible.
    pub fn watermark(&self) -> Timestamp {
        self.shared.state.watermark()
    }

    /// The oldest timestamp that can be read.
    pub fn horizon(&self) -> Timestamp {
        self.shared.state.horizon()
    }

    /// Databases, tables and columns at `timestamp`.
    ///
    /// # Errors
    /// As [`Tail::begin_at`].
    pub fn catalog(&self, timestamp: Timestamp) -> Result<Arc<Catalog>> {
        self.check_not_future(timestamp)?;
        Ok(self.shared.state.catalog(timestamp)?)
    }

    /// Makes a database.
    ///
    /// # Errors
    /// As [`Tail::change`].
    pub fn create_database(&self, name: &str) -> Result<DatabaseId> {
        self.change(&Change::CreateDatabase { name: name.to_owned() }).map(DatabaseId)
    }

    /// Makes a table.
    ///
    /// # Errors
    /// As [`Tail::change`].
    pub fn create_table(&self, database: DatabaseId, table: NewTable) -> Result<TableId> {
        self.change(&Change::CreateTable { database, table }).map(TableId)
    }

    /// Changes the catalog, in a transaction of its own, durable on return. Returns the number of the database or table
    /// where one is made.
    ///
    /// # Errors
    /// [`Error::Catalog`] where the change is refused, and those of a commit.
    pub fn change(&self, change: &Change) -> Result<u64> {
        let (number, commit) = self.place_change(change)?;
        commit.wait().map(|_| number)
    }

    /// As [`Tail::change`], without waiting for the log's disk: readers and transactions see the change once the commit
    /// has been waited for.
    ///
    /// # Errors
    /// [`Error::Catalog`] where the change is refused, and those of [`Transaction::submit`].
    pub fn submit_change(&self, change: &Change) -> Result<(u64, Commit)> {
        let (number, mut commit) = self.place_change(change)?;
        commit.begin();
        Ok((number, commit))
    }

    fn place_change(&self, change: &Change) -> Result<(u64, Commit)> {
        let number = self.shared.take_number();
        loop {
            let snapshot = self.shared.state.open_newest();
            let catalog = self.shared.state.catalog_of(&snapshot);
            let edit = catalog.plan(change, number)?;
            let workspace = Workspace::of_edit(snapshot, catalog, &edit)?;
            match Transaction::new(Arc::clone(&self.shared), workspace).place() {
                // Somebody else changed the catalog, perhaps in a transaction that readers do not see yet.
                Err(Error::SchemaChanged(_) | Error::Conflict { .. }) => self.shared.settle()?,
                placed => return placed.map(|commit| (number, commit)),
            }
        }
    }

    /// The rows of a table at `timestamp`, as batches of at most [`BATCH_ROWS`](crate::BATCH_ROWS): those columns and
    /// rows that `options`, a [`Projection`], a [`Filter`] or both, ask for, and no
    /// others. Columns are those that the table has at `timestamp`.
    ///
    /// # Errors
    /// [`Error::NoTable`], [`Error::Column`] for columns that the table does not have or that do not compare with the
    /// filter's values, [`Error::FilterTooDeep`], [`Error::Stale`] below the horizon, [`Error::Future`] above the
    /// watermark.
    pub fn scan(&self, table: TableId, timestamp: Timestamp, options: impl Into<ScanOptions>) -> Result<Scan> {
        let (snapshot, schema, rows) = self.open_table(table, timestamp)?;
        let options = options.into();
        let plan = ScanPlan::new(&schema, &options.projection, &options.filter)?;
        self.shared.counts.scans.add(1);
        Ok(Scan::new(Arc::clone(&self.shared), snapshot, &rows.version(), plan))
    }

    /// The rows with these keys at `timestamp`, and which key has which. Keys are given as the columns of the table's
    /// key in its order, any number of rows of them.
    ///
    /// A key takes a look at the index of the rows in memory, and, where none there is visible and has the key, by the
    /// bounds of blocks and bloom filters, at the key's columns of the blocks of objects that may have it. The other
    /// columns are read of the one block that does.
    ///
    /// # Errors
    /// [`Error::NoTable`]; [`Error::Operation`] for a table without a key, and for keys of other types than its own or
    /// with a null; [`Error::Column`], [`Error::Stale`] and [`Error::Future`] as in [`Tail::scan`]; [`Error::Store`]
    /// and [`Error::Object`] where an object cannot be read.
    pub fn get(
        &self,
        table: TableId,
        timestamp: Timestamp,
        keys: &[ArrayRef],
        projection: &Projection,
    ) -> Result<RowsByKey> {
        let (snapshot, schema, rows) = self.open_table(table, timestamp)?;
        let plan = Arc::new(ScanPlan::new(&schema, projection, &Filter::default())?);
        let keys = encode_keys(table, &schema, keys)?;
        self.shared.counts.keys.add(keys.len() as u64);
        get(&self.shared, &snapshot, &rows.version(), &schema, &plan, &keys)
    }

    /// Moves what a table has in memory to objects, its rows and the deletes of older ones, and waits for it. Tables
    /// are flushed on their own as [`Options::flush`] says; this is for those who cannot wait. While the store is down
    /// ([`Tail::store_health`]) it waits.
    ///
    /// # Errors
    /// [`Error::Store`], [`Error::Write`], [`Error::Flush`], [`Error::Log`], [`Error::Stopped`] and [`Error::Closed`],
    /// in an [`Error::Shared`] where a thread flushes: the rows stay in memory then.
    pub fn flush(&self, table: TableId) -> Result<()> {
        match self.flusher.as_ref() {
            Some(flusher) => flusher.flush(table),
            None => flush_all(&self.shared, table),
        }
    }

    /// Begins a flush of parts of a table that the caller carries out, step by step. `None` where it has nothing of
    /// them in memory, or is being flushed.
    pub fn begin_flush(&self, table: TableId, parts: FlushParts) -> Option<Flushing> {
        Flushing::begin(&self.shared, table, parts)
    }

    /// Writes a checkpoint, and lets go of the log behind it, up to the oldest row that is in memory and not in the
    /// checkpoint ([`Options::pinned`]). Checkpoints are written on their own as [`Options::checkpoint_interval`] says;
    /// this is for those who cannot wait. Returns whether there was something to write.
    ///
    /// # Errors
    /// As [`Tail::flush`]; the log stays as it is then.
    pub fn checkpoint(&self, kind: CheckpointKind) -> Result<bool> {
        match self.flusher.as_ref() {
            Some(flusher) => flusher.checkpoint(kind),
            None => checkpoint(&self.shared, kind, || {
                thread::yield_now();
                true
            }),
        }
    }

    /// The newest checkpoint.
    pub fn newest_checkpoint(&self) -> Option<Checkpoint> {
        self.shared.writer().checkpoint().cloned()
    }

    /// The tables whose last flush failed, and why. They are tried again; their rows stay in memory and in the log.
    /// While the store is down no flush fails: it waits, and [`Tail::store_health`] says why.
    pub fn flush_failures(&self) -> Vec<(TableId, Arc<Error>)> {
        self.shared.failures()
    }

    /// Why the last checkpoint that was due failed, if it did. It is tried again. While the store is down it waits, as
    /// flushes do.
    pub fn checkpoint_failure(&self) -> Option<Arc<Error>> {
        self.shared.checkpoint_failure()
    }

    /// Whether commits wait, as rows of all tables take all the memory that they may. A table that takes what one may
    /// ([`Options::table_bytes_max`]) holds up its own commits alone, and does not show here.
    pub fn is_waiting_for_memory(&self) -> bool {
        self.shared.memory_bound().is_full()
    }

    /// Counters since the opening, and what tables have in memory and in objects now. Looks at all blocks: for once a
    /// second, rather than once a transaction.
    pub fn metrics(&self) -> TailMetrics {
        let (counts, reads) = (&self.shared.counts, &self.shared.store.counts);
        let tables = self.shared.state.tables();
        let tables = tables.iter().filter(|table| !is_system(table.id()));
        TailMetrics {
            watermark: self.watermark(),
            horizon: self.horizon(),
            drift: self.drift(),
            commit_transactions: counts.transactions.get(),
            commit_bytes: counts.bytes.get(),
            commit_refused: counts.refused.get(),
            commit_failed: counts.failed.get(),
            commit_waits: self.is_waiting_for_memory(),
            flush_runs: counts.flushes.get(),
            flush_failed: counts.flushes_failed.get(),
            flush_pauses: counts.pauses.get(),
            flush_failing: self.shared.failures().len(),
            load_runs: counts.loads.get(),
            load_give_ways: counts.give_ways.get(),
            checkpoint_runs: counts.checkpoints.get(),
            checkpoint_failed: counts.checkpoints_failed.get(),
            read_scans: counts.scans.get(),
            read_keys: counts.keys.get(),
            read_requests: reads.requests.get(),
            read_bytes: reads.bytes.get(),
            read_footer_hits: reads.footer_hits.get(),
            read_footer_misses: reads.footer_misses.get(),
            read_page_hits: reads.page_hits.get(),
            read_page_misses: reads.page_misses.get(),
            store: self.store_health(),
            tables: tables.map(|table| TableMetrics::of(table)).collect(),
        }
    }

    /// What goes wrong with the store now.
    pub fn store_health(&self) -> StoreHealth {
        self.shared.store.objects().health()
    }

    /// Where the rows of a table are: its memtables and objects.
    pub fn version(&self, table: TableId) -> Option<Arc<Version>> {
        self.shared.state.table(table).map(|table| table.version())
    }

    /// How far timestamps are ahead of the wall clock: after it was set back, and for some seconds after a crash, when
    /// they begin with a bound that none has passed. More than that is worth an alarm.
    pub fn drift(&self) -> Duration {
        self.shared.drift()
    }

    /// Waits until all transactions are durable that were submitted before. Clones go on; the tail's threads end with
    /// the last of them.
    ///
    /// # Errors
    /// [`Error::Log`] where the engine failed.
    pub fn close(self) -> Result<()> {
        self.shared.settle()
    }

    /// A table as it is read at a timestamp.
    fn open_table(&self, table: TableId, timestamp: Timestamp) -> Result<(OpenSnapshot, Arc<TableSchema>, Arc<Table>)> {
        self.check_not_future(timestamp)?;
        let snapshot = self.shared.state.open_at(timestamp)?;
        let catalog = self.shared.state.catalog_of(&snapshot);
        match (catalog.table(table), self.shared.state.table(table)) {
            (Some(schema), Some(rows)) => Ok((snapshot, Arc::clone(schema), rows)),
            _ => Err(Error::NoTable { table, timestamp }),
        }
    }

    fn check_not_future(&self, timestamp: Timestamp) -> Result<()> {
        let watermark = self.watermark();
        if timestamp > watermark { Err(Error::Future { timestamp, watermark }) } else { Ok(()) }
    }
}

/// Reads the newest checkpoint of a shard, and the records that it has. Returns what they come to, the store if the
/// checkpoint is in it, and the index of the next record.
fn read(shard: &Shard, options: &Options) -> Result<(Recovered, Option<Store>, u64)> {
    let (mut recovery, store) = match newest_checkpoint(shard).map_err(Error::Log)? {
        None => (Recovery::default(), None),
        Some(index) => {
            let entries = shard.entries(index..index + 1, READ_BYTES)?;
            let payload = entries.get(index).map(|entry| entry.payload).unwrap_or_default();
            let Ok((_, Record::Checkpoint(checkpoint))) = Record::decode(payload) else {
                return Err(Error::Bug(format!("record {index} is no checkpoint, as the shard's key says")));
            };
            let store = Store::open(options, &checkpoint.identity.to_le_bytes(), true)?;
            let mut items = Vec::new();
            for object in &checkpoint.objects {
                items.extend(checkpoint_object::read(&store, object)?);
            }
            (Recovery::restore(*checkpoint, items).map_err(Error::Restore)?, Some(store))
        }
    };
    let (mut next, end) = (shard.first().unwrap_or(1), shard.next().unwrap_or(1));
    while next < end {
        for entry in &shard.entries(next..end, READ_BYTES)? {
            recovery.record(entry.index, entry.payload)?;
            next = entry.index + 1;
        }
    }
    Ok((recovery.finish(), store, next.max(end)))
}
