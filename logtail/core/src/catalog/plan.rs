//! Checks a change of the catalog, and says which rows of its tables it writes.

use std::collections::BTreeSet;

use arrow_schema::{DataType, Field, Schema};

use super::{
    Catalog,
    change::{Change, NewColumn, NewTable},
    error::CatalogError,
    rows::{ColumnRow, DatabaseRow, Edit, TableRow},
    schema::{Column, TableSchema},
};
use crate::{
    ids::{ColumnId, DatabaseId, TableId},
    key::KeyEncoder,
    rows,
    widening::widens,
};

/// The longest name, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// What `change` writes, where a database or table that it makes gets the number `new`.
pub(super) fn plan(catalog: &Catalog, change: &Change, new: u64) -> Result<Edit, CatalogError> {
    let mut edit = Edit::default();
    match change {
        Change::CreateDatabase { name } => {
            check_database_name(catalog, name)?;
            edit.databases.push(DatabaseRow { id: DatabaseId(new), name: name.clone() });
        }
        Change::RenameDatabase { database, name } => {
            catalog.database_name(*database).ok_or(CatalogError::NoDatabase(*database))?;
            check_database_name(catalog, name)?;
            edit.databases.push(DatabaseRow { id: *database, name: name.clone() });
        }
        Change::DropDatabase { database } => {
            catalog.database_name(*database).ok_or(CatalogError::NoDatabase(*database))?;
            if catalog.tables_of(*database).next().is_some() {
                return Err(CatalogError::NotEmpty(*database));
            }
            edit.dropped_databases.push(*database);
        }
        Change::CreateTable { database, table } => create_table(catalog, *database, table, TableId(new), &mut edit)?,
        Change::RenameTable { table, name } => {
            let schema = user_table(catalog, *table)?;
            check_table_name(catalog, schema.database, name)?;
            edit.tables.push(TableRow { name: name.clone(), ..table_row(schema) });
        }
        Change::DropTable { table } => {
            let schema = user_table(catalog, *table)?;
            edit.dropped_tables.push(*table);
            edit.dropped_columns.extend(schema.columns.iter().map(|column| (*table, column.id)));
        }
        Change::AddColumn { table, column } => add_column(user_table(catalog, *table)?, column, &mut edit)?,
        Change::DropColumn { table, column } => {
            let schema = user_table(catalog, *table)?;
            outside_of_key(schema, *column)?;
            if schema.columns.len() == 1 {
                return Err(CatalogError::NoColumns);
            }
            edit.tables.push(changed(schema)?);
            edit.dropped_columns.push((*table, *column));
        }
        Change::RenameColumn { table, column, name } => {
            let schema = user_table(catalog, *table)?;
            let old = find(schema, *column)?;
            check_column_name(schema.columns.iter().map(|column| column.name.as_str()), name)?;
            edit.tables.push(changed(schema)?);
            edit.columns.push(ColumnRow { name: name.clone(), ..column_row(*table, old) });
        }
        Change::WidenColumn { table, column, data_type } => {
            let schema = user_table(catalog, *table)?;
            let old = outside_of_key(schema, *column)?;
            if !widens(&old.data_type, data_type) {
                return Err(CatalogError::NotWider {
                    column: old.name.clone(),
                    from: old.data_type.to_string(),
                    to: data_type.to_string(),
                });
            }
            edit.tables.push(changed(schema)?);
            edit.columns.push(ColumnRow { data_type: data_type.to_string(), ..column_row(*table, old) });
        }
    }
    Ok(edit)
}

fn create_table(
    catalog: &Catalog,
    database: DatabaseId,
    table: &NewTable,
    id: TableId,
    edit: &mut Edit,
) -> Result<(), CatalogError> {
    catalog.database_name(database).ok_or(CatalogError::NoDatabase(database))?;
    check_table_name(catalog, database, &table.name)?;
    if table.columns.is_empty() {
        return Err(CatalogError::NoColumns);
    }
    for (at, column) in table.columns.iter().enumerate() {
        check_column_name(table.columns[..at].iter().map(|column| column.name.as_str()), &column.name)?;
        check_type(column)?;
        let id_ = ColumnId(i32::try_from(at + 1).map_err(|_| CatalogError::Exhausted("columns"))?);
        edit.columns.push(ColumnRow {
            table: id,
            id: id_,
            name: column.name.clone(),
            data_type: column.data_type.to_string(),
            nullable: column.nullable,
        });
    }
    let next_column = i32::try_from(table.columns.len() + 1).map_err(|_| CatalogError::Exhausted("columns"))?;
    let key = key_of(table)?;
    edit.tables.push(TableRow { id, database, name: table.name.clone(), version: 1, key, next_column });
    Ok(())
}

