//! `Draft`: an open transaction, and what it does by the model.

use std::sync::Arc;

use arrow_array::{RecordBatch, StringArray};
use logboom_logtail::{Error, Filter, OperationError, RowId, RowsetId, TableId, Tail, Timestamp, Transaction};
use logboom_sim::{Choices, Failure};
use logboom_wal::marks;

use crate::{
    catalog::{Catalog, Table},
    check::Check,
    effects::{Effects, SERIAL},
    rows::{Key, Row, batch, key_arrays},
    scan::scan,
    value::{Kind, Value},
};

/// A transaction that collects what it writes.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) transaction: Transaction,
    pub(crate) effects: Effects,
    pub(crate) client_id: Option<u128>,
    /// Whether it has a row that is longer than an entry of the log.
    pub(crate) is_huge: bool,
    /// Whether its tail was replaced by another one.
    pub(crate) is_replaced: bool,
    /// The watermark when it began.
    pub(crate) begun: Timestamp,
    catalog: Arc<Catalog>,
}

impl Draft {
    /// A transaction that begins when the watermark is `begun`; the catalog is that of its snapshot.
    pub(crate) fn new(transaction: Transaction, begun: Timestamp, catalog: Arc<Catalog>) -> Self {
        let effects = Effects::default();
        Self { transaction, effects, client_id: None, is_huge: false, is_replaced: false, begun, catalog }
    }

    pub(crate) fn set_client_id(&mut self, id: u128) {
        self.transaction.set_client_id(id);
        self.client_id = Some(id);
    }

    pub(crate) fn snapshot(&self) -> Timestamp {
        self.transaction.snapshot()
    }

    /// Does something to one of the tables that there are at the snapshot. `serial` numbers rows.
    ///
    /// # Errors
    /// [`Check::Operations`].
    pub(crate) fn operate(&mut self, tail: &Tail, choices: &mut Choices, serial: &mut i64) -> Result<(), Failure> {
        let catalog = Arc::clone(&self.catalog);
        let Some((id, table)) = catalog.tables.iter().nth(choices.size(catalog.tables.len())) else { return Ok(()) };
        if choices.percent(4) {
            return self.misuse(*id, table, choices);
        }
        match (table.is_keyed(), choices.below(4)) {
            (true, 0 | 1) => self.insert(*id, table, choices),
            (true, 2) => self.upsert(*id, table, choices),
            (true, _) => self.delete(*id, table, choices),
            (false, 0 | 1) => self.append(*id, table, choices, serial),
            (false, _) => self.delete_rows(*id, table, tail, choices),
        }
    }

    /// Deletes rows of a table, if there is such a table at the snapshot.
    ///
    /// # Errors
    /// As [`Draft::operate`].
    pub(crate) fn delete_some(&mut self, id: u64, tail: &Tail, choices: &mut Choices) -> Result<(), Failure> {
        let catalog = Arc::clone(&self.catalog);
        match catalog.tables.get(&id) {
            Some(table) if table.is_keyed() => self.delete(id, table, choices),
            Some(table) => self.delete_rows(id, table, tail, choices),
            None => Ok(()),
        }
    }

    /// Inserts rows with keys.
    fn insert(&mut self, id: u64, table: &Table, choices: &mut Choices) -> Result<(), Failure> {
        let rows = keyed_rows(table, choices);
        let made = rows_as_batch(table, &rows)?;
        let inserted = self.transaction.insert(TableId(id), &made);
        let mut writes = self.effects.writes(id).cloned().unwrap_or_default();
        let mut absent = Vec::new();
        for (at, row) in rows.into_iter().enumerate() {
            let key = key_of(table, &row);
            match writes.insert(key.clone(), Some(row)) {
                Some(Some(_)) => {
                    marks::hit("operation: refused, the transaction has the key");
                    let refused = OperationError::DuplicateKey { table: TableId(id), row: at };
                    return expect_refused(inserted, &refused);
                }
                Some(None) => {}
                None => absent.push(key),
            }
        }
        expect_done(inserted)?;
        let effects = self.effects.of_table(id, table);
        effects.writes = writes;
        effects.absent.extend(absent);
        Ok(())
    }

    fn upsert(&mut self, id: u64, table: &Table, choices: &mut Choices) -> Result<(), Failure> {
        let rows = keyed_rows(table, choices);
        expect_done(self.transaction.upsert(TableId(id), &rows_as_batch(table, &rows)?))?;
        let effects = self.effects.of_table(id, table);
        effects.writes.extend(rows.into_iter().map(|row| (key_of(table, &row), Some(row))));
        Ok(())
    }

    fn delete(&mut self, id: u64, table: &Table, choices: &mut Choices) -> Result<(), Failure> {
        let keys: Vec<Key> = (0..choices.range(1..4)).map(|_| key(table, choices)).collect();
        expect_done(self.transaction.delete(TableId(id), &key_arrays(table, &keys)))?;
        self.effects.of_table(id, table).writes.extend(keys.into_iter().map(|key| (key, None)));
        Ok(())
    }

