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
    /// The oldest memtable of a table that is not flushed, if there is one: rows of older ones are in objects.
    Memtable(TableId, Option<RowsetId>),
    /// Rows of a table of the catalog, which is in no other objects.
    Rows {
        /// The table.
        table: TableId,
        /// The version of its schema.
        schema: i32,
        /// The place of the first row.
        first: RowId,
        /// How many.
        count: u32,
        /// When they were committed.
        committed: Timestamp,
        /// The rows ([`rows`](crate::rows)).
        rows: Vec<u8>,
    },
    /// Rows of objects, and of the catalog's memtables, that are deleted.
    Deletes(TableId, Vec<(RowId, Timestamp)>),
    /// What clients called their transactions.
    Clients(Vec<(u128, Timestamp)>),
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
const MEMTABLE: i8 = 2;
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
            Self::Memtable(table, oldest) => {
                varint::put(&mut out, oldest.map_or(0, |oldest| oldest.0));
                (MEMTABLE, *table, out)
            }
            Self::Rows { table, schema, first, count, committed, rows } => {
                varint::put(&mut out, u64::from(schema.cast_unsigned()));
                varint::put(&mut out, first.rowset.0);
                varint::put(&mut out, u64::from(first.row));
                varint::put(&mut out, u64::from(*count));
                out.extend(committed.to_i64().to_le_bytes());
                out.extend(rows);
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
            MEMTABLE => memtable(table, &mut reader),
            ROWS => rows(table, &mut reader),
            DELETES => deletes(table, &mut reader),
            CLIENTS => clients(&mut reader),
            _ => return Err(ItemError::Kind(kind)),
        };
        item.filter(|_| reader.is_empty()).ok_or(ItemError::Malformed(kind))
    }
}

fn memtable(table: TableId, reader: &mut Reader<'_>) -> Option<Item> {
    let oldest = reader.varint()?;
    Some(Item::Memtable(table, (oldest > 0).then_some(RowsetId(oldest))))
}

fn rows(table: TableId, reader: &mut Reader<'_>) -> Option<Item> {
    let schema = i32::try_from(reader.varint()?).ok()?;
    let first = row(reader)?;
    let (count, committed) = (u32::try_from(reader.varint()?).ok()?, timestamp(reader)?);
    let rows = reader.take(reader.0.len())?.to_vec();
    Some(Item::Rows { table, schema, first, count, committed, rows })
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
