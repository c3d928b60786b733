//! `TableSchema`: the columns of a table, and its primary key.

use std::{collections::HashMap, sync::Arc};

use arrow_array::ArrayRef;
use arrow_schema::{DataType, Field, Schema, SchemaRef};

use crate::{
    ids::{ColumnId, DatabaseId, TableId},
    key::{KeyEncoder, KeyError, Keys},
};

/// The key of a field's metadata that holds its column id: what Parquet's readers and writers in Arrow use.
pub const FIELD_ID: &str = "PARQUET:field_id";

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Stays when the column is renamed or widened.
    pub id: ColumnId,
    /// Unique in its table.
    pub name: String,
    /// Its type in Arrow.
    pub data_type: DataType,
    /// Whether rows may lack a value.
    pub nullable: bool,
}

/// The columns of a table at a time, and its primary key.
#[derive(Debug)]
pub struct TableSchema {
    pub(super) id: TableId,
    pub(super) database: DatabaseId,
    pub(super) name: String,
    pub(super) version: i32,
    pub(super) columns: Vec<Column>,
    pub(super) key: Vec<ColumnId>,
    pub(super) next_column: i32,
    pub(super) arrow: SchemaRef,
    pub(super) key_columns: Option<KeyColumns>,
}

/// The columns of a primary key.
#[derive(Clone, Debug)]
pub struct KeyColumns {
    encoder: KeyEncoder,
    positions: Vec<usize>,
}

impl KeyColumns {
    /// The key's columns among `columns`, which are the table's.
    pub fn of<'a>(&'a self, columns: &'a [ArrayRef]) -> impl Iterator<Item = &'a ArrayRef> {
        self.positions.iter().filter_map(|at| columns.get(*at))
    }

    /// Their positions among the table's columns.
    pub fn positions(&self) -> &[usize] {
        &self.positions
    }

    /// Encodes the keys.
    pub fn encoder(&self) -> &KeyEncoder {
        &self.encoder
    }

    /// No keys yet.
    pub fn no_keys(&self) -> Keys {
        self.encoder.no_keys()
    }
}

impl TableSchema {
    /// The table's id.
    pub fn id(&self) -> TableId {
        self.id
    }

    /// The database that the table is in.
    pub fn database(&self) -> DatabaseId {
        self.database
    }

    /// The table's name, unique in its database.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Counts the changes of the columns; 1 for a new table. Rows are logged with it.
    pub fn version(&self) -> i32 {
        self.version
    }

    /// The columns in their order.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The columns of the primary key, in its order; none for a table without one.
    pub fn key(&self) -> &[ColumnId] {
        &self.key
    }

    /// The primary key's columns; `None` for a table without one.
    pub fn key_columns(&self) -> Option<&KeyColumns> {
        self.key_columns.as_ref()
    }

    /// The position of a column.
    pub fn position(&self, id: ColumnId) -> Option<usize> {
        self.columns.iter().position(|column| column.id == id)
    }

    /// The Arrow schema of the columns. Fields carry the column ids as [`FIELD_ID`].
    pub fn arrow(&self) -> &SchemaRef {
        &self.arrow
    }
}

/// The Arrow schema of `columns`.
pub(super) fn arrow_schema(columns: &[Column]) -> SchemaRef {
    let field = |column: &Column| {
        let metadata = HashMap::from([(FIELD_ID.to_owned(), column.id.to_string())]);
        Field::new(&column.name, column.data_type.clone(), column.nullable).with_metadata(metadata)
    };
    Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()))
}

/// The columns of a key.
pub(super) fn key_columns(
    key: &[ColumnId],
    columns: &[Column],
    arrow: &Schema,
) -> Result<Option<KeyColumns>, KeyError> {
    let at = |id: &ColumnId| columns.iter().position(|column| column.id == *id);
    let positions: Vec<_> = key.iter().filter_map(at).collect();
    if positions.is_empty() {
        return Ok(None);
    }
    let encoder = KeyEncoder::new(positions.iter().map(|at| arrow.field(*at)))?;
    Ok(Some(KeyColumns { encoder, positions }))
}
