//! The records of a flush.

use super::timestamp;
use crate::{
    block_meta::{MetaError, ObjectMeta},
    ids::{RowId, RowsetId, TableId},
    object_id::ObjectId,
    timestamp::Timestamp,
    varint::{self, Reader},
};

/// Objects are going to be written: those that no record of a flush names later are garbage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// The table.
    pub table: TableId,
    /// The objects, whose names are in the store from here on at the earliest.
    pub objects: Vec<ObjectId>,
}

/// Rows have moved from memory to objects, which are in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flushed {
    /// The table.
    pub table: TableId,
    /// When the objects replace the memtables.
    pub timestamp: Timestamp,
    /// The oldest timestamp that can be read from then on.
    pub horizon: Timestamp,
    /// The memtables, which are dropped.
    pub memtables: Vec<RowsetId>,
    /// The objects.
    pub objects: Vec<ObjectMeta>,
    /// Deletes of the flushed rows, those since the flush began included, at the rows' new places.
    pub deletes: Vec<(RowId, Timestamp)>,
}

impl Intent {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        varint::put(out, self.table.0);
        write_ids(&self.objects, out);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let table = TableId(reader.varint()?);
        Some(Self { table, objects: read_ids(reader)? })
    }
}

impl Flushed {
    pub(super) fn write(&self, out: &mut Vec<u8>) -> Result<(), MetaError> {
        varint::put(out, self.table.0);
        out.extend(self.timestamp.to_i64().to_le_bytes());
        out.extend(self.horizon.to_i64().to_le_bytes());
        varint::put(out, self.memtables.len() as u64);
        self.memtables.iter().for_each(|memtable| varint::put(out, memtable.0));
        varint::put(out, self.deletes.len() as u64);
        for (row, deleted) in &self.deletes {
            varint::put(out, row.rowset.0);
            varint::put(out, u64::from(row.row));
            // No delete of a row is later than the flush.
            varint::put(out, (self.timestamp.to_i64() - deleted.to_i64()).cast_unsigned());
        }
        write_metas(&self.objects, out)
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let (table, timestamp, horizon) = (TableId(reader.varint()?), timestamp(reader)?, timestamp(reader)?);
        let memtables = list(reader, 1, |reader| reader.varint().map(RowsetId))?;
        let deletes = list(reader, 3, |reader| {
            let row = RowId { rowset: RowsetId(reader.varint()?), row: u32::try_from(reader.varint()?).ok()? };
            let before = i64::try_from(reader.varint()?).ok()?;
            Some((row, Timestamp::from_i64(timestamp.to_i64().checked_sub(before)?)?))
        })?;
        Some(Self { table, timestamp, horizon, memtables, objects: read_metas(reader)?, deletes })
    }
}

/// A count, and as many ids of objects.
pub(super) fn write_ids(ids: &[ObjectId], out: &mut Vec<u8>) {
    varint::put(out, ids.len() as u64);
    for id in ids {
        out.extend(id.nonce.to_le_bytes());
        varint::put(out, id.number);
    }
}

pub(super) fn read_ids(reader: &mut Reader<'_>) -> Option<Vec<ObjectId>> {
    list(reader, 9, |reader| Some(ObjectId { nonce: u64::from_le_bytes(reader.array()?), number: reader.varint()? }))
}

/// A count, and as many metadata of objects, each behind its length.
pub(super) fn write_metas(metas: &[ObjectMeta], out: &mut Vec<u8>) -> Result<(), MetaError> {
    varint::put(out, metas.len() as u64);
    for meta in metas {
        let bytes = meta.encode()?;
        varint::put(out, bytes.len() as u64);
        out.extend(bytes);
    }
    Ok(())
}

pub(super) fn read_metas(reader: &mut Reader<'_>) -> Option<Vec<ObjectMeta>> {
    list(reader, 32, |reader| {
        let len = reader.len()?;
        ObjectMeta::decode(reader.take(len)?).ok()
    })
}

/// A count and as many items, each of at least `bytes_min`: what is allocated is bounded by what is there.
fn list<'a, T>(
    reader: &mut Reader<'a>,
    bytes_min: usize,
    mut read: impl FnMut(&mut Reader<'a>) -> Option<T>,
) -> Option<Vec<T>> {
    let len = reader.len()?;
    let mut items = Vec::with_capacity(len.min(reader.0.len() / bytes_min));
    for _ in 0..len {
        items.push(read(reader)?);
    }
    Some(items)
}
