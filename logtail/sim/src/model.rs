//! `Model`: what a tail must show at every timestamp, in plain maps.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound::{Excluded, Included, Unbounded},
    sync::Arc,
};

use logboom_logtail::{Change, Timestamp};

use crate::{
    catalog::{Catalog, Table},
    effects::Effects,
    rows::Rows,
};

/// All transactions that were proposed and are not known to be lost.
#[derive(Debug)]
pub(crate) struct Model {
    rows: BTreeMap<u64, Rows>,
    catalogs: BTreeMap<Timestamp, Arc<Catalog>>,
    /// When the transactions commit, in their order.
    commits: BTreeSet<Timestamp>,
    /// Those of them that are flushes.
    flushes: BTreeSet<Timestamp>,
    /// Those that are loads, by their tables.
    loads: BTreeSet<(u64, Timestamp)>,
    clients: BTreeMap<u128, Timestamp>,
    /// The ids of transactions that were lost.
    lost_clients: BTreeSet<u128>,
    /// The last change, if its end is not known: nor is the number that it was given.
    unknown_change: Option<(Timestamp, Change)>,
    /// All up to this was acknowledged or seen, and must not be lost.
    kept: Timestamp,
    /// The last timestamp that was given, to a transaction that was lost perhaps.
    given: Timestamp,
    /// The numbers of all databases and tables there ever were.
    numbers: BTreeSet<u64>,
}

impl Model {
    pub(crate) fn new() -> Self {
        Self {
            rows: BTreeMap::new(),
            catalogs: BTreeMap::from([(Timestamp::ZERO, Arc::default())]),
            commits: BTreeSet::new(),
            flushes: BTreeSet::new(),
            loads: BTreeSet::new(),
            clients: BTreeMap::new(),
            lost_clients: BTreeSet::new(),
            unknown_change: None,
            kept: Timestamp::ZERO,
            given: Timestamp::ZERO,
            numbers: BTreeSet::new(),
        }
    }

    /// The catalog at a timestamp.
    pub(crate) fn catalog(&self, at: Timestamp) -> &Arc<Catalog> {
        let (_, catalog) = self.catalogs.range(..=at).next_back().expect("there is one at zero, which is not lost");
        catalog
    }

    /// The catalog with all changes that were proposed.
    pub(crate) fn last_catalog(&self) -> &Arc<Catalog> {
        self.catalog(Timestamp::MAX)
    }

    /// The rows of a table, if it ever had some.
    pub(crate) fn rows(&self, table: u64) -> &Rows {
        static NONE: Rows = Rows::none();
        self.rows.get(&table).unwrap_or(&NONE)
    }

    /// The numbers of all tables that there ever were, but those of lost changes.
    pub(crate) fn tables(&self) -> BTreeSet<u64> {
        self.catalogs.values().flat_map(|catalog| catalog.tables.keys().copied()).collect()
    }

    pub(crate) fn commits(&self) -> &BTreeSet<Timestamp> {
        &self.commits
    }

    /// When the transaction with a client's id commits.
    pub(crate) fn client(&self, id: u128) -> Option<Timestamp> {
        self.clients.get(&id).copied()
    }

    /// Whether a transaction with a client's id was lost.
    pub(crate) fn was_lost(&self, id: u128) -> bool {
        self.lost_clients.contains(&id)
    }

    pub(crate) fn kept(&self) -> Timestamp {
        self.kept
    }

    pub(crate) fn given(&self) -> Timestamp {
        self.given
    }

    /// Somebody was told that all up to a timestamp is committed, or saw it.
    pub(crate) fn keep(&mut self, at: Timestamp) {
        self.kept = self.kept.max(at);
    }

    /// A transaction that reads at `snapshot` was proposed, and commits at `at`.
    pub(crate) fn place(&mut self, snapshot: Timestamp, at: Timestamp, effects: &Effects, client_id: Option<u128>) {
        self.note(at);
        if let Some(id) = client_id {
            self.clients.insert(id, at);
        }
        for (table, effects) in effects.tables() {
            effects.apply(self.rows.entry(table).or_default(), snapshot, at);
        }
    }

