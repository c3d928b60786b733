//! The columns of an object: the user's, and the commit timestamp.

use std::{collections::HashSet, sync::Arc};

use arrow_schema::{DataType, Field, Schema, SchemaRef};
use logboom_logtail_core::{ColumnId, catalog::FIELD_ID, key::KeyEncoder};

use crate::error::WriteError;

/// The column behind the user's: the commit timestamp of each row. Objects of a load have none.
pub const COMMIT_COLUMN: &str = "_commit_ts";

/// The columns of an object that is written, and its key.
#[derive(Debug)]
pub(crate) struct ObjectSchema {
    /// The user's columns and the commit timestamp, if rows have their own.
    pub(crate) arrow: SchemaRef,
    pub(crate) has_commits: bool,
    /// The positions of the key's columns.
    pub(crate) key: Vec<usize>,
    /// Encodes keys; `None` for a table without one.
    pub(crate) encoder: Option<KeyEncoder>,
}

impl ObjectSchema {
    /// The schema with the user's columns `user`, which carry their ids, and a key of the columns with these ids.
    pub(crate) fn new(user: &Schema, key: &[ColumnId], has_commits: bool) -> Result<Self, WriteError> {
        let (mut ids, mut names) = (Vec::new(), HashSet::from([COMMIT_COLUMN]));
        for field in user.fields() {
            let column = field.name();
            let id = column_id(field).ok_or_else(|| WriteError::NoId { column: column.clone() })?;
            if ids.contains(&id) || !names.insert(column.as_str()) {
                return Err(WriteError::Duplicate { column: column.clone(), id });
            }
            ids.push(id);
        }
        let position = |id: &ColumnId| ids.iter().position(|own| own == id).ok_or(WriteError::KeyColumn { id: *id });
        let key: Vec<usize> = key.iter().map(position).collect::<Result<_, _>>()?;
        let encoder = match key.is_empty() {
            true => None,
            false => Some(KeyEncoder::new(key.iter().map(|at| user.field(*at)))?),
        };
        let commit = has_commits.then(|| Arc::new(Field::new(COMMIT_COLUMN, DataType::Int64, false)));
        let fields = user.fields().iter().cloned().chain(commit);
        // The schema's own metadata stay out: they would be stored with each object.
        Ok(Self { arrow: Arc::new(Schema::new(fields.collect::<Vec<_>>())), has_commits, key, encoder })
    }
}

/// The id of a column, if its field carries one.
pub(crate) fn column_id(field: &Field) -> Option<ColumnId> {
    field.metadata().get(FIELD_ID)?.parse().ok().map(ColumnId)
}
