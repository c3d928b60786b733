//! The catalog's own tables.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BooleanArray, Int32Array, Int64Array, ListArray, StringArray, builder::Int32Builder,
    builder::ListBuilder, cast::AsArray,
};
use arrow_schema::{DataType, Field};

use super::{
    Catalog, Draft,
    error::CatalogError,
    rows::{ColumnRow, DatabaseRow, Edit, TableRow},
    schema::Column,
};
use crate::ids::{ColumnId, DatabaseId, TableId};

/// The database of the catalog's tables.
const SYSTEM: DatabaseId = DatabaseId(1);
/// The table of databases.
pub const DATABASES: TableId = TableId(2);
/// The table of tables.
pub const TABLES: TableId = TableId(3);
/// The table of columns.
pub const COLUMNS: TableId = TableId(4);
/// The lowest number that a user's database or table may have.
pub const FIRST_FREE_NUMBER: u64 = 16;

/// Whether a table is one of the catalog's.
pub fn is_system(table: TableId) -> bool {
    table.0 < FIRST_FREE_NUMBER
}

/// Puts the catalog's tables into an empty catalog. They are in no rows: they are the same in each log.
pub(super) fn install(catalog: &mut Catalog) {
    catalog.databases.insert(SYSTEM, "system".into());
    catalog.database_ids.insert("system".into(), SYSTEM);
    let int = DataType::Int64;
    let columns = [("id", int.clone()), ("name", DataType::Utf8)];
    install_table(catalog, DATABASES, "databases", &columns, 1);
    let columns = [
        ("id", int.clone()),
        ("database", int.clone()),
        ("name", DataType::Utf8),
        ("version", DataType::Int32),
        ("key", DataType::List(Arc::new(Field::new_list_field(DataType::Int32, true)))),
        ("next_column", DataType::Int32),
    ];
    install_table(catalog, TABLES, "tables", &columns, 1);
    let columns = [
        ("table", int),
        ("id", DataType::Int32),
        ("name", DataType::Utf8),
        ("type", DataType::Utf8),
        ("nullable", DataType::Boolean),
    ];
    install_table(catalog, COLUMNS, "columns", &columns, 2);
}

/// A system table whose key is its first `key` columns.
fn install_table(catalog: &mut Catalog, id: TableId, name: &str, columns: &[(&str, DataType)], key: usize) {
    let columns: Vec<_> = (1..)
        .map(ColumnId)
        .zip(columns)
        .map(|(id, (name, data_type))| Column {
            id,
            name: (*name).to_owned(),
            data_type: data_type.clone(),
            nullable: false,
        })
        .collect();
    let row = TableRow {
        id,
        database: SYSTEM,
        name: name.to_owned(),
        version: 1,
        key: columns.iter().take(key).map(|column| column.id).collect(),
        next_column: columns.last().map_or(1, |column| column.id.0 + 1),
    };
    let made = catalog
        .finish(id, Draft { row: Some(row), columns: columns.into_iter().map(|column| (column.id, column)).collect() });
    debug_assert_eq!(made, Ok(()));
}

impl Edit {
    /// The columns of the rows to write in `table`, one of the catalog's.
    pub fn written(&self, table: TableId) -> Vec<ArrayRef> {
        match table {
            DATABASES => vec![
                longs(self.databases.iter().map(|row| row.id.0)),
                strings(self.databases.iter().map(|row| row.name.as_str())),
            ],
            TABLES => vec![
                longs(self.tables.iter().map(|row| row.id.0)),
                longs(self.tables.iter().map(|row| row.database.0)),
                strings(self.tables.iter().map(|row| row.name.as_str())),
                ints(self.tables.iter().map(|row| row.version)),
                Arc::new(lists(self.tables.iter().map(|row| row.key.as_slice()))),
                ints(self.tables.iter().map(|row| row.next_column)),
            ],
            _ => vec![
                longs(self.columns.iter().map(|row| row.table.0)),
                ints(self.columns.iter().map(|row| row.id.0)),
                strings(self.columns.iter().map(|row| row.name.as_str())),
                strings(self.columns.iter().map(|row| row.data_type.as_str())),
                Arc::new(self.columns.iter().map(|row| Some(row.nullable)).collect::<BooleanArray>()),
            ],
        }
    }

    /// The key columns of the rows to delete in `table`, one of the catalog's.
    pub fn deleted(&self, table: TableId) -> Vec<ArrayRef> {
        match table {
            DATABASES => vec![longs(self.dropped_databases.iter().map(|id| id.0))],
            TABLES => vec![longs(self.dropped_tables.iter().map(|id| id.0))],
            _ => vec![
                longs(self.dropped_columns.iter().map(|(table, _)| table.0)),
                ints(self.dropped_columns.iter().map(|(_, column)| column.0)),
            ],
        }
    }

