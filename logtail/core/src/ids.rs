//! Numbers of tables, columns, and rows.

use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($int:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $int);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id! {
    /// A database. Never used for another one, nor is its number a table's.
    DatabaseId(u64)
}

id! {
    /// A table. Never used for another one, also after it was dropped; renaming keeps it.
    TableId(u64)
}

id! {
    /// A column of a table. Never used for another column of that table: one that is dropped and added again is new, so
    /// the rows from before do not show in it.
    ColumnId(i32)
}

id! {
    /// Rows of one table with positions: a memtable, or an object. (Kudu's MemRowSet and DiskRowSet.)
    RowsetId(u64)
}

/// The place of a row. A flush moves rows from memtables to objects, so it changes then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowId {
    /// Where the row is.
    pub rowset: RowsetId,
    /// Its position there, from 0.
    pub row: u32,
}

/// Rowset and position: `17/4`.
impl fmt::Display for RowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.rowset, self.row)
    }
}
