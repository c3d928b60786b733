//! `Change`: what can be done to the catalog.

use arrow_schema::DataType;

use crate::ids::{ColumnId, DatabaseId, TableId};

/// A column to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewColumn {
    /// Its name: 1 to 255 bytes, unique in the table.
    pub name: String,
    /// Its type.
    pub data_type: DataType,
    /// Whether rows may lack a value. A column that is added to a table with rows must be.
    pub nullable: bool,
}

impl NewColumn {
    /// A column that may hold nulls.
    pub fn nullable(name: impl Into<String>, data_type: DataType) -> Self {
        Self { name: name.into(), data_type, nullable: true }
    }

    /// A column without nulls.
    pub fn required(name: impl Into<String>, data_type: DataType) -> Self {
        Self { name: name.into(), data_type, nullable: false }
    }
}

/// A table to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTable {
    /// Its name: 1 to 255 bytes, unique in the database.
    pub name: String,
    /// Its columns: at least one.
    pub columns: Vec<NewColumn>,
    /// The names of the primary key's columns, in the order in which rows are sorted; none for a table without a key.
    pub key: Vec<String>,
}

/// A change of the catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// Makes a database.
    CreateDatabase {
        /// Its name: 1 to 255 bytes.
        name: String,
    },
    /// Gives a database another name.
    RenameDatabase {
        /// Which.
        database: DatabaseId,
        /// The new name.
        name: String,
    },
    /// Drops a database, which must be empty.
    DropDatabase {
        /// Which.
        database: DatabaseId,
    },
    /// Makes a table.
    CreateTable {
        /// Where.
        database: DatabaseId,
        /// The table.
        table: NewTable,
    },
    /// Gives a table another name.
    RenameTable {
        /// Which.
        table: TableId,
        /// The new name.
        name: String,
    },
    /// Drops a table with its rows.
    DropTable {
        /// Which.
        table: TableId,
    },
    /// Adds a column behind the others; the rows from before have nulls in it.
    AddColumn {
        /// To which table.
        table: TableId,
        /// The column, which is nullable.
        column: NewColumn,
    },
    /// Drops a column that is not part of the key.
    DropColumn {
        /// Of which table.
        table: TableId,
        /// Which.
        column: ColumnId,
    },
    /// Gives a column another name.
    RenameColumn {
        /// Of which table.
        table: TableId,
        /// Which.
        column: ColumnId,
        /// The new name.
        name: String,
    },
    /// Gives a column outside of the key a wider type, in which each value of the old one is exact.
    WidenColumn {
        /// Of which table.
        table: TableId,
        /// Which.
        column: ColumnId,
        /// The new type.
        data_type: DataType,
    },
}
