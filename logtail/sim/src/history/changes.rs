//! Changes of the catalog.

use logboom_logtail::{
    Catalog as TailCatalog, Change, ColumnId, DatabaseId, Error, NewColumn, NewTable, TableId, Tail, Timestamp,
};
use logboom_sim::{Choices, Failure};
use logboom_wal::marks;

use super::History;
use crate::{
    catalog::{Catalog, Table},
    check::Check,
    life::Life,
    value::Kind,
};

impl History {
    /// Changes the catalog, or tries to.
    pub(super) fn change(&mut self, life: &mut Life) -> Result<(), Failure> {
        let change = choose(self.model.last_catalog(), &mut self.choices);
        let is_possible = self.model.changed(&change, u64::MAX).is_some();
        let wrong = |what: String| Err(Failure::new(Check::Changes, what));
        let changed = self.make(life, &change)?;
        self.note(format!("{change:?}: {changed:?}"));
        match changed {
            Ok((number, at)) if is_possible => {
                self.given(at)?;
                if !self.model.change(at, &change, number) {
                    return wrong(format!("{change:?} is given the number {number} of another one"));
                }
                self.model.keep(at);
                self.counts.changes += 1;
                marks::hit(mark(&change));
                Ok(())
            }
            Ok(_) => wrong(format!("{change:?} is made")),
            Err(Error::Catalog(_)) if !is_possible => {
                marks::hit("change: refused");
                Ok(())
            }
            Err(error @ Error::Unknown { timestamp, .. }) if is_possible => {
                self.given(timestamp)?;
                self.model.change_unknown(timestamp, change);
                self.failed(life, &error)
            }
            Err(error @ (Error::Log(_) | Error::Stopped(_))) => self.failed(life, &error),
            Err(error) => wrong(format!("{change:?}: {error:?}")),
        }
    }

    /// Makes a change, and now and then a checkpoint before it is durable. Returns its number and when it was made.
    fn make(&mut self, life: &mut Life, change: &Change) -> Result<Result<(u64, Timestamp), Error>, Failure> {
        let (number, commit) = match life.tail.submit_change(change) {
            Ok(submitted) => submitted,
            Err(error) => return Ok(Err(error)),
        };
        if self.choices.percent(20) {
            marks::hit_if(
                life.tail.watermark() < commit.timestamp(),
                "checkpoint: beside a change that is not published",
            );
            self.checkpoint(life)?;
        }
        Ok(commit.wait().map(|at| (number, at)))
    }

    /// The change is there whose end was not known, so its number is.
    pub(super) fn find_number(&self, tail: &Tail, change: &Change) -> Result<u64, Failure> {
        let catalog = tail.catalog(tail.watermark());
        let catalog = catalog.map_err(|error| Failure::new(Check::Visible, format!("{error:?}")))?;
        let number = made(&catalog, change);
        number.ok_or_else(|| Failure::new(Check::Kept, format!("{change:?} is in the log, and not in the catalog")))
    }
}

/// The number of what a change has made; 0 where it makes nothing.
fn made(catalog: &TailCatalog, change: &Change) -> Option<u64> {
    match change {
        Change::CreateDatabase { name } => Some(catalog.find_database(name)?.0),
        Change::CreateTable { database, table } => Some(catalog.find_table(*database, &table.name)?.id().0),
        _ => Some(0),
    }
}

fn mark(change: &Change) -> &'static str {
    match change {
        Change::CreateDatabase { .. } => "change: a database is made",
        Change::RenameDatabase { .. } => "change: a database is renamed",
        Change::DropDatabase { .. } => "change: a database is dropped",
        Change::CreateTable { table, .. } if table.key.is_empty() => "change: a table without a key is made",
        Change::CreateTable { .. } => "change: a table with a key is made",
        Change::RenameTable { .. } => "change: a table is renamed",
        Change::DropTable { .. } => "change: a table is dropped",
        Change::AddColumn { .. } => "change: a column is added",
        Change::DropColumn { .. } => "change: a column is dropped",
        Change::RenameColumn { .. } => "change: a column is renamed",
        Change::WidenColumn { .. } => "change: a column is widened",
        _ => "change: one that is not known here",
    }
}

/// A change of the catalog, possible or not.
fn choose(catalog: &Catalog, choices: &mut Choices) -> Change {
    let Some(database) = pick(catalog.databases.keys().copied(), choices) else {
        return Change::CreateDatabase { name: name("d", choices) };
    };
    let database = DatabaseId(database);
    let create = |choices: &mut Choices| Change::CreateTable { database, table: new_table(choices) };
    let Some((id, table)) = pick(catalog.tables.iter(), choices) else { return create(choices) };
    let table_id = TableId(*id);
    let column = pick(table.columns.iter(), choices);
    match choices.weighted(&[1, 1, 1, 8, 2, 3, 4, 4, 3, 4]) {
        0 => Change::CreateDatabase { name: name("d", choices) },
        1 => Change::RenameDatabase { database, name: name("d", choices) },
        2 => Change::DropDatabase { database },
        4 => Change::RenameTable { table: table_id, name: name("t", choices) },
        5 => Change::DropTable { table: table_id },
        6 => Change::AddColumn { table: table_id, column: new_column(choices, 90) },
        kind => match column {
            Some(column) if kind == 7 && keeps_serial(table, column.id) => {
                Change::DropColumn { table: table_id, column: ColumnId(column.id) }
            }
            Some(column) if kind == 8 => {
                Change::RenameColumn { table: table_id, column: ColumnId(column.id), name: name("c", choices) }
            }
            Some(column) if kind == 9 => {
                let wider = Kind::ALL.into_iter().find(|kind| column.kind.widens(*kind));
                let kind = wider.filter(|_| choices.percent(70)).unwrap_or_else(|| choices.pick(&Kind::ALL));
                let data_type = kind.data_type();
                Change::WidenColumn { table: table_id, column: ColumnId(column.id), data_type }
            }
            _ => create(choices),
        },
    }
}

/// Whether rows can still be told apart without a column.
fn keeps_serial(table: &Table, column: i32) -> bool {
    table.is_keyed() || column != crate::effects::SERIAL
}

fn new_table(choices: &mut Choices) -> NewTable {
    let mut columns = vec![NewColumn::required("id", choices.pick(&[Kind::Int64, Kind::Int32]).data_type())];
    let mut key = Vec::new();
    match choices.below(4) {
        // The first column is a serial number then.
        0 | 1 => columns = vec![NewColumn::required("id", Kind::Int64.data_type())],
        2 => key.push("id".to_owned()),
        _ => {
            columns.push(NewColumn::required("key", Kind::Text.data_type()));
            key.extend(["key".to_owned(), "id".to_owned()]);
        }
    }
    for _ in 0..choices.below(3) {
        columns.push(new_column(choices, 50));
    }
    NewTable { name: name("t", choices), columns, key }
}

fn new_column(choices: &mut Choices, nullable_percent: u64) -> NewColumn {
    let (name, data_type) = (name("c", choices), choices.pick(&Kind::ALL).data_type());
    let nullable = choices.percent(nullable_percent);
    if nullable { NewColumn::nullable(name, data_type) } else { NewColumn::required(name, data_type) }
}

/// One of a few names, so that some are taken.
fn name(prefix: &str, choices: &mut Choices) -> String {
    if choices.percent(3) { String::new() } else { format!("{prefix}{}", choices.below(6)) }
}

fn pick<T>(among: impl ExactSizeIterator<Item = T>, choices: &mut Choices) -> Option<T> {
    let len = among.len();
    { among }.nth(choices.size(len))
}