/// The columns of the key, each of which may be one.
fn key_of(table: &NewTable) -> Result<Vec<ColumnId>, CatalogError> {
    let mut listed = BTreeSet::new();
    let mut key = Vec::with_capacity(table.key.len());
    for name in &table.key {
        let bad = || CatalogError::BadKey(name.clone());
        let at = table.columns.iter().position(|column| column.name == *name).ok_or_else(bad)?;
        if !listed.insert(at) {
            return Err(bad());
        }
        let column = &table.columns[at];
        if column.nullable {
            return Err(CatalogError::KeyColumn(name.clone()));
        }
        if KeyEncoder::new([&Field::new(name, column.data_type.clone(), false)]).is_err() {
            return Err(bad_type(column, "values of it cannot be keys"));
        }
        key.push(ColumnId(i32::try_from(at + 1).map_err(|_| CatalogError::Exhausted("columns"))?));
    }
    Ok(key)
}

fn add_column(schema: &TableSchema, column: &NewColumn, edit: &mut Edit) -> Result<(), CatalogError> {
    check_column_name(schema.columns.iter().map(|column| column.name.as_str()), &column.name)?;
    check_type(column)?;
    if !column.nullable {
        return Err(CatalogError::NotNullable(column.name.clone()));
    }
    let next_column = schema.next_column.checked_add(1).ok_or(CatalogError::Exhausted("columns"))?;
    edit.tables.push(TableRow { next_column, ..changed(schema)? });
    edit.columns.push(ColumnRow {
        table: schema.id,
        id: ColumnId(schema.next_column),
        name: column.name.clone(),
        data_type: column.data_type.to_string(),
        nullable: true,
    });
    Ok(())
}

fn user_table(catalog: &Catalog, id: TableId) -> Result<&TableSchema, CatalogError> {
    if super::system::is_system(id) {
        return Err(CatalogError::System(id));
    }
    catalog.table(id).map(AsRef::as_ref).ok_or(CatalogError::NoTable(id))
}

fn find(schema: &TableSchema, id: ColumnId) -> Result<&Column, CatalogError> {
    let column = schema.columns.iter().find(|column| column.id == id);
    column.ok_or(CatalogError::NoColumn { table: schema.id, column: id })
}

fn outside_of_key(schema: &TableSchema, id: ColumnId) -> Result<&Column, CatalogError> {
    let column = find(schema, id)?;
    if schema.key.contains(&id) { Err(CatalogError::KeyColumn(column.name.clone())) } else { Ok(column) }
}

pub(super) fn table_row(schema: &TableSchema) -> TableRow {
    TableRow {
        id: schema.id,
        database: schema.database,
        name: schema.name.clone(),
        version: schema.version,
        key: schema.key.clone(),
        next_column: schema.next_column,
    }
}

/// The row of a table whose columns change.
fn changed(schema: &TableSchema) -> Result<TableRow, CatalogError> {
    let version = schema.version.checked_add(1).ok_or(CatalogError::Exhausted("schema versions"))?;
    Ok(TableRow { version, ..table_row(schema) })
}

fn column_row(table: TableId, column: &Column) -> ColumnRow {
    ColumnRow {
        table,
        id: column.id,
        name: column.name.clone(),
        data_type: column.data_type.to_string(),
        nullable: column.nullable,
    }
}

fn check_database_name(catalog: &Catalog, name: &str) -> Result<(), CatalogError> {
    check_name(name)?;
    if catalog.find_database(name).is_some() { Err(CatalogError::NameTaken(name.to_owned())) } else { Ok(()) }
}

fn check_table_name(catalog: &Catalog, database: DatabaseId, name: &str) -> Result<(), CatalogError> {
    check_name(name)?;
    if catalog.find_table(database, name).is_some() { Err(CatalogError::NameTaken(name.to_owned())) } else { Ok(()) }
}

fn check_column_name<'a>(mut others: impl Iterator<Item = &'a str>, name: &str) -> Result<(), CatalogError> {
    check_name(name)?;
    if name.starts_with('_') {
        return Err(CatalogError::BadName(name.to_owned()));
    }
    if others.any(|other| other == name) { Err(CatalogError::NameTaken(name.to_owned())) } else { Ok(()) }
}

fn check_name(name: &str) -> Result<(), CatalogError> {
    let fits = !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.chars().any(char::is_control);
    if fits { Ok(()) } else { Err(CatalogError::BadName(name.to_owned())) }
}

fn check_type(column: &NewColumn) -> Result<(), CatalogError> {
    let field = Field::new(&column.name, column.data_type.clone(), column.nullable);
    if rows::check(&Schema::new(vec![field])).is_err() {
        return Err(bad_type(column, "it has no form in the log"));
    }
    // The catalog keeps types as text.
    if column.data_type.to_string().parse::<DataType>().ok().as_ref() != Some(&column.data_type) {
        return Err(bad_type(column, "its text does not give the type again"));
    }
    Ok(())
}

fn bad_type(column: &NewColumn, why: &'static str) -> CatalogError {
    CatalogError::BadType { column: column.name.clone(), data_type: column.data_type.to_string(), why }
}
