//! `Catalog`: the databases, tables and columns that a tail must have.

use std::collections::BTreeMap;

use logboom_logtail::{Catalog as TailCatalog, Change, NewColumn, NewTable, TableSchema};
use logboom_logtail_core::catalog::FIRST_FREE_NUMBER;

use crate::value::Kind;

/// Databases and tables by their numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Catalog {
    pub(crate) databases: BTreeMap<u64, String>,
    pub(crate) tables: BTreeMap<u64, Table>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) database: u64,
    pub(crate) name: String,
    /// Counts the changes of the columns, from 1.
    pub(crate) version: i32,
    /// In the order of their numbers.
    pub(crate) columns: Vec<Column>,
    /// The numbers of the key's columns, in its order.
    pub(crate) key: Vec<i32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) id: i32,
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) nullable: bool,
}

impl Catalog {
    /// The user's part of a tail's catalog; `None` where columns have types that simulated tables do not have.
    pub(crate) fn of(catalog: &TailCatalog) -> Option<Self> {
        let databases = catalog.databases().filter(|(id, _)| id.0 >= FIRST_FREE_NUMBER);
        let tables = catalog.tables().filter(|table| table.id().0 >= FIRST_FREE_NUMBER);
        Some(Self {
            databases: databases.map(|(id, name)| (id.0, name.to_owned())).collect(),
            tables: tables.map(|table| Some((table.id().0, Table::of(table)?))).collect::<Option<_>>()?,
        })
    }

    /// The catalog after a change, by which a database or table gets the number `new`, and a column the one after
    /// `last_column`; `None` where the change must be refused.
    pub(crate) fn changed(&self, change: &Change, new: u64, last_column: i32) -> Option<Self> {
        let mut next = self.clone();
        match change {
            Change::CreateDatabase { name } => {
                self.check_database_name(name)?;
                next.databases.insert(new, name.clone());
            }
            Change::RenameDatabase { database, name } => {
                self.check_database_name(name)?;
                next.databases.get_mut(&database.0)?.clone_from(name);
            }
            Change::DropDatabase { database } => {
                next.databases.remove(&database.0)?;
                self.tables.values().all(|table| table.database != database.0).then_some(())?;
            }
            Change::CreateTable { database, table } => {
                self.check_table_name(database.0, &table.name)?;
                next.tables.insert(new, Table::made(database.0, table)?);
            }
            Change::RenameTable { table, name } => {
                let table = next.tables.get_mut(&table.0)?;
                self.check_table_name(table.database, name)?;
                table.name.clone_from(name);
            }
            Change::DropTable { table } => drop(next.tables.remove(&table.0)?),
            Change::AddColumn { table, column } => {
                let table = next.tables.get_mut(&table.0)?;
                table.check_column_name(&column.name)?;
                column.nullable.then_some(())?;
                let (name, kind) = (column.name.clone(), Kind::of(&column.data_type)?);
                table.columns.push(Column { id: last_column + 1, name, kind, nullable: true });
                table.version += 1;
            }
            Change::DropColumn { table, column } => {
                let table = next.tables.get_mut(&table.0)?;
                (!table.key.contains(&column.0) && table.columns.len() > 1).then_some(())?;
                table.columns.remove(table.columns.iter().position(|other| other.id == column.0)?);
                table.version += 1;
            }
            Change::RenameColumn { table, column, name } => {
                let table = next.tables.get_mut(&table.0)?;
                table.check_column_name(name)?;
                table.column_mut(column.0)?.name.clone_from(name);
                table.version += 1;
            }
            Change::WidenColumn { table, column, data_type } => {
                let table = next.tables.get_mut(&table.0)?;
                (!table.key.contains(&column.0)).then_some(())?;
                let (column, kind) = (table.column_mut(column.0)?, Kind::of(data_type)?);
                column.kind.widens(kind).then_some(())?;
                column.kind = kind;
                table.version += 1;
            }
            _ => return None,
        }
        Some(next)
    }

    fn check_database_name(&self, name: &str) -> Option<()> {
        (!name.is_empty() && self.databases.values().all(|other| other != name)).then_some(())
    }

    fn check_table_name(&self, database: u64, name: &str) -> Option<()> {
        self.databases.get(&database)?;
        let is_taken = self.tables.values().any(|other| other.database == database && other.name == name);
        (!name.is_empty() && !is_taken).then_some(())
    }
}

impl Table {
    fn of(schema: &TableSchema) -> Option<Self> {
        let column = |column: &logboom_logtail::Column| {
            let kind = Kind::of(&column.data_type)?;
            Some(Column { id: column.id.0, name: column.name.clone(), kind, nullable: column.nullable })
        };
        Some(Self {
            database: schema.database().0,
            name: schema.name().to_owned(),
            version: schema.version(),
            columns: schema.columns().iter().map(column).collect::<Option<_>>()?,
            key: schema.key().iter().map(|column| column.0).collect(),
        })
    }

    fn made(database: u64, new: &NewTable) -> Option<Self> {
        let mut table = Self { database, name: new.name.clone(), version: 1, columns: Vec::new(), key: Vec::new() };
        for (id, NewColumn { name, data_type, nullable }) in (1..).zip(&new.columns) {
            table.check_column_name(name)?;
            let (name, kind) = (name.clone(), Kind::of(data_type)?);
            table.columns.push(Column { id, name, kind, nullable: *nullable });
        }
        let id = |name: &String| table.columns.iter().find(|column| column.name == *name).map(|column| column.id);
        table.key = new.key.iter().map(id).collect::<Option<_>>()?;
        Some(table)
    }

    pub(crate) fn is_keyed(&self) -> bool {
        !self.key.is_empty()
    }

    pub(crate) fn key_columns(&self) -> impl Iterator<Item = &Column> {
        self.key.iter().filter_map(|id| self.columns.iter().find(|column| column.id == *id))
    }

    fn column_mut(&mut self, id: i32) -> Option<&mut Column> {
        self.columns.iter_mut().find(|column| column.id == id)
    }

    fn check_column_name(&self, name: &str) -> Option<()> {
        let is_taken = self.columns.iter().any(|other| other.name == name);
        (!name.is_empty() && !name.starts_with('_') && !is_taken).then_some(())
    }
}