    /// Inserts rows without keys.
    fn append(&mut self, id: u64, table: &Table, choices: &mut Choices, serial: &mut i64) -> Result<(), Failure> {
        let mut rows: Vec<Row> = (0..choices.range(1..5))
            .map(|_| {
                *serial += 1;
                row(table, choices, |column| (column == SERIAL).then_some(Value::Int(*serial)))
            })
            .collect();
        let text = table.columns.iter().find(|column| column.kind == Kind::Text);
        if let Some(text) = text.filter(|_| choices.percent(1)) {
            rows[0].insert(text.id, Value::Text("h".repeat(HUGE_BYTES).into()));
            self.is_huge = true;
        }
        let made = rows_as_batch(table, &rows)?;
        let appended = match choices.percent(50) {
            true => self.transaction.insert(TableId(id), &made),
            false => self.transaction.upsert(TableId(id), &made),
        };
        expect_done(appended)?;
        self.effects.of_table(id, table).inserted.extend(rows);
        Ok(())
    }

    /// Deletes rows by their places, some of them twice, or one that is not there.
    fn delete_rows(&mut self, id: u64, table: &Table, tail: &Tail, choices: &mut Choices) -> Result<(), Failure> {
        let seen = match scan(tail, id, self.snapshot(), None, Filter::default()) {
            Ok(seen) => seen,
            Err(Error::Store(_)) => return Ok(()),
            Err(error) => return Err(wrong(format!("table {id} at an open snapshot: {error:?}"))),
        };
        let mut places = Vec::new();
        for _ in 0..choices.below(4).min(seen.len() as u64) {
            let row = &seen[choices.size(seen.len())];
            places.push(row.place);
            self.effects.of_table(id, table).deleted.insert(row.values[0].clone());
        }
        if choices.percent(3) {
            places.push(RowId { rowset: RowsetId(1 << 40), row: 7 });
            self.effects.of_table(id, table).deletes_nothing = true;
        }
        expect_done(self.transaction.delete_rows(TableId(id), &places))
    }

    /// Something that must be refused, and leave no trace.
    fn misuse(&mut self, id: u64, table: &Table, choices: &mut Choices) -> Result<(), Failure> {
        marks::hit("operation: refused, it does not fit the table");
        let table_id = TableId(id);
        if choices.percent(50) {
            let batch = RecordBatch::try_from_iter([("x", Arc::new(StringArray::from(vec!["y"])) as _)]);
            let batch = batch.map_err(|error| wrong(error.to_string()))?;
            let refused = OperationError::Schema { table: table_id, at: 0, why: "its name is another one" };
            return expect_refused(self.transaction.insert(table_id, &batch), &refused);
        }
        if table.is_keyed() {
            let place = RowId { rowset: RowsetId(1), row: 0 };
            let deleted = self.transaction.delete_rows(table_id, &[place]);
            return expect_refused(deleted, &OperationError::HasKey(table_id));
        }
        expect_refused(self.transaction.delete(table_id, &[]), &OperationError::NoKey(table_id))
    }
}

/// More than an entry of a log with segments of a megabyte takes.
pub(crate) const HUGE_BYTES: usize = 1 << 20;

/// How many values the integers of keys have.
const KEYS: u64 = 7;

pub(crate) fn key(table: &Table, choices: &mut Choices) -> Key {
    let value = |kind| match kind {
        Kind::Text => Value::Text(choices.pick(&["", "k", "l"]).into()),
        _ => Value::Int(choices.below(KEYS).cast_signed() - 3),
    };
    table.key_columns().map(|column| column.kind).map(value).collect()
}

pub(crate) fn key_of(table: &Table, row: &Row) -> Key {
    table.key.iter().map(|column| row.get(column).cloned().unwrap_or(Value::Null)).collect()
}

fn keyed_rows(table: &Table, choices: &mut Choices) -> Vec<Row> {
    let mut rows = Vec::new();
    for _ in 0..choices.range(1..5) {
        let key = key(table, choices);
        let of_key = |column| table.key.iter().zip(&key).find(|(id, _)| **id == column).map(|(_, value)| value.clone());
        rows.push(row(table, choices, of_key));
    }
    rows
}

/// A row whose values are those `given`, and others.
pub(crate) fn row(table: &Table, choices: &mut Choices, given: impl Fn(i32) -> Option<Value>) -> Row {
    let mut row = Row::new();
    for column in &table.columns {
        let value = given(column.id).unwrap_or_else(|| column.kind.choose(choices, column.nullable));
        row.insert(column.id, value);
    }
    row
}

pub(crate) fn rows_as_batch(table: &Table, rows: &[Row]) -> Result<RecordBatch, Failure> {
    batch(table, rows).map_err(|error| wrong(format!("rows that are no batch: {error}")))
}

fn expect_done(done: Result<(), Error>) -> Result<(), Failure> {
    done.map_err(|error| wrong(format!("refused: {error:?}")))
}

fn expect_refused(done: Result<(), Error>, expected: &OperationError) -> Result<(), Failure> {
    match done {
        Err(Error::Operation(error)) if error == *expected => Ok(()),
        other => Err(wrong(format!("{other:?} instead of {expected:?}"))),
    }
}

fn wrong(what: String) -> Failure {
    Failure::new(Check::Operations, what)
}
