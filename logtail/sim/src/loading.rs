//! `Loading`: a bulk load, and what it does by the model.

use std::collections::BTreeSet;

use logboom_logtail::{Error, Load, Timestamp};
use logboom_sim::{Choices, Failure};
use logboom_wal::marks;

use crate::{
    catalog::Table,
    check::Check,
    draft::{HUGE_BYTES, key, key_of, row, rows_as_batch},
    effects::{Effects, SERIAL},
    model::Model,
    rows::{Key, Row},
    value::{Kind, Value},
};

/// A load that collects rows, or is on its way.
#[derive(Debug)]
pub(crate) struct Loading {
    pub(crate) load: Load,
    pub(crate) table: u64,
    /// When the load began.
    schema: Table,
    rows: Vec<Row>,
    keys: BTreeSet<Key>,
    /// Whether two rows have the same key.
    has_duplicate: bool,
    /// The watermark when it was complete: no key is looked for at an older snapshot.
    pub(crate) completed: Option<Timestamp>,
    /// When it commits, once it was proposed.
    pub(crate) proposed: Option<Timestamp>,
}

impl Loading {
    pub(crate) fn new(load: Load, table: u64, schema: Table) -> Self {
        let (rows, keys) = (Vec::new(), BTreeSet::new());
        Self { load, table, schema, rows, keys, has_duplicate: false, completed: None, proposed: None }
    }

    /// Adds rows, mostly with keys that are free.
    ///
    /// # Errors
    /// [`Check::Operations`].
    pub(crate) fn push(&mut self, model: &Model, choices: &mut Choices, serial: &mut i64) -> Result<(), Failure> {
        let wrong = |error: Error| Failure::new(Check::Operations, format!("rows that are loaded: {error:?}"));
        let mut rows: Vec<Row> = (0..choices.range(1..4)).map(|_| self.row(model, choices, serial)).collect();
        let text = self.schema.columns.iter().find(|column| column.kind == Kind::Text);
        if let Some(text) = text.filter(|text| choices.percent(2) && !self.schema.key.contains(&text.id)) {
            marks::hit("load: of a row that no entry takes");
            rows[0].insert(text.id, Value::Text("h".repeat(HUGE_BYTES).into()));
        }
        self.load.push(&rows_as_batch(&self.schema, &rows)?).map_err(wrong)?;
        self.rows.extend(rows);
        Ok(())
    }

    fn row(&mut self, model: &Model, choices: &mut Choices, serial: &mut i64) -> Row {
        if !self.schema.is_keyed() {
            *serial += 1;
            return row(&self.schema, choices, |column| (column == SERIAL).then_some(Value::Int(*serial)));
        }
        let mut own = key(&self.schema, choices);
        let is_taken = |key: &Key| {
            self.keys.contains(key) || model.rows(self.table).find(&self.schema, key, Timestamp::MAX).is_some()
        };
        for _ in 0..if choices.percent(85) { 20 } else { 0 } {
            if !is_taken(&own) {
                break;
            }
            own = key(&self.schema, choices);
        }
        let made = row(&self.schema, choices, |column| {
            self.schema.key.iter().zip(&own).find(|(id, _)| **id == column).map(|(_, value)| value.clone())
        });
        self.has_duplicate |= !self.keys.insert(key_of(&self.schema, &made));
        made
    }

    /// What it does if it commits.
    pub(crate) fn effects(&self) -> Effects {
        let mut effects = Effects::default();
        let of_table = effects.of_table(self.table, &self.schema);
        for row in &self.rows {
            if self.schema.is_keyed() {
                of_table.writes.insert(key_of(&self.schema, row), Some(row.clone()));
            } else {
                of_table.inserted.push(row.clone());
            }
        }
        effects
    }

    /// Why it must not be committed now, after all that was proposed.
    pub(crate) fn forbidden(&self, model: &Model) -> Option<&'static str> {
        let find = |key: &Key| model.rows(self.table).find(&self.schema, key, Timestamp::MAX);
        if self.is_changed(model) {
            Some("the table has changed")
        } else if self.has_duplicate {
            Some("two of its rows have a key")
        } else if self.rows.is_empty() {
            Some("it has no rows")
        } else {
            self.keys.iter().any(|key| find(key).is_some()).then_some("a key is there")
        }
    }

    /// Whether it may be refused by an error, and what that is called.
    pub(crate) fn refusal(&self, model: &Model, error: &Error) -> Option<&'static str> {
        let rows = model.rows(self.table);
        let since = self.completed.unwrap_or(Timestamp::MAX);
        let written = |key: &Key| rows.is_written_after(&self.schema, key, since);
        let there = |key: &Key| rows.find(&self.schema, key, since).is_some() || written(key);
        let (is_so, mark) = match error {
            Error::DuplicateInLoad { .. } => (self.has_duplicate, "load: refused, two of its rows have a key"),
            Error::DuplicateKey { .. } => (self.keys.iter().any(there), "load: refused, a key is there"),
            Error::Conflict { .. } => (self.keys.iter().any(written), "load: refused, another one wrote a key"),
            Error::SchemaChanged(_) => (self.is_changed(model), "load: refused, the schema has changed"),
            _ => (false, ""),
        };
        is_so.then_some(mark)
    }

    fn is_changed(&self, model: &Model) -> bool {
        model.last_catalog().tables.get(&self.table).is_none_or(|now| now.version != self.schema.version)
    }

    pub(crate) fn has_rows(&self) -> bool {
        !self.rows.is_empty()
    }

    /// Marks where the process ends.
    pub(crate) fn mark_end(&self) {
        marks::hit_if(self.proposed.is_some(), "crash: a load is committed, and not acknowledged");
        marks::hit_if(self.proposed.is_none() && self.has_rows(), "crash: in the middle of a load");
    }
}
