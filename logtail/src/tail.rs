//! `Tail`: tables on a shard.

use std::{sync::Arc, time::Duration};

use logboom::{Clock, Engine, Shard, ShardId, SystemClock};
use logboom_logtail_core::{
    DatabaseId, TableId, Timestamp,
    catalog::{Catalog, Change, NewTable},
    recovery::{Recovered, Recovery},
    scan::{MemoryScan, Projection},
    transaction::Workspace,
    writer::Writer,
};

use crate::{
    error::{Error, Result},
    shard_log::ShardLog,
    shared::Shared,
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
}

/// Options of a [`Tail`]. Fields are assigned after [`default`](Default::default).
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Options {
    /// The clock whose wall clock the timestamps follow, and whose nonces tell openings apart; `None` for those of the
    /// system.
    pub clock: Option<Arc<dyn Clock>>,
}

impl Tail {
    /// Opens the tail in a shard, which is empty or holds one. Reads the shard's entries, and returns when a record of
    /// this opening is durable: nobody else writes the shard from then on.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::Recovery`], and [`Error::Log`].
    pub fn open(engine: &Engine, shard: ShardId, options: Options) -> Result<Self> {
        let Options { clock } = options;
        let clock = clock.unwrap_or_else(|| Arc::new(SystemClock::default()));
        let mut opened = Self::take_over(engine, shard, &clock);
        while let Err(Error::Log(logboom::Error::Gap { .. })) = opened {
            // The writer before this one appended while the entries were read.
            ShardLog::fence(engine, shard, clock.nonce())?;
            opened = Self::take_over(engine, shard, &clock);
        }
        opened
    }

    fn take_over(engine: &Engine, shard: ShardId, clock: &Arc<dyn Clock>) -> Result<Self> {
        let (recovered, next) = read(&engine.shard(shard))?;
        let writer = Writer::new(recovered, clock.nonce());
        let log = ShardLog::new(engine, shard, writer.epoch(), next);
        let shared = Shared::new(log, writer, Arc::clone(clock));
        shared.begin()?;
        Ok(Self { shared })
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
        let number = self.shared.take_number();
        loop {
            let snapshot = self.shared.state.open_newest();
            let catalog = self.shared.state.catalog_of(&snapshot);
            let edit = catalog.plan(change, number)?;
            let workspace = Workspace::of_edit(snapshot, catalog, &edit)?;
            match Transaction::new(Arc::clone(&self.shared), workspace).commit() {
                // Somebody else changed the catalog, perhaps in a transaction that readers do not see yet.
                Err(Error::SchemaChanged(_) | Error::Conflict { .. }) => self.shared.settle()?,
                outcome => return outcome.map(|_| number),
            }
        }
    }

    /// The rows of a table at `timestamp`, as batches of at most [`BATCH_ROWS`](crate::BATCH_ROWS).
    ///
    /// # Errors
    /// [`Error::NoTable`], [`Error::Stale`] below the horizon, [`Error::Future`] above the watermark.
    pub fn scan(&self, table: TableId, timestamp: Timestamp, projection: Projection) -> Result<MemoryScan> {
        let catalog = self.catalog(timestamp)?;
        let missing = Error::NoTable { table, timestamp };
        let (Some(schema), Some(rows)) = (catalog.table(table), self.shared.state.table(table)) else {
            return Err(missing);
        };
        let scan = MemoryScan::new(&rows.version(), schema, timestamp, projection);
        self.shared.state.check(timestamp)?;
        Ok(scan)
    }

    /// How far timestamps are ahead of the wall clock, as after it was set back. More than some seconds are worth an
    /// alarm.
    pub fn drift(&self) -> Duration {
        self.shared.drift()
    }

    /// Waits until all transactions are durable that were submitted before.
    ///
    /// # Errors
    /// [`Error::Log`] where the engine failed.
    pub fn close(self) -> Result<()> {
        self.shared.settle()
    }

    fn check_not_future(&self, timestamp: Timestamp) -> Result<()> {
        let watermark = self.watermark();
        if timestamp > watermark { Err(Error::Future { timestamp, watermark }) } else { Ok(()) }
    }
}

/// What the shard's entries come to, and the index behind them.
fn read(shard: &Shard) -> Result<(Recovered, u64)> {
    let mut recovery = Recovery::default();
    let (mut next, end) = (shard.first().unwrap_or(1), shard.next().unwrap_or(1));
    while next < end {
        for entry in &shard.entries(next..end, READ_BYTES)? {
            recovery.record(entry.index, entry.payload)?;
            next = entry.index + 1;
        }
    }
    Ok((recovery.finish(), next))
}
