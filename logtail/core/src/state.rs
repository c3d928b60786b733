//! `State`: the tables and catalogs that readers see.

mod applier;
mod error;
mod placed;
mod restore;
mod snapshots;
mod watermark;

pub use applier::Applier;
pub use error::{ApplyError, Stale};
pub use snapshots::OpenSnapshot;

pub(crate) use placed::Placed;
pub(crate) use watermark::Watermark;

use snapshots::Snapshots;

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use parking_lot::RwLock;

use crate::{catalog::Catalog, ids::TableId, table::Table, timestamp::Timestamp};

/// The tables of a log tail, as one [`Applier`] makes them from the records of the log, and any number of threads read
/// them.
///
/// Everything is read at a timestamp between the horizon and the watermark, both inclusive. What is visible at such a
/// timestamp never changes.
#[derive(Debug)]
pub struct State {
    watermark: Watermark,
    horizon: AtomicI64,
    /// By the timestamps of their changes.
    catalogs: RwLock<BTreeMap<Timestamp, Arc<Catalog>>>,
    tables: RwLock<BTreeMap<TableId, Arc<Table>>>,
    open: Arc<Snapshots>,
}

impl State {
    fn new(catalog: Arc<Catalog>) -> Self {
        Self {
            watermark: Watermark::new(),
            horizon: AtomicI64::new(0),
            catalogs: RwLock::new(BTreeMap::from([(Timestamp::ZERO, catalog)])),
            tables: RwLock::default(),
            open: Arc::default(),
        }
    }

    /// The newest timestamp that can be read: every transaction up to it is committed and visible, and none will be
    /// added there.
    pub fn watermark(&self) -> Timestamp {
        self.watermark.get()
    }

    /// Raises the watermark to a transaction that is committed, as is all before it, and that was placed before this
    /// call: from any thread, without its [`Applier`]. Returns whether readers see it now; if not, a change of the
    /// catalog, a flush or a load is before it, which the applier has to publish.
    pub fn publish(&self, timestamp: Timestamp) -> bool {
        self.watermark.raise(timestamp)
    }

    /// The oldest timestamp that can be read. It never goes back.
    pub fn horizon(&self) -> Timestamp {
        Timestamp::from_i64(self.horizon.load(Ordering::Acquire)).unwrap_or_default()
    }

    /// Opens a snapshot at the watermark.
    pub fn open_newest(&self) -> OpenSnapshot {
        let now = || Ok::<_, Infallible>(self.watermark());
        self.open.open(now).unwrap_or_else(|never| match never {})
    }

    /// Opens a snapshot at `timestamp`, which is at most the watermark: what is visible then stays while it lives.
    ///
    /// # Errors
    /// [`Stale`] below the horizon.
    pub fn open_at(&self, timestamp: Timestamp) -> Result<OpenSnapshot, Stale> {
        self.open.open(|| self.check(timestamp).map(|()| timestamp))
    }

    /// Raises the horizon to `wanted`, or as far as open snapshots and the watermark allow. Returns the horizon: what
    /// is not visible from there on may be dropped.
    pub(crate) fn raise_horizon(&self, wanted: Timestamp) -> Timestamp {
        self.open.with_oldest(|oldest| {
            let allowed = oldest.unwrap_or(Timestamp::MAX).min(self.watermark());
            self.horizon.fetch_max(wanted.min(allowed).to_i64(), Ordering::AcqRel);
            self.horizon()
        })
    }

    /// The oldest timestamp at which a snapshot is open; the watermark where there is none.
    pub(crate) fn oldest_open(&self) -> Timestamp {
        let now = self.watermark();
        self.open.oldest().map_or(now, |oldest| oldest.min(now))
    }

    /// Databases, tables and columns at `timestamp`.
    ///
    /// # Errors
    /// [`Stale`] below the horizon.
    pub fn catalog(&self, timestamp: Timestamp) -> Result<Arc<Catalog>, Stale> {
        let catalogs = self.catalogs.read();
        let (_, catalog) = catalogs.range(..=timestamp).next_back().ok_or(self.stale(timestamp))?;
        let catalog = Arc::clone(catalog);
        drop(catalogs);
        self.check(timestamp)?;
        Ok(catalog)
    }

    /// Databases, tables and columns at an open snapshot.
    pub fn catalog_of(&self, snapshot: &OpenSnapshot) -> Arc<Catalog> {
        let catalogs = self.catalogs.read();
        let found = catalogs.range(..=snapshot.timestamp()).next_back();
        // While a snapshot is open, so is its catalog.
        found.map_or_else(|| Arc::new(Catalog::new()), |(_, catalog)| Arc::clone(catalog))
    }

    /// A table that there is, or was after the horizon.
    pub fn table(&self, id: TableId) -> Option<Arc<Table>> {
        self.tables.read().get(&id).cloned()
    }

    /// All tables that there are, or were after the horizon, by id.
    pub fn tables(&self) -> Vec<Arc<Table>> {
        self.tables.read().values().cloned().collect()
    }

    /// Refuses timestamps below the horizon. To be asked after the rows were found, which stay once they are.
    ///
    /// # Errors
    /// [`Stale`].
    pub fn check(&self, timestamp: Timestamp) -> Result<(), Stale> {
        if timestamp < self.horizon() { Err(self.stale(timestamp)) } else { Ok(()) }
    }

    fn stale(&self, timestamp: Timestamp) -> Stale {
        Stale { timestamp, horizon: self.horizon() }
    }
}
