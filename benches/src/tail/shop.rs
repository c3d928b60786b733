//! `Shop`: an engine, and a log tail in one of its shards.

use std::{
    path::PathBuf,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use arrow_schema::SchemaRef;
use logboom::{Config, Engine, ShardId};
use logboom_logtail::{CheckpointKind, DatabaseId, Options, StoreChoice, TableId, TableSchema, Tail};

use super::{Request, counted::CountedStore, orders};
use crate::Result;

/// The directory of a workload.
pub(super) const DIR: &str = "shop";

/// The shard of the log tail.
const SHARD: ShardId = ShardId(1);

/// Rows of a transaction that fills a table: few enough for an entry of the log.
const FILL_ROWS: usize = 100_000;

/// An engine, and a log tail in one of its shards, which flushes when it is asked to and not otherwise.
pub(super) struct Shop {
    pub(super) engine: Engine,
    pub(super) tail: Tail,
    pub(super) store: Arc<CountedStore>,
    objects: PathBuf,
    /// The segments that the log has in reserve when it is idle.
    reserve: u64,
    database: DatabaseId,
}

impl Shop {
    /// Opens it in a fresh directory.
    pub(super) fn open(request: &Request<'_>) -> Result<Self> {
        let dir = request.place.fresh(DIR)?;
        let mut config = Config::new(dir.join("log"));
        // As many as the workloads of the engine have, so that none is prepared during a round.
        config.reserve_segments = 16;
        let reserve = u64::from(config.reserve_segments);
        let engine = Engine::open(config)?;
        let objects = dir.join("objects");
        let store = Arc::new(CountedStore::open(&objects)?);
        let mut options = Options::new("");
        options.store = StoreChoice::Given(Arc::clone(&store) as _);
        options.flush.table_bytes = usize::MAX;
        options.flush.memory_bytes = usize::MAX;
        options.flush.age = NEVER;
        options.checkpoint_interval = NEVER;
        options.memory_bytes_max = usize::MAX;
        options.page_cache_bytes = 1 << 30;
        let tail = Tail::open(&engine, SHARD, options)?;
        let database = tail.create_database("shop")?;
        let shop = Self { engine, tail, store, objects, reserve, database };
        shop.settle()?;
        Ok(shop)
    }

    /// Waits until the log has prepared the segments that it keeps in reserve: what it prepares later would disturb a
    /// measurement.
    pub(super) fn settle(&self) -> Result<()> {
        let began = Instant::now();
        while self.engine.metrics().log.prepared_segments < self.reserve {
            if began.elapsed() > PATIENCE {
                return Err(format!("{} segments are not prepared after {PATIENCE:?}", self.reserve).into());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Makes a table of orders.
    pub(super) fn create(&self, name: impl Into<String>, keyed: bool) -> Result<TableId> {
        Ok(self.tail.create_table(self.database, orders::new_table(name, keyed))?)
    }

    /// The schema of a table.
    pub(super) fn schema(&self, table: TableId) -> Result<Arc<TableSchema>> {
        let catalog = self.tail.catalog(self.tail.watermark())?;
        Ok(Arc::clone(catalog.table(table).ok_or("the table is gone")?))
    }

    /// The columns of a table.
    pub(super) fn columns(&self, table: TableId) -> Result<SchemaRef> {
        Ok(Arc::clone(self.schema(table)?.arrow()))
    }

    /// Commits `rows` orders, in large transactions.
    pub(super) fn fill(&self, table: TableId, rows: u64, seed: u64) -> Result<()> {
        let mut orders = orders::Orders::new(self.columns(table)?, FILL_ROWS, seed);
        let mut left = usize::try_from(rows)?;
        while left > 0 {
            let batch = orders.next()?;
            let len = left.min(batch.num_rows());
            let mut transaction = self.tail.begin();
            transaction.insert(table, &batch.slice(0, len))?;
            transaction.commit()?;
            left -= len;
        }
        Ok(())
    }

    /// Moves the rows of a table to objects, and lets go of the log.
    pub(super) fn flush(&self, table: TableId) -> Result<()> {
        self.tail.flush(table)?;
        self.release()
    }

    /// Lets go of the log up to the oldest row that is in memory, and waits until the log is idle.
    pub(super) fn release(&self) -> Result<()> {
        self.tail.checkpoint(CheckpointKind::Global)?;
        self.settle()
    }

    /// The payloads of the last `count` entries of the log tail's shard.
    pub(super) fn last_records(&self, count: u64) -> Result<Vec<Vec<u8>>> {
        let shard = self.engine.shard(SHARD);
        let end = shard.next().unwrap_or(1);
        let entries = shard.entries(end.saturating_sub(count).max(1)..end, u64::MAX)?;
        Ok(entries.iter().map(|entry| entry.payload.to_vec()).collect())
    }

    /// The files with the objects of a table, the oldest first.
    pub(super) fn files(&self, table: TableId) -> Result<Vec<PathBuf>> {
        let version = self.tail.version(table).ok_or("the table is gone")?;
        let names = version.objects().iter().map(|object| format!("t{table}/{}.parquet", object.meta().id));
        Ok(names.map(|name| self.objects.join(name)).collect())
    }

    pub(super) fn close(self) -> Result<()> {
        self.tail.close()?;
        Ok(self.engine.close()?)
    }
}

const NEVER: Duration = Duration::from_secs(1 << 30);
const PATIENCE: Duration = Duration::from_secs(300);