    /// A load into a table was proposed, and commits at `at`.
    pub(crate) fn load(&mut self, table: u64, at: Timestamp, effects: &Effects) {
        self.place(at, at, effects, None);
        self.loads.insert((table, at));
    }

    /// Whether a table was loaded after a timestamp.
    pub(crate) fn is_loaded(&self, table: u64, after: Timestamp) -> bool {
        self.loads.range((Excluded((table, after)), Included((table, Timestamp::MAX)))).next().is_some()
    }

    /// The timestamps of loads after one.
    pub(crate) fn loads_after(&self, after: Timestamp) -> Vec<Timestamp> {
        self.loads.iter().map(|(_, at)| *at).filter(|at| *at > after).collect()
    }

    /// The catalog was changed, which must be possible. Returns whether the number is new that was given by it.
    pub(crate) fn change(&mut self, at: Timestamp, change: &Change, number: u64) -> bool {
        self.note(at);
        let next = self.changed(change, number);
        self.catalogs.insert(at, Arc::new(next.expect("what the model refuses is not noted")));
        let makes = matches!(change, Change::CreateDatabase { .. } | Change::CreateTable { .. });
        !makes || self.numbers.insert(number)
    }

    /// The catalog after a change; `None` where it must be refused.
    pub(crate) fn changed(&self, change: &Change, number: u64) -> Option<Catalog> {
        let last_column = if let Change::AddColumn { table, .. } = change { self.last_column(table.0) } else { 0 };
        self.last_catalog().changed(change, number, last_column)
    }

    /// Whether a change takes effect is known when the log is read again.
    pub(crate) fn change_unknown(&mut self, at: Timestamp, change: Change) {
        self.note(at);
        self.unknown_change = Some((at, change));
    }

    /// A flush was proposed, which nobody sees in what is read.
    pub(crate) fn flush(&mut self, at: Timestamp) {
        self.flushes.insert(at);
        self.note(at);
    }

    /// Whether a flush was published between two timestamps: a transaction that begins after it, and reads at one
    /// before, may be too old.
    pub(crate) fn is_flushed(&self, snapshot: Timestamp, begun: Timestamp) -> bool {
        snapshot < begun && self.flushes.range((Excluded(snapshot), Included(begun))).next().is_some()
    }

    /// The log was read again, and ends with the transaction at a timestamp: those behind it are lost. Returns the
    /// change that is there, with its number still to be found, and whether one is lost.
    pub(crate) fn lose_after(&mut self, at: Timestamp) -> (Option<(Timestamp, Change)>, bool) {
        self.rows.values_mut().for_each(|rows| rows.lose_after(at));
        self.catalogs.retain(|timestamp, _| *timestamp <= at);
        self.commits.retain(|timestamp| *timestamp <= at);
        self.flushes.retain(|timestamp| *timestamp <= at);
        self.loads.retain(|(_, timestamp)| *timestamp <= at);
        self.lost_clients.extend(self.clients.iter().filter(|(_, timestamp)| **timestamp > at).map(|(id, _)| *id));
        self.clients.retain(|_, timestamp| *timestamp <= at);
        match self.unknown_change.take() {
            Some(change) if change.0 <= at => (Some(change), false),
            lost => (None, lost.is_some()),
        }
    }

    /// The first transaction after a timestamp.
    pub(crate) fn next_commit(&self, at: Timestamp) -> Option<Timestamp> {
        self.commits.range((Excluded(at), Unbounded)).next().copied()
    }

    fn note(&mut self, at: Timestamp) {
        self.commits.insert(at);
        self.given = self.given.max(at);
    }

    fn last_column(&self, table: u64) -> i32 {
        let tables = self.catalogs.values().filter_map(|catalog| catalog.tables.get(&table));
        tables.flat_map(|table: &Table| table.columns.iter().map(|column| column.id)).max().unwrap_or(0)
    }
}
