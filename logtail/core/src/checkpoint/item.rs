//! `Item`: a row of a checkpoint object.

use crate::{
    block_meta::{MetaError, ObjectMeta},
    ids::{RowId, RowsetId, TableId},
    timestamp::Timestamp,
    varint::{self, Reader},
};

/// A part of the state: a row of a checkpoint object, which has its kind, its table, and its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Item {
    /// An object of a table.
    Object(Box<ObjectMeta>),
    /// What of a user's table is in memory alone.
    Memtables {
        /// The table.
        table: TableId,
        /// The oldest memtable that is not flushed, if there is one: rows of older ones are in objects.
        oldest: Option<RowsetId>,
        /// Whether the rows of all memtables follow: the log is not needed for them.
        copied: bool,
    },
    /// Rows of a memtable: of a table of the catalog, which is in no other objects, or of one that cannot be flushed.
    Rows {
        /// The table.
        table: TableId,
        /// The version of its schema.
        schema: i32,
        /// The place of the first row. The others follow it.
        first: RowId,
        /// By transaction.
        runs: Vec<Run>,
    },
    /// Rows that are deleted: of objects, as far as memory has the deletes, and of memtables whose rows are items.
    Deletes(TableId, Vec<(RowId, Timestamp)>),
    /// What clients called their transactions.
    Clients(Vec<(u128, Timestamp)>),
}

/// Rows of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// When they were committed.
    pub committed: Timestamp,
    /// How many.
    pub count: u32,
    /// The rows ([`rows`](crate::rows)).
    pub rows: Vec<u8>,
}

/// Why a row of a checkpoint object is no item.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ItemError {
    /// Its kind is not known here.
    #[error("items of kind {0} are not known here")]
    Kind(i8),
    /// Its bytes are malformed.
    #[error("an item of kind {0} is malformed")]
    Malformed(i8),
    /// The metadata of an object are damaged.
    #[error("the metadata of an object")]
    Meta(#[from] MetaError),
}

const OBJECT: i8 = 1;
const MEMTABLES: i8 = 2;
const ROWS: i8 = 3;
const DELETES: i8 = 4;
const CLIENTS: i8 = 5;

impl Item {
    /// Its kind, table, and bytes: the columns of its row.
    ///
    /// # Errors
    /// [`MetaError`] where the metadata of an object contradict each other.
    pub fn encode(&self) -> Result<(i8, TableId, Vec<u8>), MetaError> {
        let mut out = Vec::new();
        Ok(match self {
            Self::Object(meta) => (OBJECT, meta.table, meta.encode()?),
            Self::Memtables { table, oldest, copied } => {
                varint::put(&mut out, oldest.map_or(0, |oldest| oldest.0));
                out.push(u8::from(*copied));
                (MEMTABLES, *table, out)
            }
            Self::Rows { table, schema, first, runs } => {
                varint::put(&mut out, u64::from(schema.cast_unsigned()));
                varint::put(&mut out, first.rowset.0);
                varint::put(&mut out, u64::from(first.row));
                for run in runs {
                    out.extend(run.committed.to_i64().to_le_bytes());
                    varint::put(&mut out, u64::from(run.count));
                    varint::put(&mut out, run.rows.len() as u64);
                    out.extend(&run.rows);
                }
                (ROWS, *table, out)
            }
            Self::Deletes(table, deletes) => {
                for (row, deleted) in deletes {
                    varint::put(&mut out, row.rowset.0);
                    varint::put(&mut out, u64::from(row.row));
                    out.extend(deleted.to_i64().to_le_bytes());
                }
                (DELETES, *table, out)
            }
            Self::Clients(clients) => {
                for (id, at) in clients {
                    out.extend(id.to_le_bytes());
                    out.extend(at.to_i64().to_le_bytes());
                }
                (CLIENTS, TableId(0), out)
            }
        })
    }

    /// The item of a row.
    ///
    /// # Errors
    /// [`ItemError`] for rows that no item has.
    pub fn decode(kind: i8, table: TableId, bytes: &[u8]) -> Result<Self, ItemError> {
        let mut reader = Reader(bytes);
        let item = match kind {
            OBJECT => return Ok(Self::Object(Box::new(ObjectMeta::decode(bytes)?))),
            MEMTABLES => memtables(table, &mut reader),
            ROWS => rows(table, &mut reader),
            DELETES => deletes(table, &mut reader),
            CLIENTS => clients(&mut reader),
            _ => return Err(ItemError::Kind(kind)),
        };
        item.filter(|_| reader.is_empty()).ok_or(ItemError::Malformed(kind))
    }
}

fn memtables(table: TableId, reader: &mut Reader<'_>) -> Option<Item> {
    let oldest = reader.varint()?;
    let copied = match reader.byte()? {
        0 => false,
        1 => true,
        _ => return None,
    };
    Some(Item::Memtables { table, oldest: (oldest > 0).then_some(RowsetId(oldest)), copied })
}

fn rows(table: TableId, reader: &mut Reader<'_>) -> Option<Item> {
    let schema = i32::try_from(reader.varint()?).ok()?;
    let first = row(reader)?;
    let mut runs = Vec::new();
    while !reader.is_empty() {
        let (committed, count) = (timestamp(reader)?, u32::try_from(reader.varint()?).ok()?);
        let len = reader.len()?;
        runs.push(Run { committed, count, rows: reader.take(len)?.to_vec() });
    }
    Some(Item::Rows { table, schema, first, runs })
}

fn deletes(table: TableId, reader: &mut Reader<'_>) -> Option<Item> {
    let mut deletes = Vec::new();
    while !reader.is_empty() {
        deletes.push((row(reader)?, timestamp(reader)?));
    }
    Some(Item::Deletes(table, deletes))
}

fn clients(reader: &mut Reader<'_>) -> Option<Item> {
    let mut clients = Vec::new();
    while !reader.is_empty() {
        clients.push((u128::from_le_bytes(reader.array()?), timestamp(reader)?));
    }
    Some(Item::Clients(clients))
}

fn row(reader: &mut Reader<'_>) -> Option<RowId> {
    Some(RowId { rowset: RowsetId(reader.varint()?), row: u32::try_from(reader.varint()?).ok()? })
}

fn timestamp(reader: &mut Reader<'_>) -> Option<Timestamp> {
    Timestamp::from_i64(i64::from_le_bytes(reader.array()?))
}
