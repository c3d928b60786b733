//! The record of a transaction.

use super::timestamp;
use crate::{
    ids::{RowId, RowsetId, TableId},
    timestamp::Timestamp,
    varint::{self, Reader},
};

/// A transaction, as it lies in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit<'a> {
    /// When it commits, once the record is committed.
    pub timestamp: Timestamp,
    /// What its client calls it, so that a retry finds it.
    pub client_id: Option<u128>,
    /// What it does, in its order.
    pub sections: Vec<Section<'a>>,
}

/// Rows of a table that a transaction inserts, deletes, or both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section<'a> {
    /// The table.
    pub table: TableId,
    /// The version of its schema, by which the rows are read.
    pub schema: i32,
    /// How many rows are inserted.
    pub inserted: u32,
    /// The place of the first one; the others follow it.
    pub first: RowId,
    /// The inserted rows ([`rows`](crate::rows)); empty where there are none.
    pub rows: &'a [u8],
    /// The deleted rows.
    pub deleted: Deletes<'a>,
    /// The keys of the deleted rows in their order, as rows of the key's columns; empty for a table without a key.
    pub keys: &'a [u8],
}

/// Places of deleted rows, in the order in which the transaction named them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deletes<'a> {
    len: usize,
    bytes: &'a [u8],
}

impl<'a> Deletes<'a> {
    /// How many.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The rows.
    pub fn iter(&self) -> impl Iterator<Item = RowId> + use<'a> {
        Deleted { left: self.len, reader: Reader(self.bytes), group: 0, last: RowId { rowset: RowsetId(0), row: 0 } }
    }
}

/// Reads deleted rows: groups of one rowset, and in each the distances from row to row.
#[derive(Clone, Debug)]
struct Deleted<'a> {
    left: usize,
    reader: Reader<'a>,
    /// How many more rows are of the rowset of the last.
    group: usize,
    last: RowId,
}

impl Deleted<'_> {
    fn read(&mut self) -> Option<RowId> {
        if self.group == 0 {
            let rowset = RowsetId(self.reader.varint()?);
            self.group = self.reader.len()?;
            self.last = RowId { rowset, row: 0 };
        }
        self.group = self.group.checked_sub(1)?;
        let row = i64::from(self.last.row).checked_add(varint::unzigzag(self.reader.varint()?))?;
        self.last.row = u32::try_from(row).ok()?;
        self.left -= 1;
        Some(self.last)
    }
}

impl Iterator for Deleted<'_> {
    type Item = RowId;

    fn next(&mut self) -> Option<RowId> {
        if self.left == 0 { None } else { self.read() }
    }
}

impl Section<'_> {
    /// A section without rows.
    pub(crate) fn none(table: TableId, schema: i32) -> Self {
        let first = RowId { rowset: RowsetId(0), row: 0 };
        Self { table, schema, inserted: 0, first, rows: &[], deleted: Deletes { len: 0, bytes: &[] }, keys: &[] }
    }
}

impl<'a> Commit<'a> {
    pub(super) fn read(reader: &mut Reader<'a>) -> Option<Self> {
        let timestamp = timestamp(reader)?;
        let client_id = match reader.byte()? {
            0 => None,
            1 => Some(u128::from_le_bytes(reader.array()?)),
            _ => return None,
        };
        let count = reader.len()?;
        // A section has at least four bytes, so what is allocated is bounded by what is there.
        let mut sections = Vec::with_capacity(count.min(reader.0.len() / 4));
        for _ in 0..count {
            sections.push(Head::read(reader)?);
        }
        let sections = sections.into_iter().map(|head| head.with_body(reader)).collect::<Option<_>>()?;
        Some(Self { timestamp, client_id, sections })
    }
}

/// A section without its rows and keys, which stand behind the heads of all.
struct Head<'a> {
    section: Section<'a>,
    rows: usize,
    keys: usize,
}

impl<'a> Head<'a> {
    fn read(reader: &mut Reader<'a>) -> Option<Self> {
        let (table, schema) = (TableId(reader.varint()?), i32::try_from(reader.varint()?).ok()?);
        let inserted = u32::try_from(reader.varint()?).ok()?;
        let (mut first, mut rows) = (RowId { rowset: RowsetId(0), row: 0 }, 0);
        if inserted > 0 {
            first = RowId { rowset: RowsetId(reader.varint()?), row: u32::try_from(reader.varint()?).ok()? };
            first.row.checked_add(inserted)?;
            rows = reader.len()?;
        }
        let (len, mut keys) = (reader.len()?, 0);
        let mut deleted = Deletes { len, bytes: &[] };
        if len > 0 {
            keys = reader.len()?;
            deleted.bytes = deletes(reader, len)?;
        }
        Some(Self { section: Section { table, schema, inserted, first, rows: &[], deleted, keys: &[] }, rows, keys })
    }

    fn with_body(mut self, reader: &mut Reader<'a>) -> Option<Section<'a>> {
        self.section.rows = reader.take(self.rows)?;
        self.section.keys = reader.take(self.keys)?;
        Some(self.section)
    }
}

/// The bytes of `len` deleted rows, each of which can be read.
fn deletes<'a>(reader: &mut Reader<'a>, len: usize) -> Option<&'a [u8]> {
    let start = reader.0;
    let mut rows = Deleted { left: len, reader: *reader, group: 0, last: RowId { rowset: RowsetId(0), row: 0 } };
    while rows.left > 0 {
        rows.read()?;
    }
    if rows.group > 0 {
        return None;
    }
    *reader = rows.reader;
    Some(&start[..start.len() - reader.0.len()])
}
