//! `Effects`: what a transaction does if it commits, and why it may not.

use std::collections::{BTreeMap, BTreeSet};

use logboom_logtail::{Error, Timestamp};

use crate::{
    catalog::Table,
    model::Model,
    rows::{Key, Row, Rows, Version},
    value::Value,
};

/// The number of the column by which rows of tables without a key are told apart.
pub(crate) const SERIAL: i32 = 1;

/// What a transaction does to each table that it names.
#[derive(Debug, Default)]
pub(crate) struct Effects(BTreeMap<u64, TableEffects>);

#[derive(Debug)]
pub(crate) struct TableEffects {
    /// At the snapshot.
    pub(crate) schema: Table,
    /// By key: what is there afterwards.
    pub(crate) writes: BTreeMap<Key, Option<Row>>,
    /// Keys that must not be there at the snapshot.
    pub(crate) absent: BTreeSet<Key>,
    /// Rows of a table without a key.
    pub(crate) inserted: Vec<Row>,
    /// Such rows that go, by their serial numbers.
    pub(crate) deleted: BTreeSet<Value>,
    /// Whether it also deletes a row at a place where there is none.
    pub(crate) deletes_nothing: bool,
}

/// Why a transaction is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Refusal {
    DuplicateKey,
    Conflict,
    SchemaChanged,
    NoRow,
    TooLarge,
    TooOld,
}

impl Refusal {
    pub(crate) fn of(error: &Error) -> Option<Self> {
        match error {
            Error::DuplicateKey { .. } => Some(Self::DuplicateKey),
            Error::Conflict { .. } => Some(Self::Conflict),
            Error::SchemaChanged(_) => Some(Self::SchemaChanged),
            Error::NoRow { .. } => Some(Self::NoRow),
            Error::TooLarge { .. } => Some(Self::TooLarge),
            Error::SnapshotTooOld { .. } => Some(Self::TooOld),
            _ => None,
        }
    }

    pub(crate) fn mark(self) -> &'static str {
        match self {
            Self::DuplicateKey => "commit: refused, a key is there",
            Self::Conflict => "commit: refused, another one wrote the row",
            Self::SchemaChanged => "commit: refused, the schema has changed",
            Self::NoRow => "commit: refused, there is no such row",
            Self::TooLarge => "commit: refused, too long for an entry",
            Self::TooOld => "commit: refused, the snapshot is older than a flush",
        }
    }
}

impl Effects {
    /// Those on a table, which has this schema at the snapshot.
    pub(crate) fn of_table(&mut self, id: u64, schema: &Table) -> &mut TableEffects {
        self.0.entry(id).or_insert_with(|| TableEffects {
            schema: schema.clone(),
            writes: BTreeMap::new(),
            absent: BTreeSet::new(),
            inserted: Vec::new(),
            deleted: BTreeSet::new(),
            deletes_nothing: false,
        })
    }

    /// What is written so far by the keys of a table.
    pub(crate) fn writes(&self, id: u64) -> Option<&BTreeMap<Key, Option<Row>>> {
        self.0.get(&id).map(|effects| &effects.writes)
    }

    pub(crate) fn tables(&self) -> impl Iterator<Item = (u64, &TableEffects)> {
        self.0.iter().map(|(id, effects)| (*id, effects))
    }

    /// Whether nothing is written: only keys are deleted that are not there.
    pub(crate) fn are_none(&self, model: &Model, snapshot: Timestamp) -> bool {
        self.tables().all(|(id, effects)| {
            let mut writes = effects.writes.iter();
            let nothing = writes.all(|(key, row)| !effects.writes_key(model.rows(id), key, row.as_ref(), snapshot));
            nothing && effects.inserted.is_empty() && effects.deleted.is_empty() && !effects.deletes_nothing
        })
    }

    /// Why the transaction must be refused, by what is proposed so far.
    pub(crate) fn refusals(&self, model: &Model, snapshot: Timestamp) -> BTreeSet<Refusal> {
        self.tables().flat_map(|(id, effects)| effects.refusals(id, model, snapshot)).collect()
    }
}

impl TableEffects {
    /// Makes the versions of a commit at `at` of a transaction that read at `snapshot`.
    pub(crate) fn apply(&self, rows: &mut Rows, snapshot: Timestamp, at: Timestamp) {
        for (key, row) in &self.writes {
            // A delete of what was not there does nothing to what came after.
            if !self.writes_key(rows, key, row.as_ref(), snapshot) {
                continue;
            }
            rows.delete_key(&self.schema, key, at);
            row.iter().for_each(|row| rows.insert(row.clone(), at));
        }
        for serial in &self.deleted {
            rows.delete(at, |version| has_serial(version, serial));
        }
        self.inserted.iter().for_each(|row| rows.insert(row.clone(), at));
    }

    fn writes_key(&self, rows: &Rows, key: &Key, row: Option<&Row>, snapshot: Timestamp) -> bool {
        row.is_some() || rows.find(&self.schema, key, snapshot).is_some()
    }

    fn refusals(&self, id: u64, model: &Model, snapshot: Timestamp) -> Vec<Refusal> {
        let (rows, schema) = (model.rows(id), &self.schema);
        let is_same = model.last_catalog().tables.get(&id).is_some_and(|now| now.version == schema.version);
        let is_duplicate = self.absent.iter().any(|key| rows.find(schema, key, snapshot).is_some());
        let clashes = |(key, row): (&Key, &Option<Row>)| {
            self.writes_key(rows, key, row.as_ref(), snapshot) && rows.is_written_after(schema, key, snapshot)
        };
        let is_gone = |version: &Version| {
            version.deleted.is_some() && self.deleted.iter().any(|serial| has_serial(version, serial))
        };
        let conflicts = self.writes.iter().any(clashes) || rows.all().any(is_gone);
        let all = [
            (!is_same, Refusal::SchemaChanged),
            (is_duplicate, Refusal::DuplicateKey),
            (conflicts, Refusal::Conflict),
            (self.deletes_nothing, Refusal::NoRow),
        ];
        all.into_iter().filter(|(is_so, _)| *is_so).map(|(_, refusal)| refusal).collect()
    }
}

fn has_serial(version: &Version, serial: &Value) -> bool {
    version.row.get(&SERIAL) == Some(serial)
}