    /// Adds rows that were written in `table`, one of the catalog's, as its columns.
    ///
    /// # Errors
    /// [`CatalogError::Damaged`] where they are not of the table's schema.
    pub fn add_written(&mut self, table: TableId, columns: &[ArrayRef]) -> Result<(), CatalogError> {
        self.read_written(table, columns).ok_or_else(|| unreadable(table))
    }

    /// Adds the key columns of rows that were deleted in `table`, one of the catalog's.
    ///
    /// # Errors
    /// [`CatalogError::Damaged`] where they are not of the table's schema.
    pub fn add_deleted(&mut self, table: TableId, keys: &[ArrayRef]) -> Result<(), CatalogError> {
        self.read_deleted(table, keys).ok_or_else(|| unreadable(table))
    }

    /// The numbers of the databases and tables that are written.
    pub fn numbers(&self) -> impl Iterator<Item = u64> {
        self.databases.iter().map(|row| row.id.0).chain(self.tables.iter().map(|row| row.id.0))
    }

    fn read_written(&mut self, table: TableId, columns: &[ArrayRef]) -> Option<()> {
        for row in 0..columns.first()?.len() {
            match table {
                DATABASES => self.databases.push(DatabaseRow {
                    id: DatabaseId(long(columns.first()?, row)?),
                    name: string(columns.get(1)?, row)?,
                }),
                TABLES => self.tables.push(TableRow {
                    id: TableId(long(columns.first()?, row)?),
                    database: DatabaseId(long(columns.get(1)?, row)?),
                    name: string(columns.get(2)?, row)?,
                    version: int(columns.get(3)?, row)?,
                    key: list(columns.get(4)?, row)?,
                    next_column: int(columns.get(5)?, row)?,
                }),
                COLUMNS => self.columns.push(ColumnRow {
                    table: TableId(long(columns.first()?, row)?),
                    id: ColumnId(int(columns.get(1)?, row)?),
                    name: string(columns.get(2)?, row)?,
                    data_type: string(columns.get(3)?, row)?,
                    nullable: columns.get(4)?.as_boolean_opt()?.value(row),
                }),
                _ => return None,
            }
        }
        Some(())
    }

    fn read_deleted(&mut self, table: TableId, keys: &[ArrayRef]) -> Option<()> {
        let first = keys.first()?;
        for row in 0..first.len() {
            let id = long(first, row)?;
            match table {
                DATABASES => self.dropped_databases.push(DatabaseId(id)),
                TABLES => self.dropped_tables.push(TableId(id)),
                COLUMNS => self.dropped_columns.push((TableId(id), ColumnId(int(keys.get(1)?, row)?))),
                _ => return None,
            }
        }
        Some(())
    }
}

fn unreadable(table: TableId) -> CatalogError {
    CatalogError::Damaged(format!("rows of system table {table} are not of its schema"))
}

fn longs(values: impl Iterator<Item = u64>) -> ArrayRef {
    Arc::new(values.map(u64::cast_signed).collect::<Int64Array>())
}

fn ints(values: impl Iterator<Item = i32>) -> ArrayRef {
    Arc::new(values.collect::<Int32Array>())
}

fn strings<'a>(values: impl Iterator<Item = &'a str>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

fn lists<'a>(values: impl Iterator<Item = &'a [ColumnId]>) -> ListArray {
    let mut lists = ListBuilder::new(Int32Builder::new());
    for value in values {
        lists.append_value(value.iter().map(|id| Some(id.0)));
    }
    lists.finish()
}

fn long(column: &ArrayRef, row: usize) -> Option<u64> {
    let column = column.as_primitive_opt::<arrow_array::types::Int64Type>()?;
    (row < column.len()).then(|| column.value(row).cast_unsigned())
}

fn int(column: &ArrayRef, row: usize) -> Option<i32> {
    let column = column.as_primitive_opt::<arrow_array::types::Int32Type>()?;
    (row < column.len()).then(|| column.value(row))
}

fn string(column: &ArrayRef, row: usize) -> Option<String> {
    let column = column.as_string_opt::<i32>()?;
    (row < column.len()).then(|| column.value(row).to_owned())
}

fn list(column: &ArrayRef, row: usize) -> Option<Vec<ColumnId>> {
    let ids = column.as_list_opt::<i32>()?.value(row);
    let ids = ids.as_primitive_opt::<arrow_array::types::Int32Type>()?;
    Some(ids.values().iter().copied().map(ColumnId).collect())
}
