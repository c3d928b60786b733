//! `ColumnRef`: a column as its user names it.

use std::fmt;

use super::schema::{Column, TableSchema};
use crate::ids::ColumnId;

/// A column of a table, by its id or by its name at the time that is read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ColumnRef {
    /// By its id, which stays when it is renamed.
    Id(ColumnId),
    /// By its name.
    Name(String),
}

impl TableSchema {
    /// The column that is meant, if there is one.
    pub fn find(&self, column: &ColumnRef) -> Option<&Column> {
        self.columns.iter().find(|own| match column {
            ColumnRef::Id(id) => own.id == *id,
            ColumnRef::Name(name) => own.name == *name,
        })
    }
}

impl From<ColumnId> for ColumnRef {
    fn from(id: ColumnId) -> Self {
        Self::Id(id)
    }
}

impl From<&str> for ColumnRef {
    fn from(name: &str) -> Self {
        Self::Name(name.to_owned())
    }
}

impl From<String> for ColumnRef {
    fn from(name: String) -> Self {
        Self::Name(name)
    }
}

/// The id, or the name in quotes.
impl fmt::Display for ColumnRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Name(name) => write!(f, "{name:?}"),
        }
    }
}
